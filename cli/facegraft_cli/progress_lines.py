"""Progress for programs: one JSON object a line, or the lines that Open Job Description reads.

JSON, on standard output, one object a line, flushed at once:

    {"event": "start", "stage": "frames merged", "total": 240, "done": 0}
    {"event": "progress", "stage": "frames merged", "total": 240, "done": 1, "note": "..."}
    {"event": "note", "text": "..."}
    {"event": "end", ...what the command reports}
    {"event": "error", "error": "SourceNotFound", "text": "...", "exit_code": 3}

Keys may be added in later versions; programs skip those that they do not know.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from facegraft.errors import FacegraftError
from facegraft.progress import Progress, Request
from facegraft_cli.exit_codes import exit_code_of
from facegraft_cli.report import stops_on_signals, terminal_progress

PROGRESS_KINDS = ("bar", "json", "openjd")


class Reporter(Progress, Protocol):
    """A Progress that also gets the command's result."""

    def end(self, text: str, values: Mapping[str, Any]) -> None:
        """The command is done: what it says to people, and the same for programs."""
        ...


class _Lines:
    """What both forms share: nothing is asked of the user, and a signal stops the work."""

    def __init__(self, stream: TextIO) -> None:
        self.cancelled = False
        self._stream = stream
        self._stage, self._total, self._done = "", None, 0

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self._stage, self._total, self._done = unit, total, done

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count

    def ask_to_stop(self) -> None:
        self.cancelled = True  # and no line, since the signal may have come in the midst of one

    def take_requests(self) -> list[Request]:
        return []

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class JsonLines(_Lines):
    """See the module."""

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        super().start(total, unit, done)
        self._event("start", stage=unit, total=total, done=done)

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count)
        values: dict[str, Any] = {"stage": self._stage, "total": self._total, "done": self._done}
        self._event("progress", **values, **({"note": note} if note else {}))

    def note(self, text: str) -> None:
        self._event("note", text=text)

    def end(self, text: str, values: Mapping[str, Any]) -> None:
        self._event("end", **values)

    def fail(self, error: FacegraftError) -> None:
        code = exit_code_of(error)
        self._event("error", error=type(error).__name__, text=str(error), exit_code=code)

    def _event(self, event: str, **values: Any) -> None:
        self._write(json.dumps({"event": event, **values}))


class OpenJdLines(_Lines):
    """The messages of Open Job Description, "How Jobs Are Run", in a task's standard output."""

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        super().start(total, unit, done)
        self._write(f"openjd_status: {unit}")

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count)
        if self._total:
            self._write(f"openjd_progress: {min(100, 100 * self._done / self._total):.1f}")

    def note(self, text: str) -> None:
        self._write(text)

    def end(self, text: str, values: Mapping[str, Any]) -> None:
        self._write(text)

    def fail(self, error: FacegraftError) -> None:
        self._write(f"openjd_fail: {' '.join(str(error).split())}")


LINES = {"json": JsonLines, "openjd": OpenJdLines}


@contextmanager
def reporter(kind: str) -> Iterator[Reporter]:
    """A Reporter of one of PROGRESS_KINDS for the length of the block.

    Programs get their lines on standard output; the first Ctrl-C or SIGTERM asks for a stop. An
    error of ours that leaves the block is reported and goes on.
    """
    if kind == "bar":
        with terminal_progress() as progress:
            yield progress
        return
    lines = LINES[kind](sys.stdout)
    with stops_on_signals(lines):
        try:
            yield lines
        except FacegraftError as error:
            lines.fail(error)
            raise
