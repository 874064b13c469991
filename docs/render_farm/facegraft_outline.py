"""A merge for OpenCue: an outline with one layer that merges a chunk of frames in each task.

pip install opencue-pyoutline, point it at your Cuebot, then:

    python facegraft_outline.py plates result ada.dfm dst_faces params.json 0-239

Arguments are as for facegraft_merge.openjd.yaml beside this file. Cuebot puts the numbers into the
command. It counts whole chunks, so the last one may end past the range: frames past the clip are
left out, and images that are there already are left alone, also where a frame is tried again.
"""

import argparse
import shlex
from collections.abc import Sequence

from outline import Outline
from outline.cuerun import OutlineLauncher
from outline.modules.shell import Shell

CHUNK = 20  # frames of one task; opening the networks takes a second or two


def make_outline(
    clip: str,
    out: str,
    model: str,
    faces: str,
    params: str,
    frames: str,
    facegraft: Sequence[str] = ("facegraft",),
    chunk: int = CHUNK,
    threads: int = 2,
) -> Outline:
    """The job, not launched yet; `frames` are counted from 0."""
    outline = Outline("facegraft_merge", frame_range=frames)
    words = [
        *facegraft, "merge", clip, out, "--model", model, "--faces", faces, "--params", params,
        "--threads", str(threads), "--skip-existing",
    ]  # fmt: skip
    # the command is run by a shell, after the numbers have taken the tokens' places
    command = [*map(shlex.quote, words), "--frames", "#FRAME_START#-#FRAME_END#"]
    outline.add_layer(Shell("merge", command=command, range=frames, chunk=chunk, threads=threads))
    return outline


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name in ("clip", "out", "model", "faces", "params", "frames"):
        parser.add_argument(name)
    # Cuebot's tokens stand in the command itself, so it is not wrapped by pycuerun
    OutlineLauncher(make_outline(**vars(parser.parse_args()))).launch(use_pycuerun=False)


if __name__ == "__main__":
    main()
