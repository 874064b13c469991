"""The node's JSON against Python's, and its numbers under a locale that writes commas."""

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host_plugin_ofx.tools import build_ofx_bundle

GOOD = [
    '{"a":1}',
    ' {"a" : [1, -2,3e5 , 0.25, 1E-3], "b":{"c":[ ],"d":{}},"e":null} ',
    '{"a":"\\u00e4\\ud83d\\ude00\\n\\"\\\\","a":2}',
    "{}",
    '{"' + "x" * 300 + '": true}',
    '{"deep":' + "[" * 60 + "]" * 60 + "}",
]
BAD = [
    "",
    "1",
    "[]",
    '{"a":1',
    '{"a":1}}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":-}',
    '{"a":NaN}',
    '{"a":nul}',
    '{"a" 1}',
    '{"a":1,}',
    "{a:1}",
    '{"a":"\t"}',
    '{"a":"\\x"}',
    '{"a":"\\u12"}',
    '{"a":[1 2]}',
    '{"a":"x}',
    '{"deep":' + "[" * 9999 + "]" * 9999 + "}",
    '{"a":1}\0',
]


class Text(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_char_p),
        ("length", ctypes.c_size_t),
        ("room", ctypes.c_size_t),
        ("failed", ctypes.c_bool),
    ]


class Value(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("length", ctypes.c_size_t)]


@pytest.fixture(scope="module")
def library_path(tmp_path_factory, compiler) -> Path:
    target = tmp_path_factory.mktemp("json") / "json.so"
    sources = [str(build_ofx_bundle.SOURCES / name) for name in ("json.c", "text.c")]
    command = [*compiler, "-std=c11", "-O1", "-shared", "-fPIC", *sources, "-o", str(target)]
    subprocess.run(command, check=True, timeout=120)
    return target


@pytest.fixture(scope="module")
def c(library_path):
    library = ctypes.CDLL(str(library_path))
    library.json_members.restype = ctypes.c_bool
    library.json_to_string.restype = ctypes.c_bool
    library.json_to_string.argtypes = [Value, ctypes.c_char_p, ctypes.c_size_t]
    library.json_to_integers.restype = ctypes.c_bool
    library.json_to_integers.argtypes = [Value, ctypes.POINTER(ctypes.c_int64), ctypes.c_size_t]
    library.json_add_number.argtypes = [ctypes.POINTER(Text), ctypes.c_double]
    return library


def members(c, data: bytes, *names: str):
    """The parts of `data` that are these members' values; None where it is no object."""
    keys = (ctypes.c_char_p * len(names))(*(name.encode() for name in names))
    values = (Value * len(names))()
    room = ctypes.create_string_buffer(data, len(data) + 1)
    if not c.json_members(room, ctypes.c_size_t(len(data)), keys, values, len(names)):
        return None
    values._room = room  # pyright: ignore[reportAttributeAccessIssue]  they point into it
    return values


def text_of(c, value: Value, room: int = 4096) -> str | None:
    to = ctypes.create_string_buffer(room)
    return to.value.decode() if c.json_to_string(value, to, room) else None


def written(add, value) -> str:
    text = Text()
    add(ctypes.byref(text), value)
    assert not text.failed
    return (text.data or b"").decode()


@pytest.mark.parametrize("document", GOOD)
def test_what_is_json_is_read_as_python_reads_it(c, document):
    expected = json.loads(document)
    found = members(c, document.encode(), *expected)
    assert found is not None
    for value, wanted in zip(found, expected.values(), strict=True):
        assert json.loads(ctypes.string_at(value.at, value.length)) == wanted
        if isinstance(wanted, str):
            assert text_of(c, value) == wanted


@pytest.mark.parametrize("document", BAD, ids=range(len(BAD)))
def test_what_is_no_json_object_is_refused(c, document):
    assert members(c, document.encode(), "a") is None


def test_a_document_that_is_cut_or_changed_anywhere_never_crashes(c):
    """What Python refuses is refused; bytes that are not UTF-8 inside texts are let through."""
    document = GOOD[1].strip().encode() + b""
    chance = random.Random(1)
    for place in range(len(document)):
        assert members(c, document[:place], "a") is None
        for byte in (0, 34, 44, 93, 125, chance.randrange(128)):
            changed = document[:place] + bytes([byte]) + document[place + 1 :]
            found = members(c, changed, "a")
            try:
                good = isinstance(json.loads(changed), dict)
            except ValueError:
                good = False
            assert (found is not None) == good, changed


