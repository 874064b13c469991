"""What the node does when something is wrong: full pictures, clear messages, and nothing left over.

Most share a host and its engine, which every test leaves able to work; the others load copies of
the library, so that they have engines of their own.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from facegraft_cli.ofx_host import FAILED, GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.scene import Scene, codes
from tests.host_plugin_ofx.tools import build_ofx_bundle

PATIENCE_S = 120  # a loaded machine may take its time; nothing here measures any


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where the engines' folders are made, so that what is left over shows."""
    folder = tmp_path_factory.mktemp("t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def host(library, folder) -> OfxHost:
    return OfxHost(Path(shutil.copy(library, folder.parent / "Shared.ofx")))


@pytest.fixture
def own_folder(monkeypatch, tmp_path) -> Path:
    """The same for one test, whose engines are no other's."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def left_over(folder: Path) -> list[Path]:
    """Folders and shared files of engines; other libraries leave files of their own."""
    return list(folder.glob("facegraft-*"))


def children(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"facegraft.worker" in line and str(folder).encode() in line:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """Linux' letter for a process; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def frozen(folder: Path) -> int:
    """Stop the one worker, so that it answers nothing, and give its number."""
    (pid,) = children(folder)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T")
    time.sleep(0.05)  # its other threads follow the first
    return pid


def render(host: OfxHost, values: dict, time: float = 0.0, dtype: str = "f4"):
    """Status, the messages, and source and output."""
    source = Picture.of(codes(dtype))
    output = Picture.of(np.full_like(source.pixels, 9))
    with host.create(GENERAL, values) as instance:
        status = instance.render(time, source, output)
        messages = instance.effect.messages
    assert host.images_out == 0
    return status, messages, source.pixels, output.pixels


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list]:
    results: list = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


def test_a_model_that_is_missing_or_truncated_is_named_and_the_source_shows(
    host, scene: Scene, tmp_path
):
    """Then the next frame is swapped: the engine lives on."""
    broken = tmp_path / "broken.dfm"
    broken.write_bytes(scene.model.read_bytes()[:500])
    for path in (tmp_path / "missing.dfm", broken):
        status, messages, source, output = render(host, scene.values(model=str(path)))
        assert status == FAILED and len(messages) == 1 and path.name in messages[0]
        assert np.array_equal(output, source)
    status, messages, source, output = render(host, scene.values())
    assert status == OK and not messages and not np.array_equal(output, source)


def test_an_error_stops_the_render_or_passes_or_leaves_a_mark_as_asked(host, scene: Scene):
    """Always with the message, and always with a whole picture."""
    bad = scene.values(model="/nowhere.dfm")
    status, messages, source, output = render(host, {**bad, "on_error": "pass_through"})
    assert status == OK and messages and np.array_equal(output, source)
    status, messages, source, output = render(host, {**bad, "on_error": "mark"})
    assert status == OK and messages
    changed = (output != source).any(axis=2)
    assert (output[changed] == (1, 0, 0, 1)).all()
    assert changed[0].all() and changed[-1].all() and changed[:, 0].all() and changed[:, -1].all()
    assert not changed[3:-3, 3:-3].any()


def test_a_row_that_a_single_frame_cannot_follow_is_told(host, scene: Scene):
    """The frame is swapped; the sentence is the engine's, and goes with the row's value."""
    source = Picture.of(codes("u1"))
    with host.create(GENERAL, scene.values(smooth_color=5.0)) as instance:
        assert instance.render(0.0, source, Picture.of(codes("u1"))) == OK
        assert "smooth_color needs a whole clip" in instance.effect.shown
        instance.effect.params["smooth_color"].value = 0.0
        assert instance.render(0.0, source, Picture.of(codes("u1"))) == OK
        assert instance.effect.shown == ""


def test_a_message_goes_when_the_next_frame_is_right(host, scene: Scene):
    source = Picture.of(codes("u1"))
    with host.create(GENERAL, scene.values(model="/nowhere.dfm")) as instance:
        instance.render(0.0, source, source)
        assert "/nowhere.dfm" in instance.effect.shown
        instance.effect.params["model"].value = str(scene.model)
        assert instance.render(0.0, source, Picture.of(codes("u1"))) == OK
        assert instance.effect.shown == ""


@pytest.mark.parametrize("without", [("OfxMessageSuite 2",), ("OfxMessageSuite",)])
def test_older_hosts_without_persistent_messages_or_any_are_served(
    fresh_library, scene: Scene, without, capfd, monkeypatch
):
    """The text goes where there is a place for it, at last to stderr."""
    monkeypatch.setenv("FACEGRAFT_PYTHON", "/no/such/python")
    host = OfxHost(fresh_library, without=without)
    status, messages, source, output = render(host, scene.values())
    assert status == FAILED and np.array_equal(output, source)
    said = messages[0] if messages else capfd.readouterr().err
    assert "/no/such/python" in said


