"""How long work reports what it does; nothing in the engine prints.

The command line shows a bar, a host shows its own widget, tests record the calls.
"""

from typing import Protocol


class Progress(Protocol):
    """What a long function calls while it works."""

    def start(self, total: int | None, unit: str) -> None:
        """Begin a stage of `total` steps (None: unknown length), counted in `unit` ("frames")."""
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


class Silent:
    """A Progress that shows nothing and is never cancelled; the default everywhere."""

    cancelled = False

    def start(self, total: int | None, unit: str) -> None: ...

    def advance(self, count: int = 1, note: str = "") -> None: ...

    def note(self, text: str) -> None: ...
