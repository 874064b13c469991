"""Uses everything of the node's library, for a run under the sanitizers:

    python -m tests.host_plugin_ofx.hard_use LIBRARY MODEL FACESET FOLDER

FOLDER is the TMPDIR of this run, by which its engine is known. Says on stderr what it does, and
when; prints "done" at the end. A run that takes too long shows where it waits, and ends.
"""

import faulthandler
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from facegraft_cli.ofx_host import FILTER, GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.engine_watch import children, frozen, state_of
from tests.host_plugin_ofx.scene import FRAMES, Scene, codes

MOST_S = 240.0  # ten times what a busy machine was seen to need
BEGIN = time.monotonic()


def step(what: str) -> None:
    print(f"{time.monotonic() - BEGIN:7.2f} s: {what}", file=sys.stderr, flush=True)


def every_layout(host: OfxHost, scene: Scene) -> None:
    """Depths, components, row orders and outputs, with windows beyond the source, and a mask."""
    mask = Picture.of(np.full((40, 30, 1), 0.5, np.float32), (-20, 30))
    for dtype in ("u1", "u2", "f2", "f4"):
        for channels in (3, 4):
            for top_first in (False, True):
                pixels = codes(dtype, channels)
                source = Picture.of(pixels, (-7, 3), top_first=top_first, padding=3)
                for output in ("result", "matte", "face", "source_with_matte"):
                    target = Picture.of(np.zeros((60, 140, channels), pixels.dtype), (-15, 9))
                    with host.create(GENERAL, scene.values(output=output)) as instance:
                        assert instance.identity(0.0) == "" and instance.needed(source)
                        status = instance.render(1.0, source, target, mask=mask)
                        assert status == OK, instance.effect.messages


def odd_frames(host: OfxHost, scene: Scene) -> None:
    """A model that is missing, a single pixel at a wild time, a host's words for colours."""
    picture, dot = Picture.of(codes("f4")), Picture.of(np.zeros((1, 1, 3), np.uint8))
    with host.create(GENERAL, scene.values(model="/nowhere.dfm", on_error="mark")) as instance:
        assert instance.render(0.0, picture, picture) == OK and instance.effect.messages
    with host.create(GENERAL, scene.values(frame_name="", face_choice="near")) as instance:
        assert instance.render(1e300, dot, dot) == OK
    with host.create(FILTER, scene.values()) as instance:
        for word in ("ACEScg", "x" * 5000):
            instance.set_colour(word)
            assert instance.preferences() and instance.output_colour()
            assert instance.render(0.0, picture, Picture.of(codes("f4"))) == OK


def many_threads(host: OfxHost, scene: Scene) -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        for i in range(3):
            source = Picture.of(codes("u2", frame=(number + i) % FRAMES))
            with host.create(GENERAL, scene.values(erode=float(number))) as instance:
                status = instance.render(float((number + i) % FRAMES), source, source)
                failures.extend([] if status == OK else instance.effect.messages)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def lost_engines(host: OfxHost, scene: Scene, library: Path, folder: Path) -> None:
    """One is killed while it has a frame, and one never starts."""
    (pid,) = children(folder)
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "asan" not in maps, "the engine must not inherit what is preloaded into its host"
    frozen(folder)
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    picture = Picture.of(codes("f4"))
    with host.create(GENERAL, scene.values(erode=3.0)) as instance:
        assert instance.render(0.0, picture, picture) == OK, instance.effect.messages
    killer.join()
    assert state_of(pid) == ""
    os.environ["FACEGRAFT_PYTHON"] = "/bin/false"
    other = OfxHost(Path(shutil.copy(library, folder / "Other.ofx")), without=("OfxMessageSuite",))
    for _ in range(4):
        with other.create(GENERAL, scene.values(on_error="pass_through")) as instance:
            assert instance.render(0.0, picture, picture) == OK


def main() -> None:
    faulthandler.dump_traceback_later(MOST_S, exit=True)
    library, model, faceset, folder = map(Path, sys.argv[1:])
    step("loading")
    host, scene = OfxHost(library, style="Core"), Scene(model, faceset)
    step("every layout")
    every_layout(host, scene)
    step("odd frames")
    odd_frames(host, scene)
    step("many threads")
    many_threads(host, scene)
    step("lost engines")
    lost_engines(host, scene, library, folder)
    step("leaving")
    print("done", flush=True)


if __name__ == "__main__":
    main()
