"""The demo from nothing to a rendered movie, stage by stage; a stage that is done is skipped.

Standard library only; each stage is a command that a user could type. What a stage was made from is
kept as a digest in `demo/stages.json`, so that a second run costs seconds and an interrupted one
goes on.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import blender
import environment
from environment import REPOSITORY, InstallError, digest_of, run, say, stage

DEMO = REPOSITORY / "demo"
SCRIPTS = REPOSITORY / "install" / "demo"
# first the shape of the faces, from distorted pictures; then detail, from the pictures as they are
PHASES = (("450", "--random-warp"), ("1000", "--no-random-warp"))  # up to which iteration, how
TRAIN_LIMIT_S = (200, 300)  # a slow machine goes on after this long with what it has
_FRAMES, _FPS, _SIDE = 100, 25, 448  # of the clips, see install/demo/footage.py
# the swap is faded in, then its matte is drawn in and softened while the shot runs
KEYS = {
    "Mix": [[5, 0.0], [30, 1.0]],
    "Erode": [[30, -20.0], [60, 60.0], [85, 0.0]],
    "Blur": [[30, 20.0], [60, 120.0], [85, 60.0]],
}
SHEET_FRAMES = [10, 18, 40, 60, 88]
Command = Sequence[str | Path]


def demo(named: Path | None, cpu: bool) -> None:
    """Raises: InstallError."""
    start = time.monotonic()
    with stage("environment"):
        python = environment.ensure(cpu=cpu)
    with stage("Blender"):
        host = blender.ensure(named, python)
    DEMO.mkdir(exist_ok=True)
    facegraft = [environment.tool_of(environment.VENV, "facegraft")]
    stages = Stages(DEMO / "stages.json")

    people = [SCRIPTS / f"{n}.py" for n in ("footage", "portrait", "head", "second_person")]
    src, dst = DEMO / "src.mp4", DEMO / "dst.mp4"
    with stage("footage"):
        stages.do("footage", people, [src, dst], [python, people[0], DEMO])
    for name, clip in (("src", src), ("dst", dst)):
        faces = DEMO / f"{name}_faces"
        with stage(f"extract {name}"):
            stages.do(f"extract {name}", [clip], [faces], [*facegraft, "extract", clip, faces])
    model, settings = DEMO / "model", SCRIPTS / "train.toml"
    say(f"training shows {model / 'preview.png'} while it runs")
    command = [*facegraft, "train", DEMO / "src_faces", DEMO / "dst_faces", model]
    command += ["--config", settings]
    for (target, warp), limit_s in zip(PHASES, TRAIN_LIMIT_S, strict=True):
        phase = [*command, "--target-iterations", target, warp]
        with stage(f"train to iteration {target}, at most {limit_s} s"):
            how = partial(run_limited, limit_s=limit_s)
            stages.do(f"train {target}", [src, dst, settings], [model], phase, how)
    dfm = DEMO / "model.dfm"
    with stage("export"):
        command = [*facegraft, "export", model, dfm, "--name", "demo", "--licence"]
        command += ["NASA portrait, public domain", "--consent"]
        command += ["none recorded; public domain portrait, for this demonstration only"]
        stages.do("export", [src, dst, settings], [dfm], command)
    with stage("render"):
        request = _write_request()
        script = SCRIPTS / "scene.py"
        result = DEMO / "result.mp4"

        def render(_: Command) -> None:
            result.unlink(missing_ok=True)
            host.environment["FACEGRAFT_PYTHON"] = str(python)
            host.run(DEMO / "render.log", script, request)

        stages.do("render", [dfm, request, script], [result], [], render)
    with stage("sheet"):
        script = SCRIPTS / "sheet.py"
        made_from = [result, request, script]
        stages.do("sheet", made_from, [DEMO / "sheet.png"], [python, script, request])
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"done in {minutes} min {seconds:02d} s: {result} and {DEMO / 'sheet.png'}")


class Stages:
    """What was made from what."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._done: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._done = {}

    def do(
        self,
        name: str,
        made_from: Sequence[Path],
        makes: Sequence[Path],
        command: Command,
        how: Callable[[Command], None] = run,
    ) -> None:
        """Run the command unless its inputs are the ones it ran on before and its outputs exist."""
        digest = digest_of(*made_from)
        if self._done.get(name) == digest and all(path.exists() for path in makes):
            say("done before")
            return
        how(command)
        missing = [str(path) for path in makes if not path.exists()]
        if missing:
            raise InstallError(f"{name} ended without making {', '.join(missing)}")
        self._done[name] = digest
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._done, indent=1), encoding="utf-8")
        os.replace(part, self._path)


def run_limited(command: Command, limit_s: float) -> None:
    """Run; after the time limit press Ctrl-C, on which training saves and leaves."""
    process = subprocess.Popen(command, cwd=REPOSITORY)
    try:
        # there is no Ctrl-C for one process on Windows: training runs to its end
        code = process.wait(limit_s if os.name != "nt" else None)
    except subprocess.TimeoutExpired:
        say(f"{limit_s:.0f} s are over: training saves and stops here")
        process.send_signal(signal.SIGINT)
        process.wait()
    except KeyboardInterrupt:
        process.wait()  # the same Ctrl-C reached it
        raise
    else:
        if code != 0:
            raise InstallError(f"training failed with code {code}, see above")


def _write_request() -> Path:
    """What Blender and the sheet are asked to do, as a file."""
    stills = DEMO / "stills"
    stills.mkdir(exist_ok=True)
    request = {
        "src": str(DEMO / "src.mp4"),
        "clip": str(DEMO / "dst.mp4"),
        "faces": str(DEMO / "dst_faces"),
        "model": str(DEMO / "model.dfm"),
        "frames": _FRAMES,
        "size": [_SIDE, _SIDE],
        "fps": _FPS,
        "keys": KEYS,
        "movie": str(DEMO / "result.mp4"),
        "blend": str(DEMO / "shot.blend"),
        "stills": {name: SHEET_FRAMES for name in ("Matte", "Face Layer")},
        "stills_folder": str(stills),
        "sheet": str(DEMO / "sheet.png"),
    }
    path = DEMO / "request.json"
    path.write_text(json.dumps(request, indent=1), encoding="utf-8")
    return path
