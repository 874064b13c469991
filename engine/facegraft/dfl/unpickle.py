"""Pickles of DeepFaceLab's as plain data, read by a machine that cannot run anything.

Its metadata, indices, options and networks are pickles, which people pass on to strangers. Python's
own reader calls whatever a file names; this one knows the opcodes of protocols 2 to 4 that plain
data and numpy arrays need, and turns the few names of `CALLS` into values itself. No name is ever
imported. Format: Python's Lib/pickletools.py.

Takes bytes, gives None, bool, int, float, str, list, tuple, dict, and, as read-only views of the
input, bytes (memoryview) and numpy arrays. Memory is bounded by the input: no opcode allocates more
than it holds. Nested values are never printed, compared or hashed here: a file of a few hundred
bytes can share its parts so that walking them takes for ever.
"""

import struct
from collections.abc import Callable
from itertools import islice
from typing import Any

from facegraft.dfl.pickled_values import CALLS, KNOWN, Dtype, EmptyArray, Name, show
from facegraft.errors import DflFormatError

PROTOCOLS = range(2, 5)  # what the Pythons that DeepFaceLab runs on write
MOST_OPCODES = 100_000_000  # 160,000 faces of a pak; a file of nothing but lists ends here
LONG_BYTES = 64  # of an integer; numbers in these files have at most 8
_KEYS = (str, int, float, bool, type(None))

_RECENT = 32  # notes between an array and its state; numpy makes at most 12


def unpickle(data: bytes | memoryview, where: str) -> Any:
    """The value that a pickle holds. `where` names the file in messages.

    Raises: DflFormatError for a class or function that plain data does not need (by its name), an
    unknown opcode, arrays of anything but numbers, and for damage.
    """
    try:
        return _Machine(data).run()
    except _Refused as refusal:
        raise DflFormatError(
            f"{where} asks for {refusal}, which no file of this kind needs. It was refused and "
            "nothing of it was run; do not open this file in other programs"
        ) from refusal
    except DflFormatError as error:
        raise DflFormatError(f"{where} holds {error}; it was not read") from error
    except (struct.error, LookupError, ValueError, TypeError, OverflowError) as error:
        raise DflFormatError(f"{where} is damaged or no pickle ({error})") from error


class _Refused(Exception):
    """A name outside the list."""


