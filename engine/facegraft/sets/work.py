"""The same work for every face of a set, on all cores: OpenCV lets other threads run meanwhile."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from facegraft.errors import Cancelled
from facegraft.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_all_cores(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress,
    unit: str,
    stopped: str = "",
) -> list[Result]:
    """What `work` gives for each of `items`, in their order; the first error ends all.

    unit: what is counted, "faces resized". Raises: Cancelled with the sentence `stopped`, and what
    `work` raises.
    """
    progress.start(len(items), unit)
    # two more than cores: some wait for the disk
    pool = ThreadPoolExecutor((os.cpu_count() or 1) + 2, thread_name_prefix="set")
    try:
        results = []
        for job in [pool.submit(work, item) for item in items]:
            if progress.cancelled:
                raise Cancelled(stopped or "stopped; the set is as it was")
            results.append(job.result())
            progress.advance()
        return results
    finally:
        pool.shutdown(cancel_futures=True)
