"""DeepFaceLab's pickles are read as plain data, and nothing in them is ever run."""

import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from facegraft.dfl.pickler import Call, to_pickle
from facegraft.dfl.unpickle import unpickle
from facegraft.errors import DflFormatError

PLAIN = {
    "text": "Gesicht é",
    "numbers": [0, 255, 256, -1, 70_000, 1 << 40, -(1 << 40), 0.5, -1e300],
    "flags": (True, False, None),
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "nested": [{"a": [{"b": []}]}, {}],
}
ARRAYS = {
    "float32": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "float16": np.linspace(0, 1, 6, dtype=np.float16),
    "float64": np.eye(2, 3),
    "uint8": np.arange(5, dtype=np.uint8).reshape(5, 1),
    "int64": np.array([1, -2, 3]),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">f4"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_data_reads_as_with_pickle(protocol: int) -> None:
    assert unpickle(pickle.dumps(PLAIN, protocol), "x") == PLAIN


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_numpy_1_and_2_read_equal(protocol: int) -> None:
    data = pickle.dumps(ARRAYS, protocol)
    assert b"numpy._core" in data  # what numpy 2 writes
    other = as_numpy_1(data, protocol)
    assert b"numpy._core" not in other
    for version in (data, other):
        read = unpickle(version, "x")
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(read[name], array)
            assert read[name].dtype == array.dtype


def as_numpy_1(data: bytes, protocol: int) -> bytes:
    """The same pickle with the module named as before numpy 2; protocol 4 counts its length."""
    if protocol < 4:
        return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    data = data.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    (frame,) = struct.unpack("<Q", data[3:11])
    return data[:3] + struct.pack("<Q", frame - 1) + data[11:]


def test_one_array_named_twice_stays_one_array() -> None:
    array = np.arange(3.0)
    read = unpickle(pickle.dumps([array, {"again": array}], 4), "x")
    assert read[0] is read[1]["again"]


def test_numpy_numbers_become_python_numbers() -> None:
    values = [np.float32(0.5), np.int64(-7), np.bool_(True)]
    assert unpickle(pickle.dumps(values, 4), "x") == [0.5, -7, True]


class Reduced:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.result = (function, arguments)

    def __reduce__(self):
        return self.result


class WithState:
    """Pickles as an array, then a state of our choice in its place."""

    def __init__(self, state):
        self.state = state

    def __reduce__(self):
        head = np.zeros(1).__reduce__()
        return head[0], head[1], self.state


def written(path: Path) -> list:
    """Pickles that make a file at `path` when Python's own reader meets them, and their names."""
    command = f"touch {path}"
    return [
        (Reduced(os.system, command), "posix.system"),
        (Reduced(eval, f"open({str(path)!r}, 'w')"), "builtins.eval"),
        (Reduced(getattr, "text", "upper"), "builtins.getattr"),
        ({"deep": [np.zeros(2), Reduced(os.mkdir, str(path))]}, "posix.mkdir"),
        (WithState((1, (1,), Reduced(os.system, command), False, b"")), "posix.system"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="names of the posix module")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("number", range(5))
def test_a_malicious_pickle_is_refused_by_name_and_runs_nothing(
    tmp_path: Path, protocol: int, number: int
) -> None:
    path = tmp_path / "written"
    value, name = written(path)[number]
    data = pickle.dumps(value, protocol)
    name = name.replace("builtins", "__builtin__") if protocol == 2 else name
    with pytest.raises(DflFormatError, match=rf"00001_0\.jpg asks for {name}.*nothing of it was"):
        unpickle(data, "00001_0.jpg")
    assert not path.exists()
    if "touch" in str(getattr(value, "result", "")):  # the same bytes do run elsewhere
        pickle.loads(data)
        assert path.exists()


def test_only_listed_names_are_called_never_what_a_call_gave() -> None:
    member = to_pickle(Call("facelib.FaceType", "FaceType", (4,)))[:-1]
    with pytest.raises(DflFormatError, match="a call of 4"):
        unpickle(member + b")R.", "x")
    with pytest.raises(DflFormatError, match=r"a call of numpy\.ndarray"):
        unpickle(b"\x80\x03cnumpy\nndarray\n)R.", "x")


def test_object_arrays_and_records_are_refused() -> None:
    for array in (np.array([{}, []], object), np.zeros(2, [("a", "f4")]), np.array(["text"])):
        with pytest.raises(DflFormatError, match="only numbers are read"):
            unpickle(pickle.dumps(array, 4), "x")


def test_a_state_for_anything_but_arrays_is_refused() -> None:
    data = to_pickle(Call("facelib.FaceType", "FaceType", (4,)))[:-1]
    with pytest.raises(DflFormatError, match="a state for a int"):
        unpickle(data + b"}b.", "x")
    with pytest.raises(DflFormatError, match="a state for a Name"):
        unpickle(b"\x80\x03cnumpy\nndarray\n}b.", "x")
    with pytest.raises(DflFormatError, match="without shape"):
        unpickle(pickle.dumps(WithState({"__class__": 1}), 4), "x")


def test_an_array_larger_than_its_bytes_is_refused_without_allocating() -> None:
    tracemalloc.start()
    try:
        f4 = np.dtype("f4")
        for state in (
            (1, (1 << 40,), f4, False, b"1234"),
            (1, (1 << 40, 0), f4, False, b"1234"),
            (1, (-1,), f4, False, b""),
        ):
            with pytest.raises(DflFormatError):
                unpickle(pickle.dumps(WithState(state), 4), "x")
        for data in (
            b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b"ab.",  # bytes of a petabyte
            b"\x80\x04\x8d" + struct.pack("<Q", 1 << 50) + b"ab.",
            b"\x80\x03\x8b" + struct.pack("<i", 1 << 30) + b"\0" * 100 + b".",
            b"\x80\x03Nr" + struct.pack("<I", (1 << 32) - 1) + b".",  # a far place in the memo
        ):
            try:
                assert unpickle(data, "x") is None  # the last is only odd
            except DflFormatError:
                continue
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_shared_parts_that_double_at_every_level_cost_nothing() -> None:
    """Sixty levels would be 10^18 parts if anything walked them."""
    value: object = []
    for _ in range(60):
        value = (value, value)
    data = pickle.dumps(value, 4)
    assert len(unpickle(data, "x")) == 2
    for wrapped in (data[:-1] + b"}b.", data[:-1] + b")R.", b"\x80\x04}" + data[2:-1] + b"Ns."):
        with pytest.raises(DflFormatError):
            unpickle(wrapped, "x")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80", b"\x80\x05N.", b"N", b"\x80\x03]a.", b"\x80\x03e.", b"\x80\x03h\x07.",
        b"\x80\x03NNs.", b"\x80\x03\x87.", b"\x80\x03X\xff\0\0\0abc.", b"\x80\x03.",
        b"\xff\xd8\xff\xe0", b"cos\nsystem", b"\x80\x03X\x01\0\0\0\xff.", b"PK\x03\x04",
    ],
)  # fmt: skip
def test_damage_gives_one_clear_error(data: bytes) -> None:
    with pytest.raises(DflFormatError, match=r"^data\.dat is damaged"):
        unpickle(data, "data.dat")


def test_every_cut_of_a_real_pickle_gives_the_same_error() -> None:
    data = pickle.dumps({"arrays": ARRAYS, "plain": PLAIN}, 4)
    for end in range(len(data)):
        with pytest.raises(DflFormatError):
            unpickle(data[:end], "x")


def test_what_is_written_reads_with_python_and_here() -> None:
    """The reference is Python's own reader, on bytes that this test has just made."""
    value = {**PLAIN, "bytes": b"\0\xff"}
    assert pickle.loads(to_pickle(value)) == value
    for array in ARRAYS.values():
        read = pickle.loads(to_pickle(array))
        np.testing.assert_array_equal(read, array)
        np.testing.assert_array_equal(unpickle(to_pickle(array), "x"), array)
    assert b"numpy._core" not in to_pickle(list(ARRAYS.values()))  # numpy 1 has no such module
    assert unpickle(to_pickle(Call("facelib.FaceType", "FaceType", (4,))), "x") == 4
    with pytest.raises(TypeError, match="set"):
        to_pickle({"a": {1}})