def test_without_an_engine_the_message_says_how_to_get_one(
    fresh_library, scene: Scene, monkeypatch
):
    host = OfxHost(fresh_library)
    monkeypatch.setenv("FACEGRAFT_PYTHON", "/no/such/python")
    status, (message,), source, output = render(host, scene.values())
    assert status == FAILED and np.array_equal(output, source)
    assert "/no/such/python" in message and "install.py env" in message


def test_the_engine_is_found_by_the_note_in_the_user_s_folder(
    fresh_library, scene: Scene, monkeypatch, tmp_path, own_folder
):
    """As the other hosts find it; a damaged note is named."""
    host = OfxHost(fresh_library)
    monkeypatch.delenv("FACEGRAFT_PYTHON")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    note = tmp_path / "data" / "facegraft" / "engine.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"python": ')
    status, (message,), *_ = render(host, scene.values())
    assert status == FAILED and str(note) in message
    note.write_text(f'{{"version": 1, "python": "{sys.executable}"}}')
    assert render(host, scene.values())[0] == OK


def test_a_python_without_the_engine_is_told_with_the_end_of_its_log(
    fresh_library, scene: Scene, monkeypatch, tmp_path, own_folder
):
    """And after the third failure in a row the next start waits."""
    host = OfxHost(fresh_library)
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'No module named facegraft' >&2\nexit 3\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FACEGRAFT_PYTHON", str(script))
    for _ in range(2):
        status, (message,), source, output = render(host, scene.values())
        assert status == FAILED and np.array_equal(output, source)
        assert "ended while starting" in message and "No module named facegraft" in message
    message = ""
    for _ in range(12):  # the pause grows, so that the slowest machine comes to ask within one
        _, (message,), *_ = render(host, scene.values())
        if "times in a row" in message:
            break
    assert "times in a row" in message and "No module named facegraft" in message
    assert not left_over(own_folder)


def test_a_worker_killed_between_frames_is_replaced_without_a_word(host, scene: Scene, folder):
    assert render(host, scene.values())[0] == OK
    (first,) = children(folder)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: state_of(first) == "Z" and len(os.listdir(f"/proc/{first}/task")) == 1)
    status, messages, *_ = render(host, scene.values(erode=5.0))
    assert status == OK and not messages
    (second,) = children(folder)
    assert second != first and state_of(first) == ""


def test_a_worker_killed_while_it_works_costs_no_frame(host, scene: Scene, folder):
    """A fresh one gets the frame, to the bit what the first would have given; nothing is said."""
    _, _, _, expected = render(host, scene.values(erode=5.0))
    assert render(host, scene.values())[0] == OK
    pid = frozen(folder)
    thread, results = in_thread(lambda: render(host, scene.values(erode=5.0)))
    time.sleep(0.3)  # most likely it waits for its answer now; if not, it is replaced before
    os.kill(pid, signal.SIGKILL)
    thread.join(PATIENCE_S)
    ((status, messages, _, output),) = results
    assert status == OK and not messages and np.array_equal(output, expected)
    assert state_of(pid) == "" and len(children(folder)) == 1


DYING_WORKER = """#!/bin/sh
echo started >> "{starts}"
shift 3
exec "{python}" -P -c '
import os, sys
from facegraft.worker import server, service
service.MergeService.merge = lambda *args, **options: os._exit(7)
server.main(sys.argv[1:])
' "$@"
"""