class _Machine:
    """pickle's stack machine over a buffer."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = memoryview(data).toreadonly().cast("B")
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # stack heights
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        ops, data = _OPCODES, self.data
        for _ in range(MOST_OPCODES):
            code = data[self.at]
            self.at += 1
            if code == _STOP:
                return self.stack.pop()
            act = ops.get(code)
            if act is None:
                raise ValueError(f"opcode {code:#04x} at byte {self.at - 1}")
            act(self)
        raise ValueError(f"more than {MOST_OPCODES} opcodes")

    # reading

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise ValueError(f"cut short: {count} bytes wanted at byte {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: struct.Struct) -> Any:
        value = form.unpack_from(self.data, self.at)[0]
        self.at += form.size
        return value

    def line(self) -> str:
        """A text up to the next newline, as GLOBAL has it; no name is longer than 200 letters."""
        head = bytes(self.data[self.at : self.at + 200])
        end = head.index(b"\n")
        self.at += end + 1
        return head[:end].decode()

    # the stack

    def marked(self) -> list[Any]:
        """Everything above the last mark, taken off."""
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def top(self, kind: type) -> Any:
        top = self.stack[-1]
        if type(top) is not kind:
            raise ValueError(f"a {type(top).__name__} where a {kind.__name__} was due")
        return top

    def append_all(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def set_all(self, items: list[Any]) -> None:
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in _KEYS:
                raise ValueError(f"a {type(key).__name__} as the key of a dict")
            target[key] = value

    def tuple_of(self, count: int) -> None:
        if count > len(self.stack):
            raise ValueError("a tuple of more than there is")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def name(self, module: Any, member: Any) -> None:
        if not isinstance(module, str) or not isinstance(member, str):
            raise ValueError("a name that is no text")
        name = Name(module, member)
        if name not in KNOWN:
            raise _Refused(str(name))
        self.stack.append(name)

    def reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        act = CALLS.get(called) if isinstance(called, Name) else None
        if act is None or not isinstance(arguments, tuple):
            raise DflFormatError(f"a call of {show(called)}")
        self.stack.append(act(*arguments))

    def build(self) -> None:
        state, before = self.stack.pop(), self.stack[-1]
        if not isinstance(before, Dtype | EmptyArray):
            raise DflFormatError(f"a state for a {type(before).__name__}")
        after = before.build(state)
        self.stack[-1] = after
        if after is before:
            return
        # the empty array was noted a moment ago: before its type, shape and bytes
        for key, value in islice(reversed(self.memo.items()), _RECENT):
            if value is before:
                self.memo[key] = after
                break

    def long(self, count: int) -> None:
        if count > LONG_BYTES:
            raise ValueError(f"an integer of {count} bytes")
        self.stack.append(int.from_bytes(self.take(count), "little", signed=True))


_U1, _U2, _U4, _U8 = (struct.Struct(f"<{c}") for c in "BHIQ")
_I4, _F8 = struct.Struct("<i"), struct.Struct(">d")
_STOP = ord(".")


def _text(form: struct.Struct) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(str(m.take(m.number(form)), "utf-8", "surrogatepass"))


def _bytes(form: struct.Struct) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(m.take(m.number(form)))


def _remember(m: _Machine, key: int) -> None:
    m.memo[key] = m.stack[-1]


def _push(value: Any) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(value)


def _protocol(m: _Machine) -> None:
    version = m.number(_U1)
    if version not in PROTOCOLS:
        raise ValueError(f"pickle protocol {version}; {PROTOCOLS[0]} to {PROTOCOLS[-1]} are read")


def _stack_global(m: _Machine) -> None:
    member, module = m.stack.pop(), m.stack.pop()
    m.name(module, member)


def _set_item(m: _Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    m.set_all([key, value])


_OPCODES: dict[int, Callable[[_Machine], None]] = {
    ord(code): act
    for code, act in {
        "\x80": _protocol,
        "\x95": lambda m: m.number(_U8),  # FRAME: how much a reader may fetch at once
        "(": lambda m: m.marks.append(len(m.stack)),
        "N": _push(None),
        "\x88": _push(True),
        "\x89": _push(False),
        "J": lambda m: m.stack.append(m.number(_I4)),
        "K": lambda m: m.stack.append(m.number(_U1)),
        "M": lambda m: m.stack.append(m.number(_U2)),
        "\x8a": lambda m: m.long(m.number(_U1)),
        "\x8b": lambda m: m.long(m.number(_U4)),
        "G": lambda m: m.stack.append(m.number(_F8)),
        "X": _text(_U4),
        "\x8c": _text(_U1),
        "\x8d": _text(_U8),
        "B": _bytes(_U4),
        "C": _bytes(_U1),
        "\x8e": _bytes(_U8),
        "]": lambda m: m.stack.append([]),
        "}": lambda m: m.stack.append({}),
        ")": _push(()),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "t": lambda m: m.stack.append(tuple(m.marked())),
        "a": lambda m: m.append_all([m.stack.pop()]),
        "e": lambda m: m.append_all(m.marked()),
        "s": _set_item,
        "u": lambda m: m.set_all(m.marked()),
        "q": lambda m: _remember(m, m.number(_U1)),
        "r": lambda m: _remember(m, m.number(_U4)),
        "\x94": lambda m: _remember(m, len(m.memo)),
        "h": lambda m: m.stack.append(m.memo[m.number(_U1)]),
        "j": lambda m: m.stack.append(m.memo[m.number(_U4)]),
        "c": lambda m: m.name(m.line(), m.line()),
        "\x93": _stack_global,
        "R": lambda m: m.reduce(),
        "b": lambda m: m.build(),
    }.items()
}
