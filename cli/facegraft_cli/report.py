"""Progress as a terminal shows it: a bar with rate and time left, or plain lines in a log file.

The first Ctrl-C asks the engine to stop after the step it is in, which saves what is done; a second
one stops at once. A training also takes single keys.
"""

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, Protocol

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from facegraft.progress import Request
from facegraft_cli.keys import terminal_keys

LINE_EVERY_S = 10.0  # in a log file, where a bar cannot move
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a render farm ends a task with SIGTERM
RATE_WINDOW_S = 30.0  # the rate shown is that of the last half minute
NOTE_BESIDE = 24  # characters; a longer note gets a line of its own, so that 80 columns hold both

KEYS = {  # as DeepFaceLab's users know them, and what is said at once
    "p": (Request.PREVIEW, "drawing the preview"),
    " ": (Request.NEXT_PREVIEW, "drawing the preview with other faces"),
    "s": (Request.SAVE, "saving"),
    "b": (Request.BACKUP, "saving and backing up"),
    "\n": (Request.STOP, "saving and stopping"),
    "\r": (Request.STOP, "saving and stopping"),
}
KEYS_HELP = "keys: p preview, space next faces, s save, b back up, Enter save and stop"


class TerminalProgress:
    """The engine's Progress protocol on a terminal or in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.cancelled = False
        self._requests: deque[Request] = deque()
        self._bar = _Bar(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            _RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[beside]}"),
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
        self._bar.below = ""
        self._task = self._bar.add_task(
            "", total=total, completed=done, count=self._count(), beside=""
        )

    def advance(self, count: int = 1, note: str = "") -> None:
        if self._task is None:
            return
        self._done += count
        fields: dict[str, Any] = {"count": self._count()}
        if note:
            is_short = len(note) <= NOTE_BESIDE
            fields["beside"], self._bar.below = (note, "") if is_short else ("", note)
        self._bar.update(self._task, advance=count, **fields)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self.console.print(self._line(now, note), highlight=False)

    def note(self, text: str) -> None:
        style = "bold red" if text.startswith("WARNING") else None
        self.console.print(text, style=style, highlight=False, markup=False)

    def ask_to_stop(self) -> None:
        self.cancelled = True
        self.note("stopping after this step and saving; press Ctrl-C again to stop at once")

    def end(self, text: str, values: Mapping[str, Any]) -> None:
        """The command's closing report, on standard output; `values` are for programs."""
        self._bar.stop()
        click.echo(text)

    def take_requests(self) -> list[Request]:
        taken = []
        while self._requests:
            taken.append(self._requests.popleft())
        return taken

    def press(self, key: str) -> None:
        """A key of the terminal; those without a meaning do nothing."""
        if key.lower() not in KEYS:
            return
        request, answer = KEYS[key.lower()]
        self._requests.append(request)
        if request is Request.STOP:
            self.cancelled = True  # stages before the training take no requests
        self.note(f"{answer} after this iteration")

    def _count(self) -> str:
        of = "" if self._total is None else f"/{self._total:,}"
        return f"{self._done:,}{of} {self._unit}"

    def _line(self, now: float, note: str) -> str:
        rate = (self._done - self._before) / max(1e-9, now - self._started)
        line = f"{self._count()}  {rate:.2f}/s"
        if self._total is not None and rate > 0:
            left = int((self._total - self._done) / rate)
            line += f"  {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
        return f"{line}  {note}".rstrip()


class _Bar(RichProgress):
    """A bar with a line of text below it."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.below:
            yield Text(self.below, no_wrap=True, overflow="ellipsis")


class _RateColumn(ProgressColumn):
    def render(self, task: Any) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f}/s")


@contextmanager
def terminal_progress(keys: bool = False, quiet: bool = False) -> Iterator[TerminalProgress]:
    """A Progress on standard error for the length of the block, with Ctrl-C as described above.

    `keys`: the work takes requests, so single keys are read where there is a terminal. `quiet`:
    nothing is shown, by all but one of several processes that do the same work.
    """
    progress = TerminalProgress(Console(stderr=True, soft_wrap=True, quiet=quiet))

    try:
        with terminal_keys(progress.press) if keys else nullcontext(False) as reading:
            if reading:
                progress.note(KEYS_HELP)
            with stops_on_signals(progress), progress._bar:
                yield progress
    finally:
        sys.stderr.flush()


class Stoppable(Protocol):
    """A progress that can be told to stop."""

    cancelled: bool

    def ask_to_stop(self) -> None:
        """Called in a signal handler: set `cancelled`."""
        ...


@contextmanager
def stops_on_signals(progress: Stoppable) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask for a stop within the block, as the module says."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if progress.cancelled:
            raise KeyboardInterrupt
        progress.ask_to_stop()

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, interrupt) for s in _STOP_SIGNALS} if in_main_thread else {}
    try:
        yield
    finally:
        for stop_signal, handler in before.items():
            signal.signal(stop_signal, handler)
