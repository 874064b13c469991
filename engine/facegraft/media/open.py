"""`open_source()`: look at a path and give its frames, whatever kind it is."""

import re
from fractions import Fraction
from pathlib import Path

from facegraft.errors import SourceNotFound, UnreadableMedia
from facegraft.media.sequence import FRAME_SUFFIXES, ImageSequence, numeric_order
from facegraft.media.source import FrameSource
from facegraft.media.video import MovieSource
from facegraft.media.working_space import AUTO

# "shot.####.png", or "shot.%04d.png" as FFmpeg writes it
PATTERN = re.compile(r"#+|%0?\d*d")


def open_source(
    path: Path | str,
    fps: Fraction | int | None = None,
    space: str = AUTO,
    layer: str = "",
) -> FrameSource:
    """Open a movie, a folder of images, a numbered pattern, one file of a sequence, or one image.

    fps: rate of an image sequence (None: what its files say, else 25); a movie keeps its own.
    space: what the numbers mean, a name of `working_space.open_space`; auto goes by the file.
    layer: of EXR files, '' for their usual colour.
    Raises: SourceNotFound, UnreadableMedia, both naming the path, what was found and what to do;
    for `space` what `open_space` raises.
    """
    path = Path(path)
    rate = None if fps is None else Fraction(fps)
    if path.is_dir():
        files = [file for file in path.iterdir() if _is_image(file)]
        if not files:
            raise SourceNotFound(
                f"no images in the folder {path} ({_list_folder(path)}); "
                f"{', '.join(sorted(FRAME_SUFFIXES))} are read"
            )
        return _sequence(path, files, rate, space, layer)
    if PATTERN.search(path.name) and not path.exists():
        return _sequence(path, _match_pattern(path), rate, space, layer)
    if not path.exists():
        raise SourceNotFound(
            f"nothing at {path} ({_list_folder(path.parent)}); check the name, or give a pattern "
            "such as shot.####.png"
        )
    if path.suffix.lower() in FRAME_SUFFIXES:
        return _sequence(path, _siblings(path), rate, space, layer)
    return MovieSource(path, space)


def _sequence(
    path: Path, files: list[Path], fps: Fraction | None, space: str, layer: str
) -> ImageSequence:
    return ImageSequence(path, sorted(files, key=numeric_order), fps, space, layer)


def _is_image(file: Path) -> bool:
    hidden = file.name.startswith(".")  # temporary files, and what macOS leaves on disks
    return file.suffix.lower() in FRAME_SUFFIXES and not hidden and file.is_file()


def _match_pattern(path: Path) -> list[Path]:
    """Files of a pattern: as many digits as there are `#`, or as `%0Nd` pads to, or more."""
    marks = PATTERN.findall(path.name)
    if len(marks) != 1:
        raise UnreadableMedia(f"{path} has {len(marks)} number patterns; one is needed")
    digits = re.search(r"\d+", marks[0])
    width = marks[0].count("#") or (int(digits[0]) if digits else 1)
    before, after = path.name.split(marks[0])
    name = re.compile(re.escape(before) + rf"\d{{{width},}}" + re.escape(after))
    folder = path.parent
    files = (
        [file for file in folder.iterdir() if name.fullmatch(file.name)] if folder.is_dir() else []
    )
    if not files:
        raise SourceNotFound(
            f"no file fits the pattern {path} ({_list_folder(folder)}); check prefix and digits"
        )
    return files


def _siblings(path: Path) -> list[Path]:
    """The sequence that a file with a number at its end belongs to; itself alone without one."""
    match = re.fullmatch(r"(.*?)(\d+)", path.stem)
    if match is None:
        return [path]
    name = re.compile(re.escape(match[1]) + r"\d+" + re.escape(path.suffix))
    return [file for file in path.parent.iterdir() if name.fullmatch(file.name)]


def _list_folder(folder: Path) -> str:
    """What is in a folder, for a message: a few names, or that it does not exist."""
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    names = sorted(file.name for file in folder.iterdir())
    if not names:
        return "the folder is empty"
    shown = ", ".join(names[:5])  # enough to see what kind of folder it is
    return f"it holds {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
