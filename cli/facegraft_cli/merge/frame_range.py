"""Help section "Range and farm": which frames, and how a farm follows and judges the work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from facegraft.errors import ParameterError
from facegraft.progress import Progress
from facegraft_cli.options import option_in, together
from facegraft_cli.progress_lines import PROGRESS_KINDS

SECTION = "Range and farm"
_PART = re.compile(r"(\d+)(?:-(\d+)(?:[x:](\d+))?)?")

range_options = together(
    option_in(
        SECTION,
        "--frames",
        help="Merge only these frames, counted from 0: 12, 1-100, 200-240x2 (every second), or "
        "several such parts with commas. What lies outside the clip is left out.",
    ),
    option_in(
        SECTION,
        "--skip-existing",
        is_flag=True,
        help="Continue: leave images that are there. Each is written whole or not at all.",
    ),
    option_in(
        SECTION,
        "--fail-without-face",
        is_flag=True,
        help="End with exit code 4 where a frame has no face to merge; it is written all the same.",
    ),
    option_in(
        SECTION,
        "--progress",
        type=click.Choice(list(PROGRESS_KINDS)),
        default="bar",
        show_default=True,
        help="bar for people; json writes one object a line to standard output; openjd writes the "
        "progress lines of Open Job Description.",
    ),
)


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Rising indices of a clip's frames. `beyond`: the text named frames that the clip lacks."""

    indices: tuple[int, ...]
    beyond: bool = False

    @property
    def is_from_start(self) -> bool:
        """Whether it is the clip's beginning without a gap, so that the sound fits."""
        return self.indices == tuple(range(len(self.indices)))


def parse_frames(text: str | None, count: int) -> FrameRange:
    """'1-100,200-240x2' as indices of a clip of `count` frames; None for all.

    Raises: ParameterError for another form, and where no frame of it lies in the clip.
    """
    if text is None:
        return FrameRange(tuple(range(count)))
    chosen: set[int] = set()
    beyond = False
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        first, last, step = (0, -1, 1)
        if match:
            first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise ParameterError(
                f"--frames is {text!r}, and {part.strip()!r} is no range; write 12, 1-100 or "
                "1-100x2, several with commas"
            )
        chosen.update(range(first, min(last, count - 1) + 1, step))
        beyond = beyond or last >= count
    if not chosen:
        raise ParameterError(
            f"--frames is {text}, and the clip has frames 0-{count - 1}; choose some of them"
        )
    return FrameRange(tuple(sorted(chosen)), beyond)


def chosen_frames(values: Mapping[str, Any], count: int, progress: Progress) -> FrameRange:
    """Raises: as `parse_frames`."""
    frames = parse_frames(values["frames"], count)
    if frames.beyond:
        progress.note(
            f"--frames {values['frames']} goes past the clip, which ends with frame {count - 1}: "
            f"{len(frames.indices)} frames are merged"
        )
    return frames
