"""`facegraft ofx keys`: a file of merge parameters as properties of the node in MLT.

MLT's keys stand at whole frames, counted from where the filter begins: `0=0.5;12=1` runs linearly,
`0|=overlay;12|=seamless` holds. It has no bezier, and rounds whole numbers in a way of its own, so
such stretches get a key at every frame, with the value that `facegraft merge` takes there.
"""

import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from facegraft.faces.faceset import Faceset
from facegraft.merge.animation import ROWS, Animation, load_animation
from facegraft.merge.keys import Interpolation, Key
from facegraft_cli.options import together

SERVICE = "openfx.org.facegraft.faceswap"
FILES = {  # by the node's own names
    "model": "The .dfm file to swap with.",
    "segmenter": "XSeg or another mask network (.onnx), for the xseg mask modes.",
    "enhancer": "Super resolution network (.onnx), for the row Super resolution.",
    "fits": "What Blender's Fit Steady wrote, for Steady color and Steady mask.",
}
HOLD, LINEAR = "|=", "="  # MLT's marks between frame and value
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)$")


@click.command()
@click.argument("params", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@together(
    *(
        click.option(
            f"--{name}", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=what
        )
        for name, what in FILES.items()
    )
)
@click.option(
    "--faces",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Faceset of the clip, made by `facegraft extract`.",
)
@click.option(
    "--first",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The clip's frame at which the filter begins.",
)
@click.option("--xml", is_flag=True, help="As the <filter> of a .mlt project.")
def keys(params: Path, faces: Path | None, first: int, xml: bool, **files: Path | None) -> None:
    """Show the parameter file PARAMS, such as Blender exports, as the node's settings in MLT.

    As arguments for melt, or with --xml as the filter of a .mlt project. Rows at their default are
    left out.

    \b
    Examples:
      facegraft ofx keys keys.json --model ada.dfm --faces dst_faces --xml
      eval melt dst.mp4 "$(facegraft ofx keys keys.json --model ada.dfm)"
    """
    values = {name: str(path.absolute()) for name, path in files.items() if path is not None}
    if faces is not None:
        values |= faceset_properties(faces, first)
    values |= properties(load_animation(params), first)
    click.echo(filter_element(values) if xml else melt_arguments(values))


def properties(animation: Animation, first: int = 0) -> dict[str, str]:
    """The rows that differ from their default, as MLT's filter takes them; frame 0 is `first`."""
    found: dict[str, str] = {}
    for name, row in ROWS.items():
        if name in animation.curves:
            found[name] = _keyed(animation, name, first)
        elif getattr(animation.constants, name) != row.default:
            found[name] = _text(getattr(animation.constants, name))
    return found


def faceset_properties(folder: Path, first: int = 0) -> dict[str, str]:
    """The faceset, and how its frames are named where the filter's frame 0 is `first`.

    Raises: what `Faceset.open` raises.
    """
    aligned = next(iter(Faceset.open(folder)), None)
    values = {"faceset": str(folder.absolute())}
    if aligned is None or aligned.origin.frame_index < 0:  # made elsewhere: nothing counts
        return values
    found = _LAST_NUMBER.match(aligned.origin.frame_name)
    if found is None:
        return values
    before, digits, after = found.groups()
    offset = first + int(digits) - aligned.origin.frame_index
    return {
        **values,
        "frame_name": before + "#" * len(digits) + after,
        "frame_offset": str(offset),
    }


def melt_arguments(values: Mapping[str, str]) -> str:
    """One line for a shell."""
    return shlex.join(["-filter", SERVICE, *(f"{name}={text}" for name, text in values.items())])


def filter_element(values: Mapping[str, str]) -> str:
    """The <filter> of a .mlt file."""
    element = ElementTree.Element("filter")
    for name, text in {"mlt_service": SERVICE, **values}.items():
        ElementTree.SubElement(element, "property", name=name).text = text
    ElementTree.indent(element)
    return ElementTree.tostring(element, encoding="unicode")


def _keyed(animation: Animation, name: str, first: int) -> str:
    """A curve from frame `first` on as an animated property; one value where that is all it has."""
    curve = animation.curves[name]
    # frame of the clip: how its value goes on; before the first key, which may lie between frames
    marks = {math.floor(curve[0].frame): HOLD}
    for key, following in zip(curve, (*curve[1:], None), strict=True):
        marks |= _marks(key, following)
    running = max((frame for frame in marks if frame <= first), default=None)
    if running is not None:  # cut where the filter begins
        marks[first] = marks[running]
    kept = {frame: mark for frame, mark in sorted(marks.items()) if frame >= first}
    values = {frame: _text(getattr(animation.at(frame), name)) for frame in kept}
    if len(kept) == 1:
        return next(iter(values.values()))
    return ";".join(f"{frame - first}{mark}{values[frame]}" for frame, mark in kept.items())


def _marks(key: Key, following: Key | None) -> dict[int, str]:
    """The whole frames from `key` to `following` that need a key, and each one's mark."""
    start = math.ceil(key.frame)
    mark = LINEAR if isinstance(key.value, float) else HOLD
    if following is None:
        return {start: mark}
    if key.interpolation is Interpolation.HOLD:
        return {start: HOLD} if start < following.frame else {}
    straight = key.interpolation is Interpolation.LINEAR and mark == LINEAR
    if straight and key.frame == start and following.frame == int(following.frame):
        return {start: LINEAR}
    return {frame: mark for frame in range(start, math.ceil(following.frame))}


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
