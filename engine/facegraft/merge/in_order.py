"""Work on many items at once: results in the order of the items, and few items waiting."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 4  # items at most; more cores are for the networks
AHEAD = 2  # items in memory per thread


def share_cores(cores: int = 0) -> tuple[int, int]:
    """How many items to work on at once, and threads for each one's networks; 0: every core.

    Networks that run side by side with a core each take up to a third less processor time than
    those that take turns with all cores.
    """
    cores = cores or os.cpu_count() or 1
    at_once = min(AT_ONCE, cores)
    return at_once, -(-cores // at_once)


def in_order(
    items: Iterable[Item], work: Callable[[Item], Result], threads: int = 0
) -> Generator[tuple[Item, Result], None, None]:
    """Each item with what `work` made of it in one of so many threads; 0 as `share_cores` says.

    Items are taken on the calling thread, at most AHEAD per thread before their results are asked
    for. An error of `work` comes up where its result would; what waits is then dropped.
    """
    threads = threads or share_cores()[0]
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
