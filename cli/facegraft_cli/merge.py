"""`facegraft merge`: the model's face into a clip."""

import re
from pathlib import Path
from typing import Any

import click

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.inference import SwapModel
from facegraft.media.codecs import VideoCodec
from facegraft.media.open import open_source
from facegraft.media.source import FrameSource
from facegraft.merge.animation import Animation, load_animation
from facegraft.merge.clip.faces import ClipFaces, faces_from_set, find_faces
from facegraft.merge.job import MergeJob
from facegraft.merge.out.output import open_output, provenance
from facegraft.merge.params import MergeParams
from facegraft.merge.run import MergeReport, merge_clip
from facegraft_cli.options import given_values, table_options
from facegraft_cli.report import TerminalProgress, terminal_progress

PATH = click.Path(path_type=Path)
NAMES_SHOWN = 12  # frames without a face that the report names


@click.command()
@click.argument("clip", type=PATH)
@click.argument("out", type=PATH)
@click.option("--model", "model_path", type=PATH, required=True, help="The .dfm file.")
@click.option(
    "--faces",
    type=PATH,
    help="Faceset that was extracted from CLIP; without it faces are searched first. Faces whose "
    "images were deleted from it stay as they are.",
)
@click.option("--matte", type=PATH, help="Where the matte of every frame goes; forms as for OUT.")
@click.option(
    "--params",
    "params_path",
    type=PATH,
    help="JSON file of the options below, constant or keyed by frame; flags win over it.",
)
@table_options(MergeParams)
@click.option("--frames", help="Merge only frames FIRST-LAST or one, counted from 0.")
@click.option(
    "--max-faces",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Merge only the largest faces of each frame; 0 merges all.",
)
@click.option(
    "--codec",
    type=click.Choice([codec.value for codec in VideoCodec]),
    default=VideoCodec.H264.value,
    show_default=True,
    help="For movies; lossless keeps every untouched pixel as it is.",
)
@click.option("--no-audio", is_flag=True, help="Leave the clip's sound out.")
@click.option("--skip-existing", is_flag=True, help="Continue: leave images that are there.")
def merge(
    clip: Path,
    out: Path,
    model_path: Path,
    faces: Path | None,
    matte: Path | None,
    params_path: Path | None,
    frames: str | None,
    max_faces: int,
    codec: str,
    no_audio: bool,
    skip_existing: bool,
    **values: Any,
) -> None:
    """Put the face of a model into CLIP (a movie, a folder of images, or name.####.png).

    OUT is a movie (.mp4, .mov, .mkv), a folder for PNG images, or a pattern such as
    result/shot.####.tif. Pixels where the matte is 0 stay exactly as they are.

    \b
    Examples:
      facegraft merge dst.mp4 result.mp4 --model ada.dfm --faces dst_faces
      facegraft merge plates/shot.####.tif result/shot.####.tif --model ada.dfm --matte mattes
      facegraft merge dst.mp4 result.mkv --model ada.dfm --codec lossless --blur 60 --erode 20
    """
    animation = load_animation(params_path) if params_path else Animation.constant(MergeParams())
    animation = animation.with_constants(given_values(values))
    if matte is not None and matte.resolve() == out.resolve():
        raise ParameterError(f"--matte and OUT are both {out}; give the matte a place of its own")
    model = SwapModel.open(model_path)
    with open_source(clip) as source, terminal_progress() as progress:
        info = source.info
        indices = parse_frames(frames, info.frame_count)
        audio = not no_audio and indices[0] == 0
        if info.has_audio and not no_audio and not audio:
            progress.note("no sound: --frames does not begin with the clip")
        show_record(model, progress)
        faces_for = choose_faces(faces, source, max_faces, progress)
        if faces_for is None:
            from facegraft.faces.detect import FaceDetector

            faces_for = find_faces(source, indices, FaceDetector(), max_faces, progress)
        job = MergeJob(model, animation, faces_for)
        alpha = source[indices[0]].alpha is not None
        with open_output(
            out, info, codec=codec, audio=audio, alpha=alpha, about=provenance(model)
        ) as output:
            if matte is None:
                report = merge_clip(
                    source, output, None, job, indices, skip_existing, progress,
                )  # fmt: skip
            else:
                with open_output(matte, info, codec=codec, audio=False) as matte_output:
                    report = merge_clip(
                        source, output, matte_output, job, indices, skip_existing, progress,
                    )  # fmt: skip
    click.echo(describe(report, out))


def choose_faces(
    folder: Path | None, source: FrameSource, max_faces: int, progress: TerminalProgress
) -> ClipFaces | None:
    """Faces of a faceset, or None where they have to be searched."""
    if folder is None:
        return None
    faceset = Faceset.open(folder)
    names = sorted({face.origin.source_name for face in faceset})
    clip = source.info.path.name
    if clip not in names:
        progress.note(f"{folder} was extracted from {', '.join(names[:3])}, not {clip}")
    return faces_from_set(faceset, source, max_faces)


def show_record(model: SwapModel, progress: TerminalProgress) -> None:
    """Who made the model and what it may be used for, where somebody wrote it down."""
    if model.record is None:
        return
    for label in ("name", "author", "licence", "consent", "contact"):
        text = getattr(model.record, label)
        if text:
            progress.note(f"model {label}: {text}")


def parse_frames(text: str | None, count: int) -> range:
    """'10-20' or '10' as indices. Raises: ParameterError naming the clip's range."""
    if text is None:
        return range(count)
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    first = int(match[1]) if match else -1
    last = int(match[2] or match[1]) if match else -1
    if not 0 <= first <= last < count:
        raise ParameterError(f"--frames is {text}; the clip has frames 0-{count - 1}")
    return range(first, last + 1)


def describe(report: MergeReport, out: Path) -> str:
    """The closing report, in sentences."""
    merged = report.frame_count - report.skipped_frames
    rate = merged / max(report.seconds, 1e-9)
    lines = [
        f"{report.face_count} faces merged in {merged} frames into {out} "
        f"({report.seconds:.1f} s, {rate:.1f} frames/s)"
    ]
    if report.skipped_frames:
        lines.append(f"{report.skipped_frames} frames were there already")
    names = report.frames_without_face
    if names:
        more = f", and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        lines.append(
            f"{len(names)} without a face passed through: {', '.join(names[:NAMES_SHOWN])}{more}"
        )
    return "\n".join(lines)
