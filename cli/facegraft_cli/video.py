"""`facegraft video`: movies to numbered images (`extract`) and back (`assemble`)."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from facegraft.media.codecs import CODECS, CRF_RANGE, VideoCodec
from facegraft.media.convert import assemble_frames, extract_frames
from facegraft.media.images import JPEG_QUALITY
from facegraft.media.open import open_source
from facegraft_cli.report import terminal_progress
from facegraft_cli.space import space_options

PATH = click.Path(path_type=Path)
MAX_FPS = 1000  # frames/s; beyond any camera, so a typing error
# decimals that stand for a rate over 1001, by their first two places
NTSC_RATES = {
    23.98: Fraction(24000, 1001),
    29.97: Fraction(30000, 1001),
    59.94: Fraction(60000, 1001),
    119.88: Fraction(120000, 1001),
}


class Rate(click.ParamType):
    """A frame rate as people write it: 25, 23.976, or the exact 24000/1001."""

    name = "rate"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Fraction:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no frame rate; write 25, 29.97 or 30000/1001", param, ctx)
        if not 0 < rate <= MAX_FPS:
            self.fail(f"{value} is outside 0 to {MAX_FPS} frames/s", param, ctx)
        return NTSC_RATES.get(round(float(rate), 2), rate) if "/" not in str(value) else rate


@click.group()
def video() -> None:
    """Movies to numbered images, and images to movies.

    The other commands read movies directly; this is for footage that goes through other tools.
    """


@video.command()
@click.argument("clip", type=PATH)
@click.argument("folder", type=PATH)
@click.option(
    "--fps",
    type=Rate(),
    help="Keep one frame per 1/FPS of a second, by exact time; more than the clip has keeps all. "
    "For a src clip 5 to 10 are plenty.  [0 to 1000 frames/s; default: every frame]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["png", "jpg", "tiff", "exr"]),
    default="png",
    show_default=True,
    help="Image format; png and tiff keep 16 bit and alpha, jpg stores 8 bit, exr scene-linear "
    "light.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=JPEG_QUALITY,
    show_default=True,
    help="JPEG quality.",
)
@click.option("--overwrite", is_flag=True, help="Remove the folder's images first.")
@space_options
def extract(
    clip: Path,
    folder: Path,
    fps: Fraction | None,
    kind: str,
    quality: int,
    overwrite: bool,
    working_space: str,
    layer: str,
) -> None:
    """Write the frames of CLIP into FOLDER, each named by its index (000000.png).

    CLIP is a movie, a folder of images, or a pattern such as shot.####.tif. Run the same command
    again after an interruption, and it goes on where it stopped.

    \b
    Examples:
      facegraft video extract dst.mp4 dst_frames
      facegraft video extract src.mov src_frames --fps 8 --format jpg
    """
    with (
        terminal_progress() as progress,
        open_source(clip, space=working_space, layer=layer) as source,
    ):
        result = extract_frames(
            source,
            folder,
            fps=fps,
            suffix=f".{kind}",
            quality=quality,
            overwrite=overwrite,
            progress=progress,
        )
    kept = f", {result.kept} were there already" if result.kept else ""
    click.echo(f"{result.written} of {result.total} frames written to {folder}{kept}")


@video.command()
@click.argument("folder", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--fps",
    type=Rate(),
    help="Frame rate, exact: 25, 23.976 or 24000/1001. A movie given as FOLDER is retimed by it, "
    "without sound.  [0 to 1000 frames/s; default: 25, or the movie's own]",
)
@click.option(
    "--like",
    type=PATH,
    help="Take frame rate (a variable one too), colour tags and sound from this clip, which must "
    "have as many frames. Not with --fps.",
)
@click.option("--no-audio", is_flag=True, help="Leave the sound of --like out.")
@click.option(
    "--codec",
    type=click.Choice([codec.value for codec in CODECS]),
    help="h264, h265 (10 bit) and prores (HQ, 10 bit) are lossy; prores4444 keeps alpha; ffv1 "
    "(mkv), png (mov) and h264-rgb keep every pixel.  [default: h264]",
)
@click.option(
    "--crf",
    type=click.IntRange(*CRF_RANGE),
    help="Quality of h264 and h265, 0 is best; 6 more halves the size.  "
    "[default: 16 for h264, 18 for h265]",
)
@click.option(
    "--lossless",
    is_flag=True,
    help="Keep every pixel exactly: ffv1 in mkv, png in mov, h264-rgb in mp4 (8 bit).",
)
@space_options
def assemble(
    folder: Path,
    out: Path,
    fps: Fraction | None,
    like: Path | None,
    no_audio: bool,
    codec: str | None,
    crf: int | None,
    lossless: bool,
    working_space: str,
    layer: str,
) -> None:
    """Join the images of FOLDER into the movie OUT (.mp4, .mov or .mkv).

    FOLDER may be a pattern such as shot.####.png, or a movie to convert. An odd width or height
    becomes even for codecs that halve colour, by repeating the last column or row.

    \b
    Examples:
      facegraft video assemble result_frames result.mp4 --like dst.mp4
      facegraft video assemble result_frames result.mkv --fps 24000/1001 --lossless
    """
    if fps is not None and like is not None:
        raise click.UsageError("--fps and --like both set the frame rate; give one of them")
    if lossless and (codec is not None or crf is not None):
        raise click.UsageError("--lossless chooses codec and quality itself; leave them out")
    chosen = VideoCodec.LOSSLESS if lossless else VideoCodec(codec or VideoCodec.H264)
    with (
        terminal_progress() as progress,
        open_source(folder, space=working_space, layer=layer) as source,
    ):
        model = None if like is None else open_source(like)
        try:
            assemble_frames(
                source,
                out,
                fps=fps,
                like=model,
                audio=not no_audio,
                codec=chosen,
                crf=crf,
                progress=progress,
            )
        finally:
            if model is not None:
                model.close()
    click.echo(f"{source.info.frame_count} frames written to {out}")