def test_whole_numbers_are_read_and_nothing_else_is_taken_for_them(c):
    document = (
        b'{"roi":[1, -2,30 ,4],"one":7,"real":[1.5,2,3,4],"text":"1","big":1234567890123456789}'
    )
    found = members(c, document, "roi", "one", "real", "text", "big")
    assert found is not None
    roi, one, real, text, big = found
    to = (ctypes.c_int64 * 4)()
    assert c.json_to_integers(roi, to, 4) and list(to) == [1, -2, 30, 4]
    assert c.json_to_integers(one, to, 1) and to[0] == 7
    assert not c.json_to_integers(roi, to, 3) and not c.json_to_integers(real, to, 4)
    assert not c.json_to_integers(text, to, 1) and not c.json_to_integers(big, to, 1)
    assert not c.json_to_integers(Value(), to, 1)


def test_the_first_text_of_an_array_is_read(c):
    c.json_first_string.restype = ctypes.c_bool
    c.json_first_string.argtypes = [Value, ctypes.c_char_p, ctypes.c_size_t]
    to = ctypes.create_string_buffer(64)
    found = members(c, b'{"a":[ "one","two"],"b":[ ],"c":[1],"d":"x"}', "a", "b", "c", "d")
    assert found is not None
    assert c.json_first_string(found[0], to, 64) and to.value == b"one"
    assert c.json_first_string(found[1], to, 64) and to.value == b""
    assert not c.json_first_string(found[2], to, 64) and not c.json_first_string(found[3], to, 64)


def test_a_text_that_is_too_long_is_cut_between_characters(c):
    found = members(c, '{"a":"äöü"}'.encode(), "a")
    assert found is not None
    value = found[0]
    assert [text_of(c, value, room) for room in (1, 2, 3, 4, 5, 7)] == [
        "",
        "",
        "ä",
        "ä",
        "äö",
        "äöü",
    ]


@pytest.mark.parametrize("value", ["", 'a "b" \\c\n\t\x01', "/Größe 1;=|~/😀.dfm", "x" * 5000])
def test_texts_are_written_as_python_reads_them(c, value):
    assert json.loads(written(c.json_add_string, value.encode())) == value


def test_bytes_that_are_no_utf8_become_replacement_characters(c):
    """A path of another encoding gives a message that names it, not a broken connection."""
    for broken in (b"a\xffb", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80"):
        assert "�" in json.loads(written(c.json_add_string, broken))


def test_numbers_read_back_as_the_very_same(c):
    chance = random.Random(2)
    values = [0.0, 1.0, -400.0, 0.1, 1 / 3, 1e-300, 123456789.125, 66355200.0]
    for value in (*values, *(chance.uniform(-1e6, 1e6) for _ in range(200))):
        assert json.loads(written(c.json_add_number, value)) == value
    assert written(c.json_add_number, 0.1) == "0.1" and written(c.json_add_number, 2.0) == "2"


LOCALE_PROGRAM = """
import ctypes, locale, sys
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
assert ctypes.CDLL(None).strtod  # the same C library
class Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("a", ctypes.c_size_t), ("b", ctypes.c_size_t),
                ("failed", ctypes.c_bool)]
library = ctypes.CDLL(sys.argv[1])
library.json_add_number.argtypes = [ctypes.POINTER(Text), ctypes.c_double]
text = Text()
library.json_add_number(ctypes.byref(text), 0.5)
print(locale.str(0.5), text.data.decode())
"""


@pytest.mark.slow  # making the locale
def test_numbers_have_a_point_where_the_host_s_locale_writes_a_comma(library_path, tmp_path):
    """The locale is made for this test, where the system can."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/de_DE").is_file():
        pytest.skip("this system cannot make the locale de_DE; on Debian, install `locales`")
    made = tmp_path / "de_DE.UTF-8"
    command = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(made)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if not made.is_dir():
        pytest.skip(f"localedef made no locale: {result.stderr.strip()}")
    environment = {**os.environ, "LOCPATH": str(tmp_path)}
    printed = subprocess.check_output(
        [sys.executable, "-c", LOCALE_PROGRAM, str(library_path)],
        text=True, env=environment, timeout=120,
    )  # fmt: skip
    assert printed.split() == ["0,5", "0.5"]
