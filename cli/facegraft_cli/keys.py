"""Single keys from a terminal, without Enter and without echo, in a thread.

The terminal gets its own settings back however the block is left. While the process is in the
background nothing is read and nothing is set: both would stop it.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_S = 0.2  # a key is answered within this time, and leaving the block takes no longer

if sys.platform == "win32":
    import msvcrt

    def _listen(on_key: Callable[[str], None], stop: threading.Event) -> None:
        while not stop.wait(POLL_S):
            while msvcrt.kbhit():
                on_key(msvcrt.getwch())

    @contextmanager
    def _single_keys() -> Iterator[None]:
        yield  # the console hands over single keys as it is

else:
    import re
    import select
    import termios
    import tty

    # arrows and the like, which end in letters (ECMA-48; SS3 of function keys)
    _SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?")

    def _in_foreground(terminal: int) -> bool:
        return os.tcgetpgrp(terminal) == os.getpgrp()

    def _listen(on_key: Callable[[str], None], stop: threading.Event) -> None:
        terminal = sys.stdin.fileno()
        try:
            while not stop.is_set():
                if not _in_foreground(terminal):
                    stop.wait(POLL_S)
                    continue
                # again after Ctrl-Z and fg, where the shell has set the terminal its way
                if termios.tcgetattr(terminal)[3] & termios.ICANON:
                    tty.setcbreak(terminal)
                if not select.select([terminal], [], [], POLL_S)[0]:
                    continue
                typed = os.read(terminal, 64)
                if not typed:
                    return
                for key in _SEQUENCE.sub("", typed.decode("latin-1")):
                    on_key(key)
        except (OSError, termios.error):  # the terminal was closed
            return

    @contextmanager
    def _single_keys() -> Iterator[None]:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            yield
        finally:
            try:
                if _in_foreground(terminal):
                    termios.tcsetattr(terminal, termios.TCSADRAIN, before)
            except (OSError, termios.error):  # the terminal was closed
                pass


@contextmanager
def terminal_keys(on_key: Callable[[str], None]) -> Iterator[bool]:
    """Call `on_key` with each key pressed within the block, from a thread of its own.

    Gives False, and reads nothing, where standard input is no terminal.
    """
    if not sys.stdin.isatty():
        yield False
        return
    stop = threading.Event()
    reader = threading.Thread(target=_listen, args=(on_key, stop), name="keys", daemon=True)
    with _single_keys():
        reader.start()
        try:
            yield True
        finally:
            stop.set()
            reader.join()
