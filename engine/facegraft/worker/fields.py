"""Fields of a message, by name: each gives the value or says what is wrong with it.

Raises: ProtocolError where a message is malformed, everywhere; what is beside that is said.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegraft.errors import ParameterError, ProtocolError
from facegraft.worker.protocol import Message


def text_of(message: Message, key: str) -> str:
    """Raises: ProtocolError where the message lacks that text."""
    value = message.get(key)
    if not isinstance(value, str) or "\0" in value:
        raise ProtocolError(f"{message['type']}: {key} is {value!r}; it is a text")
    return value


def optional_text(message: Message, key: str) -> str | None:
    return None if message.get(key) is None else text_of(message, key)


def object_of(message: Message, key: str) -> Mapping[str, Any]:
    values = message.get(key, {})
    if not isinstance(values, dict):
        raise ProtocolError(f"{key} is {type(values).__name__}; it is an object of values by name")
    return values


def whole(message: Message, key: str, low: int, high: int) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError(f"merge: {key} is {value!r}; it is a whole number, {low} to {high}")
    return value


def list_of(value: Any, what: str, most: int) -> list[dict[str, Any]]:
    good = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    if not good or len(value) > most:
        raise ProtocolError(f"{what} is no list of up to {most} objects")
    return value


def path_of(message: Message, key: str) -> Path:
    """Raises: ProtocolError where the message lacks it, ParameterError for a relative path."""
    path = Path(text_of(message, key))
    if not path.is_absolute():
        raise ParameterError(f"{key} is {str(path)!r}, a relative path; give the whole path")
    return path
