"""Which frames `--frames` means, and what a farm is told: ranges, progress and exit codes."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from facegraft import errors
from facegraft.errors import FacegraftError, ParameterError
from facegraft_cli.exit_codes import exit_code_of
from facegraft_cli.main import cli, main
from facegraft_cli.merge.frame_range import parse_frames
from facegraft_cli.progress_lines import JsonLines, OpenJdLines
from tests.engine.merge_clips import (
    FACELESS,
    frames_with_faces,
    make_faceset,
    oval_mask,
    write_sequence,
)
from tests.engine.tiny_dfm import write_dfm

PATIENCE_S = 300


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """A folder with plates, their faceset and a model."""
    folder = tmp_path_factory.mktemp("range")
    write_sequence(folder / "plates", frames_with_faces())
    make_faceset(folder / "plates", folder / "faces")
    write_dfm(folder / "m.dfm", 64, (0.3, 1, 1), (0, 0, 0), oval_mask(), oval_mask())
    return folder


def arguments(job: Path, out: Path, *more: object) -> list[str]:
    words = ["merge", job / "plates", out, "--model", job / "m.dfm", "--faces", job / "faces"]
    return [str(word) for word in (*words, *more)]


def facegraft(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, range(10)),
        ("3", [3]),
        ("2-4", [2, 3, 4]),
        ("0-8x4", [0, 4, 8]),
        ("0-8:4", [0, 4, 8]),
        ("7, 1-2 ,2-3", [1, 2, 3, 7]),
        ("5-5", [5]),
    ],
)
def test_a_range_names_frames_that_come_out_once_and_rising(text, expected):
    frames = parse_frames(text, 10)
    assert list(expected) == list(frames.indices) and not frames.beyond


@pytest.mark.parametrize(("text", "expected"), [("8-99", [8, 9]), ("0-99x5,200", [0, 5])])
def test_what_lies_past_the_clip_is_left_out_and_known(text, expected):
    frames = parse_frames(text, 10)
    assert expected == list(frames.indices) and frames.beyond


@pytest.mark.parametrize("text", ["", "x", "-3", "3-", "4-2", "1-9x0", "1,,2", "1.5", "1-2-3"])
def test_what_is_no_range_is_refused_with_the_forms_there_are(text):
    with pytest.raises(ParameterError, match="write 12, 1-100 or 1-100x2"):
        parse_frames(text, 10)


def test_a_range_without_any_frame_of_the_clip_is_refused():
    with pytest.raises(ParameterError, match="the clip has frames 0-9"):
        parse_frames("10-20", 10)


def test_chunks_that_go_past_the_clip_say_so_and_merge_what_there_is(job, tmp_path):
    done = facegraft(*arguments(job, tmp_path / "out", "--frames", "0-3x3,5-90"))
    assert done.exit_code == 0, done.output
    assert "goes past the clip, which ends with frame 5: 3 frames are merged" in done.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert ["shot.1001.png", "shot.1004.png", "shot.1006.png"] == names


def test_frames_without_a_face_change_the_exit_code_only_when_asked(job, tmp_path):
    """And they are written all the same."""
    frames = f"{FACELESS}"
    assert facegraft(*arguments(job, tmp_path / "a", "--frames", frames)).exit_code == 0
    words = arguments(job, tmp_path / "b", "--frames", frames, "--fail-without-face")
    with pytest.raises(SystemExit) as left:
        main(words)
    assert 4 == left.value.code
    assert 1 == len(list((tmp_path / "b").iterdir()))
    main(arguments(job, tmp_path / "c", "--frames", "0", "--fail-without-face"))


def test_progress_as_json_is_one_object_a_line_from_start_to_end(job, tmp_path):
    done = facegraft(*arguments(job, tmp_path / "out", "--progress", "json"))
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    start = {"event": "start", "stage": "frames merged", "total": 6, "done": 0}
    assert start in lines
    steps = [line["done"] for line in lines if line["event"] == "progress"]
    assert [1, 2, 3, 4, 5, 6] == steps
    assert ("end", 6, 5) == (lines[-1]["event"], lines[-1]["frames"], lines[-1]["faces"])
    assert [f"shot.{1001 + FACELESS}"] == lines[-1]["without_face"]


def test_an_error_is_the_last_line_of_json_with_its_exit_code(job, tmp_path):
    done = facegraft(*arguments(job, tmp_path / "out", "--progress", "json", "--frames", "77"))
    last = json.loads(done.stdout.splitlines()[-1])
    assert ("error", "ParameterError", 3) == (last["event"], last["error"], last["exit_code"])
    assert "the clip has frames 0-5" in last["text"]


def test_open_job_description_gets_percent_and_status():
    stream = io.StringIO()
    lines = OpenJdLines(stream)
    lines.start(4, "frames merged")
    lines.advance(note="shot.1001: 1 face")
    lines.advance(3)
    lines.end("done", {})
    assert [
        "openjd_status: frames merged",
        "openjd_progress: 25.0",
        "openjd_progress: 100.0",
        "done",
    ] == stream.getvalue().splitlines()


def test_a_request_to_stop_writes_no_line_into_another():
    """The signal may come while a line is written."""
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines.ask_to_stop()
    assert lines.cancelled and "" == stream.getvalue()


_BAD_INPUT = {
    "ParameterError", "SourceNotFound", "UnreadableMedia", "FacesetError", "EmptyFaceset",
    "BadAlignedImage", "FutureVersion", "WeightsError", "MissingWeights", "BadWeights",
    "ModelError", "NotAModel", "DflFormatError",
}  # fmt: skip


def test_every_error_of_ours_has_its_exit_code():
    family = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, FacegraftError)
    }
    codes = {name: exit_code_of(kind("text")) for name, kind in family.items()}
    assert _BAD_INPUT <= {name for name, code in codes.items() if code == 3}
    assert {codes[name] for name in ("ParityError", "RunInUse", "OutOfMemory", "WorkerDied")} == {1}
    assert ["Cancelled"] == [name for name, code in codes.items() if code == 130]
    assert {1, 3, 130} == set(codes.values())


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 5), (errno.EDQUOT, 5), (errno.EACCES, 1)]
)
def test_a_full_disk_is_told_from_other_failures_to_write(number, code):
    error = errors.WriteError("cannot write")
    error.errno = number
    assert code == exit_code_of(error)


def read_line(pipe: int) -> bytes:
    """One line and not a byte more, so that the pipe stays full."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(pipe, 1)
        assert byte, "the process ended"
        line += byte
    return line


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the size of a pipe")
def test_sigterm_ends_a_task_with_code_130_and_the_next_one_goes_on(tmp_path):
    """The pipe is too small for the progress of all frames, so the work waits for its reader."""
    import fcntl

    write_sequence(tmp_path / "plates", frames_with_faces(6) * 12)
    make_faceset(tmp_path / "plates", tmp_path / "faces")
    write_dfm(tmp_path / "m.dfm", 64, (0.3, 1, 1), (0, 0, 0), oval_mask(), oval_mask())
    words = arguments(tmp_path, tmp_path / "out", "--progress", "json")
    ours, theirs = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([sys.executable, "-m", "facegraft_cli", *words], stdout=theirs)
    os.close(theirs)
    try:
        while json.loads(read_line(ours))["event"] != "progress":
            pass
        process.send_signal(signal.SIGTERM)
        with os.fdopen(ours, encoding="utf-8") as rest:
            output = rest.read()
        assert 130 == process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    last = json.loads(output.splitlines()[-1])
    assert ("error", "Cancelled", 130) == (last["event"], last["error"], last["exit_code"])
    kept = len(list((tmp_path / "out").iterdir()))
    assert 1 <= kept < 72
    done = facegraft(*words, "--skip-existing")
    end = json.loads(done.stdout.splitlines()[-1])
    assert (72, kept) == (end["frames"], end["skipped"])
    assert 72 == len(os.listdir(tmp_path / "out"))
