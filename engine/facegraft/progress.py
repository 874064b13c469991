"""How long work reports what it does; nothing in the engine prints.

The command line shows a bar, a host shows its own widget, tests record the calls.
"""

from enum import StrEnum
from typing import Protocol


class Request(StrEnum):
    """What a user can ask of a training that goes on; other work has no use for requests."""

    SAVE = "save"
    BACKUP = "backup"
    PREVIEW = "preview"  # draw the preview sheet anew
    NEXT_PREVIEW = "next_preview"  # with other faces
    STOP = "stop"  # save and end, as `cancelled`


class Progress(Protocol):
    """What a long function calls while it works."""

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        """Begin a stage of `total` steps (None: unknown length), counted in `unit` ("frames").

        `done` of them were done before, which says nothing about the rate of what comes.
        """
        ...

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more steps are done; `note` is one short phrase to show beside the bar."""
        ...

    def note(self, text: str) -> None:
        """One line worth keeping, for example a frame without a face."""
        ...

    @property
    def cancelled(self) -> bool:
        """True once the user asked to stop; the worker finishes its step, saves and returns."""
        ...

    def take_requests(self) -> list[Request]:
        """What was asked for since the last call, oldest first."""
        ...


class Silent:
    """A Progress that shows nothing and is never cancelled; the default everywhere."""

    cancelled = False

    def start(self, total: int | None, unit: str, done: int = 0) -> None: ...

    def advance(self, count: int = 1, note: str = "") -> None: ...

    def note(self, text: str) -> None: ...

    def take_requests(self) -> list[Request]:
        return []
