"""Work on many items at once: results in the order of the items, and few items waiting."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(4, os.cpu_count() or 1)  # a network alone uses every core; these hide the rest
AHEAD = 2  # items in memory per thread


def in_order(
    items: Iterable[Item], work: Callable[[Item], Result], threads: int = THREADS
) -> Iterator[tuple[Item, Result]]:
    """Each item with what `work` made of it in another thread.

    Items are taken on the calling thread, at most AHEAD per thread before their results are asked
    for. An error of `work` comes up where its result would; what waits is then dropped.
    """
    source = iter(items)
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while len(waiting) < threads * AHEAD:
                    try:
                        item = next(source)
                    except StopIteration:
                        break
                    waiting.append((item, pool.submit(work, item)))
                if not waiting:
                    return
                item, result = waiting.popleft()
                yield item, result.result()
        finally:
            for _, result in waiting:
                result.cancel()
