"""Results come in the order of the items, with few of them waiting."""

import os
import threading

import pytest

from facegraft.merge.in_order import AHEAD, in_order, share_cores


def test_results_keep_the_order_of_the_items_however_long_each_takes():
    """The first waits until the last of its batch is done."""
    last_done = threading.Event()

    def work(n: int) -> int:
        if n == 0:
            assert last_done.wait(120)
        if n == 3:
            last_done.set()
        return n * n

    found = list(in_order(range(20), work, threads=2))
    assert [(n, n * n) for n in range(20)] == found


def test_items_are_taken_only_as_far_ahead_as_memory_allows():
    taken: list[int] = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    results = in_order(items(), lambda n: n, threads=3)
    assert next(results) == (0, 0)
    assert len(taken) <= 3 * AHEAD
    results.close()


def test_an_error_comes_up_where_its_result_would():
    def work(n: int) -> int:
        if n == 2:
            raise ValueError("of the third")
        return n

    found = []
    with pytest.raises(ValueError, match="of the third"):
        for item, _ in in_order(range(50), work, threads=2):
            found.append(item)
    assert [0, 1] == found


def test_no_items_give_no_results():
    assert [] == list(in_order([], lambda n: n))


def test_items_and_the_threads_of_their_networks_together_take_the_cores_that_are_given():
    assert [share_cores(cores) for cores in (1, 2, 4, 8, 10)] == [
        (1, 1), (2, 1), (4, 1), (4, 2), (4, 3),
    ]  # fmt: skip
    at_once, each = share_cores()
    assert at_once >= 1
    assert at_once * each >= (os.cpu_count() or 1)
