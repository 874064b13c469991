"""Progress as a terminal shows it: a bar with rate and time left, or plain lines in a log file.

The first Ctrl-C asks the engine to stop after the step it is in, which saves what is done; a second
one stops at once.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from facegraft.progress import Request

LINE_EVERY_S = 10.0  # in a log file, where a bar cannot move
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a render farm ends a task with SIGTERM
RATE_WINDOW_S = 30.0  # the rate shown is that of the last half minute


class TerminalProgress:
    """The engine's Progress protocol on a terminal or in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.cancelled = False
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}{task.fields[of]} {task.fields[unit]}"),
            _RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=console,
            speed_estimate_period=RATE_WINDOW_S,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._total: int | None = None
        self._unit = ""
        self._done = self._before = 0  # in the stage, and of these before this session
        self._started = self._last_line = time.monotonic()

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._total, self._unit, self._done, self._before = total, unit, done, done
        self._started = self._last_line = time.monotonic()
        of = "" if total is None else f"/{total}"
        self._task = self._bar.add_task("", total=total, completed=done, unit=unit, of=of, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        if self._task is None:
            return
        self._done += count
        self._bar.update(self._task, advance=count)
        if note:
            self._bar.update(self._task, note=note)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self.console.print(self._line(now, note), highlight=False)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def take_requests(self) -> list[Request]:
        return []

    def _line(self, now: float, note: str) -> str:
        rate = (self._done - self._before) / max(1e-9, now - self._started)
        line = f"{self._done}{'' if self._total is None else f'/{self._total}'} {self._unit}"
        line += f"  {rate:.2f}/s"
        if self._total is not None and rate > 0:
            left = int((self._total - self._done) / rate)
            line += f"  {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
        return f"{line}  {note}".rstrip()


class _RateColumn(ProgressColumn):
    def render(self, task: Any) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f}/s")


@contextmanager
def terminal_progress() -> Iterator[TerminalProgress]:
    """A Progress on standard error for the length of the block, with Ctrl-C as described above."""
    progress = TerminalProgress(Console(stderr=True, soft_wrap=True))

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if progress.cancelled:
            raise KeyboardInterrupt
        progress.cancelled = True
        progress.note("stopping after this step and saving; press Ctrl-C again to stop at once")

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, interrupt) for s in _STOP_SIGNALS} if in_main_thread else {}
    try:
        with progress._bar:
            yield progress
    finally:
        for stop_signal, handler in before.items():
            signal.signal(stop_signal, handler)
        sys.stderr.flush()
