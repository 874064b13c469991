"""The engine process of this Blender: started when first needed, restarted once when it died.

Model computing happens out of process, so neither its libraries nor its crashes touch Blender.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from facegraft.errors import WorkerDied
from facegraft.worker.client import MergeReply, WorkerClient

_log = logging.getLogger(__name__)
_lock = threading.RLock()  # renders in the interface run on a thread of their own
_client: WorkerClient | None = None
_models: dict[str, dict[str, Any]] = {}  # what each model file said of itself, by path
T = TypeVar("T")


def merge(rgba: np.ndarray, matte: np.ndarray | None, values: Mapping[str, Any]) -> MergeReply:
    """The face layer of one frame; `values` are the other arguments of `WorkerClient.merge`.

    Raises: FacegraftError, as the engine met it or because there is no engine.
    """
    return _ask(lambda client: client.merge(rgba, matte=matte, **values))


@contextmanager
def connection() -> Iterator[WorkerClient]:
    """A connection of its own, for a pass over a clip.

    Raises: FacegraftError where there is no engine.
    """
    _ask(lambda client: client.ping())  # starts one, or finds out that it died
    with _lock:
        assert _client is not None
        own = _client.share()
    try:
        yield own
    finally:
        own.close()


def describe_model(path: str) -> None:
    """Ask what a model says of itself, for `known_model`. Raises: FacegraftError."""
    _models[path] = _ask(lambda client: client.load_model(path))


def known_model(path: str) -> list[tuple[str, str]]:
    """(label, text) lines about a model that was described before: framing, licence, consent."""
    found = _models.get(path)
    if found is None:
        return []
    spec, record = (json.loads(found[key] or "{}") for key in ("spec", "record"))
    lines = [
        ("Name", record.get("name") or "not stated"),
        ("Author", record.get("author") or "not stated"),
        ("Licence", record.get("licence") or "not stated"),
        ("Consent", record.get("consent") or "not stated"),
        ("Face type", spec.get("face_type") or "not stated"),
        ("Resolution", f"{found['resolution']} px"),
        ("Morph", "yes" if found["has_morph"] else "no"),
    ]
    return [(label, str(text)) for label, text in lines]


def _ask(question: Callable[[WorkerClient], T]) -> T:
    global _client
    with _lock:
        fresh = _client is None or not _client.alive
        if fresh:
            if _client is not None:  # it died between two frames
                _log.warning("FaceGraft: the engine process ended; starting it again")
            _start()
        assert _client is not None
        try:
            return question(_client)
        except WorkerDied as error:
            if fresh:
                raise  # a second attempt would die of the same
            _log.warning("FaceGraft: %s; starting it again", error)
        _start()
        return question(_client)


def _start() -> None:
    global _client
    stop()
    _client = WorkerClient.start()


def stop() -> None:
    """End the engine process; the next question starts another."""
    global _client
    with _lock:
        client, _client = _client, None
        if client is not None:
            client.close()


def running() -> bool:
    client = _client
    return client is not None and client.alive
