"""Finding the engine's Python and running the worker as a child that cannot outlive its host.

Standard library only: this runs inside a host. The child's stdin is its life line: it ends when
that pipe closes, whatever ends the host. Its stderr goes to a log file whose tail is part of every
error about it.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facegraft.errors import WorkerDied
from facegraft.files import user_data_folder
from facegraft.worker.protocol import LOG_NAME, READY_KEY, Message

_DROPPED = ("PYTHON", "LD_", "DYLD_", "OFX_")  # a host sets these for itself, not for our Python
_LOG_TAIL = 2000  # characters of log in an error: a traceback's end
_LEAVE_S = 3.0  # a child that was told to end gets this long before it is terminated
_WINDOWS = os.name == "nt"


def find_engine() -> list[str]:
    """Command that runs the worker: FACEGRAFT_PYTHON, else the Python that the installer noted.

    Raises: WorkerDied saying what to install or to set.
    """
    note = user_data_folder() / "engine.json"
    python = os.environ.get("FACEGRAFT_PYTHON", "")
    origin = "FACEGRAFT_PYTHON"
    if not python:
        origin = str(note)
        try:
            python = json.loads(note.read_text(encoding="utf-8"))["python"]
        except FileNotFoundError:
            raise WorkerDied(
                f"the FaceGraft engine is not installed ({note} is missing); run "
                "`python3 install/install.py env`, or set FACEGRAFT_PYTHON to its Python"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkerDied(
                f"{note} is damaged ({error}); run `python3 install/install.py env` again"
            ) from error
    if not os.path.isfile(python):
        raise WorkerDied(
            f"{origin} names {python!r}, which is no file; run `python3 install/install.py env` "
            "or set FACEGRAFT_PYTHON to the engine's Python"
        )
    return [python, "-P", "-m", "facegraft.worker"]  # -P: the folder it runs in is not searched


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: without what the host set for its own Python and libraries."""
    return {k: v for k, v in environment.items() if not k.upper().startswith(_DROPPED)}


def connect(ready: Message, timeout_s: float) -> socket.socket:
    """A connection to the worker whose ready line this is. Raises: OSError."""
    if ready["transport"] == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: Any = ready["path"]
    else:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        address = ("127.0.0.1", int(ready["port"]))
    try:
        connection.settimeout(timeout_s)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


class WorkerProcess:
    """The running child. `ready` is the line it printed: transport, address and token."""

    def __init__(self, command: Sequence[str], transport: str, timeout_s: float) -> None:
        """Start it and wait until it listens.

        Raises: WorkerDied with the tail of its log where it ends or stays silent.
        """
        folder = Path(tempfile.mkdtemp(prefix="facegraft-"))  # made with mode 0700
        self._log = folder / LOG_NAME
        arguments = [*command, "--folder", str(folder), "--transport", transport]
        try:
            with open(self._log, "ab") as log:
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=clean_environment(os.environ),
                    cwd=folder,
                    start_new_session=not _WINDOWS,  # Ctrl-C is the host's to handle
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise WorkerDied(f"cannot run {command[0]}: {error.strerror}") from error
        # also runs when the host's interpreter ends without close()
        self._end = weakref.finalize(self, _end, self._process, folder)
        try:
            self.ready = self._wait_ready(timeout_s)
        except BaseException:
            self.close()
            raise

    def _wait_ready(self, timeout_s: float) -> Message:
        # a thread, since a pipe has no time limit of its own on every system
        found: list[Message] = []
        reader = threading.Thread(target=self._read_ready, args=(found,), daemon=True)
        reader.start()
        reader.join(timeout_s)
        if found:
            return found[0]
        what = f"said nothing for {timeout_s:g} s" if reader.is_alive() else "ended while starting"
        raise WorkerDied(self.describe(f"the engine process {what}"))

    def _read_ready(self, found: list[Message]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b'{"' + READY_KEY.encode()):
                found.append(json.loads(line))
                return

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._end.alive and self._process.poll() is None

    def describe(self, text: str) -> str:
        """`text`, the exit status if there is one, and the tail of the log."""
        try:
            self._process.wait(3.0)  # a dying process needs a moment until it has a status
            text += f" (exit status {self._process.returncode})"
        except subprocess.TimeoutExpired:
            pass
        try:
            log = self._log.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            log = ""
        return f"{text}; its log ends:\n{log[-_LOG_TAIL:]}" if log else f"{text}; its log is empty"

    def close(self) -> None:
        """End the child: by its life line, then by signal; leaves no zombie and no file."""
        self._end()


def _end(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.close()
    except OSError:
        pass  # it is gone already
    for stop, wait_s in ((None, _LEAVE_S), (process.terminate, 0.5), (process.kill, 5.0)):
        if stop is not None:
            stop()
        try:
            process.wait(wait_s)
            break
        except subprocess.TimeoutExpired:
            continue
    process.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)