def test_a_worker_that_dies_of_every_frame_is_tried_twice_and_told(
    fresh_library, scene: Scene, own_folder, tmp_path, monkeypatch
):
    """The source shows; the frame after it is tried once, and the ones after that have to wait."""
    starts, script = tmp_path / "starts", tmp_path / "python"
    script.write_text(DYING_WORKER.format(starts=starts, python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FACEGRAFT_PYTHON", str(script))
    host = OfxHost(fresh_library)
    for tries in (2, 3):
        status, (message,), source, output = render(host, scene.values())
        assert status == FAILED and np.array_equal(output, source)
        assert "died while it worked" in message and "exit status 7" in message
        assert len(starts.read_text().split()) == tries
    assert not left_over(own_folder) and not children(own_folder)


def test_a_worker_that_never_answers_is_ended_after_the_time_limit(
    host, scene: Scene, folder, monkeypatch
):
    assert render(host, scene.values())[0] == OK
    pid = frozen(folder)
    monkeypatch.setenv("FACEGRAFT_MERGE_TIMEOUT", "1")
    status, (message,), source, output = render(host, scene.values(erode=5.0))
    assert status == FAILED and "no answer in time" in message and np.array_equal(output, source)
    assert state_of(pid) == ""
    monkeypatch.delenv("FACEGRAFT_MERGE_TIMEOUT")
    assert render(host, scene.values(erode=6.0))[0] == OK


def test_an_aborted_render_ends_without_a_message_and_the_next_is_right(host, scene: Scene, folder):
    """While the engine works, and before it was asked."""
    assert render(host, scene.values())[0] == OK
    pid = frozen(folder)
    source, output = Picture.of(codes("f4")), Picture.of(np.zeros_like(codes("f4")))
    with host.create(GENERAL, scene.values(erode=5.0)) as instance:
        asked = iter(range(1000000))
        instance.effect.aborted = lambda: next(asked) >= 2
        assert instance.render(0.0, source, output) == FAILED
        assert next(asked) > 2 and not instance.effect.messages
        assert np.array_equal(output.pixels, source.pixels)
    os.kill(pid, signal.SIGCONT)
    status, messages, *_ = render(host, scene.values(erode=5.0))
    assert status == OK and not messages


def test_another_table_of_controls_is_refused_with_a_sentence(
    scene: Scene, compiler, tmp_path, own_folder
):
    """A node built from another release never sets wrong values."""
    sources = tmp_path / "sources"
    sources.mkdir()
    for path in build_ofx_bundle.SOURCES.glob("*.[ch]"):
        text = path.read_text()
        if path.name == "rows.h":
            head, _, rest = text.partition("FACEGRAFT_TABLE_DIGEST ")
            text = f'{head}FACEGRAFT_TABLE_DIGEST "{"0" * 16}"\n{rest.partition(chr(10))[2]}'
            text = text.replace('FACEGRAFT_VERSION "', 'FACEGRAFT_VERSION "0.0.1 was ')
        (sources / path.name).write_text(text)
    library = tmp_path / "Other.ofx"
    command = [*compiler, "-std=c11", "-shared", "-fPIC", "-pthread", "-o", str(library)]
    subprocess.run([*command, *map(str, sources.glob("*.c"))], check=True, timeout=300)
    status, (message,), source, output = render(OfxHost(library), scene.values())
    assert status == FAILED and "controls" in message and np.array_equal(output, source)


def test_a_missing_source_gives_an_empty_picture(host, scene: Scene):
    """Some hosts give none while they interrupt a render."""
    output = Picture.of(np.full((8, 9, 4), 9, np.uint8))
    with host.create(GENERAL, scene.values()) as instance:
        assert instance.render(0.0, None, output) == FAILED
    assert not output.pixels.any() and host.images_out == 0


HOST_PROGRAM = """
import os, sys
from pathlib import Path
import numpy as np
from facegraft_cli.ofx_host import GENERAL, OfxHost, Picture
host = OfxHost(Path(sys.argv[1]))
pixels = np.full((64, 64, 4), 90, np.uint8)
values = {"model": sys.argv[2], "faceset": sys.argv[3], "frame_name": "nobody"}
with host.create(GENERAL, values) as instance:
    status = instance.render(0.0, Picture.of(pixels), Picture.of(pixels))
print(status, instance.effect.messages, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def host_process(library, scene: Scene, own_folder) -> Iterator[subprocess.Popen]:
    """A host in a process of its own, after its first frame."""
    command = [sys.executable, "-c", HOST_PROGRAM, str(library), str(scene.model)]
    process = subprocess.Popen(
        [*command, str(scene.faceset)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == "0 []\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_when_the_host_is_killed_the_engine_ends_and_cleans_up(host_process, own_folder):
    (pid,) = children(own_folder)
    host_process.kill()
    host_process.wait(PATIENCE_S)
    wait_until(lambda: state_of(pid) in ("", "Z") and not left_over(own_folder))


def test_two_hosts_have_an_engine_each_and_nothing_stays_of_the_one_that_ends(
    host_process, host, scene: Scene, own_folder
):
    assert render(host, scene.values())[0] == OK
    (pid,) = children(own_folder)
    host_process.stdin.close()
    assert host_process.wait(PATIENCE_S) == 0
    assert state_of(pid) == "" and not left_over(own_folder)
    assert render(host, scene.values(erode=5.0))[0] == OK


def test_frames_leave_no_open_files_behind(host, scene: Scene):
    """Nor does a frame that failed."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    render(host, scene.values())
    before = open_files()
    for i in range(5):
        render(host, scene.values(erode=float(i)), time=float(i))
        render(host, scene.values(model="/nowhere.dfm"))
    assert open_files() == before


def test_the_engine_gets_none_of_the_host_s_own_files(
    fresh_library, scene: Scene, own_folder, tmp_path
):
    """A file or pipe that the host left inheritable stays the host's."""
    host = OfxHost(fresh_library)
    read, write = os.pipe()
    os.set_inheritable(read, True)
    os.set_inheritable(write, True)
    try:
        assert render(host, scene.values())[0] == OK
        (pid,) = children(own_folder)
        theirs = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        assert os.readlink(f"/proc/self/fd/{read}") not in theirs
    finally:
        os.close(read)
        os.close(write)
