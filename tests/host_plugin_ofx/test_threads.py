"""Hosts render from many threads at once; and the same under the sanitizers."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from facegraft_cli.ofx_host import GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.scene import FRAMES, Scene, codes, unit
from tests.host_plugin_ofx.tools import build_ofx_bundle

THREADS, INSTANCES, ROUNDS = 8, 3, 3
REPOSITORY = Path(__file__).parents[2]


def render_all(host: OfxHost, scene: Scene, expected: list[np.ndarray]) -> list[str]:
    """Frames of all threads; what went wrong. Each instance is one for several threads, with the
    clips of each frame handed over under a lock, as hosts keep them apart."""
    failures: list[str] = []
    instances = [host.create(GENERAL, scene.values(erode=10.0)) for _ in range(INSTANCES)]
    locks = [threading.Lock() for _ in instances]

    def work(number: int) -> None:
        instance, lock = instances[number % INSTANCES], locks[number % INSTANCES]
        for i in range(ROUNDS):
            frame = (number + i) % FRAMES
            source = Picture.of(codes("u2", frame=frame))
            output = Picture.of(np.zeros_like(source.pixels))
            with lock:
                status = instance.render(float(frame), source, output)
            error = np.abs(unit(output.pixels)[..., :3] - expected[frame]).max()
            if status != OK or error > 2e-5:
                failures.append(f"thread {number}, frame {frame}: status {status}, off by {error}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    failures += ["a thread hangs" for thread in threads if thread.is_alive()]
    for instance in instances:
        failures += instance.effect.messages
        instance.close()
    return failures


def test_eight_threads_on_three_instances_each_get_their_own_frames(fresh_library, scene: Scene):
    host = OfxHost(fresh_library)
    expected = [
        scene.merged(unit(codes("u2", frame=f))[..., :3], f, erode=10.0)[0] for f in range(FRAMES)
    ]
    assert render_all(host, scene, expected) == []
    assert host.images_out == 0


SANITIZED_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from facegraft_cli.ofx_host import FILTER, GENERAL, OfxHost, Picture
from tests.host_plugin_ofx.scene import Scene, codes
host = OfxHost(Path(sys.argv[1]))
scene = Scene(Path(sys.argv[2]), Path(sys.argv[3]))
host.describe(FILTER)
mask = Picture.of(np.full((40, 30, 1), 0.5, np.float32), (-20, 30))
for dtype in ("u1", "u2", "f4"):
    for channels in (3, 4):
        for top_first in (False, True):
            source = Picture.of(codes(dtype, channels), (-7, 3), top_first=top_first, padding=3)
            for output in ("result", "matte", "face", "source_with_matte"):
                target = Picture.of(np.zeros((60, 140, channels), source.pixels.dtype), (-15, 9))
                with host.create(GENERAL, scene.values(output=output)) as instance:
                    assert instance.identity(0.0) == "" and instance.needed(source)
                    status = instance.render(1.0, source, target, mask=mask)
                    assert status == 0, instance.effect.messages
with host.create(GENERAL, scene.values(model="/nowhere.dfm", on_error="mark")) as instance:
    assert instance.render(0.0, source, target) == 0 and instance.effect.messages
dot = Picture.of(np.zeros((1, 1, 3), np.uint8))
with host.create(GENERAL, scene.values(frame_name="", face_choice="near")) as instance:
    assert instance.render(1e300, dot, dot) == 0
print("done")
"""


@pytest.mark.slow  # compiling with checks takes long on a busy machine
def test_address_and_undefined_behaviour_sanitizers_find_nothing(compiler, scene, tmp_path):
    """Every depth, layout and output, windows beyond the source, a mask, and errors."""
    try:
        bundle = build_ofx_bundle.build(tmp_path, compiler, sanitize=True)
    except RuntimeError as error:
        pytest.skip(f"the compiler has no sanitizers: {error}")
    asked = [*compiler, "-print-file-name=libasan.so"]
    runtime = subprocess.check_output(asked, text=True, timeout=60).strip()
    if not Path(runtime).is_file():
        pytest.skip(f"{compiler[0]} names no libasan.so, which a Python host has to load first")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(Path(runtime).resolve()),
        "ASAN_OPTIONS": "detect_leaks=0",  # of Python itself, and of its libraries
        "PYTHONPATH": str(REPOSITORY),
    }
    library = bundle / build_ofx_bundle.LIBRARY
    result = subprocess.run(
        [sys.executable, "-c", SANITIZED_PROGRAM, str(library), scene.model, scene.faceset],
        capture_output=True, text=True, timeout=400, env=environment,
    )  # fmt: skip
    assert result.stdout == "done\n" and result.returncode == 0, result.stderr[-3000:]
    assert "runtime error" not in result.stderr and "Sanitizer" not in result.stderr
