"""No room for what host and engine share: the source shows, the message says what to do, and with
room again the next frame is right.

The places that the node writes to are small file systems of this test's own, seen by its processes
alone.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft_cli.ofx_host import FAILED, OK
from tests.host_plugin_ofx.scene import Scene

REPOSITORY = Path(__file__).parents[2]

# small file systems over both places; what the host needs shows through, wherever it lies
SMALL_PLACES = """
set -e
mount -t tmpfs none /mnt
n=0
for kept in "$@"; do
    [ "$kept" != -- ] || break
    n=$((n + 1)); mkdir /mnt/$n; mount --bind "$kept" /mnt/$n
done
mount -t tmpfs -o size=128k,nr_inodes=64,mode=1777 none /dev/shm
mount -t tmpfs -o size=128k,nr_inodes=64,mode=1777 none /tmp
n=0
while [ "$1" != -- ]; do
    n=$((n + 1)); mkdir -p "$1"; mount --bind /mnt/$n "$1"; shift
done
shift
exec "$@"
"""
HOST = """
import json, os, subprocess, sys
from pathlib import Path
import numpy as np
from facegraft_cli.ofx_host import OfxHost
from tests.host_plugin_ofx.scene import Scene, render
library, model, faceset, fills = sys.argv[1:]
host, scene = OfxHost(Path(library)), Scene(Path(model), Path(faceset))
made = []
while fills:
    try:
        made.append(Path(f"/tmp/{len(made)}"))
        made[-1].touch()
    except OSError:
        break
for attempt in range(2):
    status, messages, source, output = render(host, scene.values())
    print(json.dumps([status, messages, bool(np.array_equal(source, output))]), flush=True)
    for path in made[:-1]:
        path.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=64m", "/dev/shm"], check=True)
"""


@pytest.fixture
def in_small_places(library, scene: Scene, tmp_path, tmp_path_factory):
    """Run the host above; what each of its two frames gave."""
    unshare = shutil.which("unshare")
    probe = [unshare or "", "-rm", "mount", "-t", "tmpfs", "none", "/dev/shm"]
    if unshare is None or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a file system of its own (unshare -rm)")

    def run(fills: str) -> list[tuple[int, list[str], bool]]:
        command = [unshare, "-rm", "sh", "-c", SMALL_PLACES, "sh"]
        command += [str(REPOSITORY), sys.prefix, str(tmp_path_factory.getbasetemp()), "--"]
        command += [sys.executable, "-c", HOST]
        command += [str(library), str(scene.model), str(scene.faceset), fills]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=240, cwd=REPOSITORY,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": "/tmp",
                 "FACEGRAFT_PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return [tuple(json.loads(line)) for line in result.stdout.splitlines()]

    return run


def test_without_room_for_shared_frames_the_message_says_so(in_small_places):
    first, second = in_small_places("")
    status, (message,), is_source = first
    assert status == FAILED and is_source
    assert "shared frames" in message and "No space left" in message and "free some" in message
    assert second == (OK, [], False)


def test_without_room_for_the_engine_s_folder_the_message_says_so(in_small_places):
    """Not one more file fits into the temporary folder."""
    first, second = in_small_places("fills")
    status, (message,), is_source = first
    assert status == FAILED and is_source
    assert "cannot make a folder in /tmp: No space left" in message and "free some" in message
    assert second == (OK, [], False)
