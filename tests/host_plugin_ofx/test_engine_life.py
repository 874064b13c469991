"""The engine's process: replaced when it dies, ended with its host, and nothing left over."""

import os
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
from tests.host_plugin_ofx.engine_watch import (
    PATIENCE_S,
    children,
    frozen,
    left_over,
    state_of,
    wait_until,
)
from tests.host_plugin_ofx.scene import Scene, codes, render


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list]:
    results: list = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


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


def test_a_render_that_is_aborted_while_the_engine_starts_leaves_none_behind(
    fresh_library, scene: Scene, own_folder, tmp_path, monkeypatch
):
    """It says nothing, and the next frame starts another."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FACEGRAFT_PYTHON", str(script))
    source, output = Picture.of(codes("f4")), Picture.of(np.zeros_like(codes("f4")))
    host = OfxHost(fresh_library)
    with host.create(GENERAL, scene.values()) as instance:
        asked = iter(range(1000000))
        instance.effect.aborted = lambda: next(asked) >= 3
        assert instance.render(0.0, source, output) == FAILED
        assert not instance.effect.messages and np.array_equal(output.pixels, source.pixels)
    assert not left_over(own_folder)
    monkeypatch.setenv("FACEGRAFT_PYTHON", sys.executable)
    assert render(host, scene.values())[0] == OK


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


def test_what_stays_of_a_host_and_an_engine_that_are_killed_goes_with_the_next_engine(
    host_process, fresh_library, scene: Scene, own_folder
):
    """A socket that nobody listens to, and its folder."""
    (pid,) = children(own_folder)
    os.kill(pid, signal.SIGSTOP)  # it sees nothing of the host's end
    host_process.kill()
    host_process.wait(PATIENCE_S)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state_of(pid) in ("", "Z"))
    (stale,) = left_over(own_folder)
    assert (stale / "s").is_socket()
    hour_ago = time.time() - 3600
    os.utime(stale, (hour_ago, hour_ago))
    assert render(OfxHost(fresh_library), scene.values())[0] == OK
    assert not stale.exists() and len(left_over(own_folder)) == 1


def test_two_hosts_have_an_engine_each_and_nothing_stays_of_the_one_that_ends(
    host_process, host, scene: Scene, own_folder
):
    assert render(host, scene.values())[0] == OK
    (pid,) = children(own_folder)
    host_process.stdin.close()
    assert host_process.wait(PATIENCE_S) == 0
    assert state_of(pid) == "" and not left_over(own_folder)
    assert render(host, scene.values(erode=5.0))[0] == OK


def test_frames_leave_no_open_files_mappings_or_dead_children_behind(host, scene: Scene, folder):
    """Nor does a frame that failed, or one whose engine was killed."""

    def kept() -> tuple[int, int]:
        mappings = Path("/proc/self/maps").read_text().count("facegraft-")
        return len(os.listdir("/proc/self/fd")), mappings

    render(host, scene.values())
    before = kept()
    for i in range(5):
        render(host, scene.values(erode=float(i)), time=float(i))
        render(host, scene.values(model="/nowhere.dfm"))
    assert kept() == before
    for i in range(2):
        (pid,) = children(folder)
        os.kill(pid, signal.SIGKILL)
        assert render(host, scene.values(erode=float(i)))[0] == OK
        assert kept() == before and state_of(pid) == "" and len(left_over(folder)) == 1


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
