"""`facegraft merge`: the model's face into a clip."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from facegraft.media.open import open_source
from facegraft.media.source import FrameSource
from facegraft.merge.job import MergeJob
from facegraft.merge.out.output import provenance
from facegraft.merge.out.outputs import open_outputs
from facegraft.merge.over_time import looks_along
from facegraft.merge.run import MergeReport, merge_clip
from facegraft.progress import Progress
from facegraft_cli.exit_codes import WITHOUT_FACE
from facegraft_cli.merge.closing import describe, to_values
from facegraft_cli.merge.controls import check_needs, chosen_controls, control_options
from facegraft_cli.merge.device import Device, chosen_device, device_options
from facegraft_cli.merge.face_choice import Chooser, clip_params, face_options, leaves_faces
from facegraft_cli.merge.frame_range import FrameRange, chosen_frames, range_options
from facegraft_cli.merge.inputs import (
    PATH,
    host_mattes,
    input_options,
    open_networks,
    tell_records,
)
from facegraft_cli.merge.outputs import chosen_outputs, is_movie, output_options
from facegraft_cli.merge.suspicions import report_options, report_suspicious
from facegraft_cli.options import GroupedCommand
from facegraft_cli.progress_lines import reporter
from facegraft_cli.space import space_options


@click.command(cls=GroupedCommand)
@click.argument("clip", type=PATH)
@click.argument("out", type=PATH)
@input_options
@face_options
@control_options
@space_options
@output_options
@report_options
@range_options
@device_options
@click.pass_context
def merge(context: click.Context, clip: Path, out: Path, **values: Any) -> None:
    """Put the face of a model into CLIP (a movie, a folder of images, or name.####.exr).

    OUT is a movie (.mp4, .mov, .mkv), a folder for images, or a pattern such as
    result/shot.####.tif. Pixels where the matte is 0 stay exactly as they are.

    \b
    Examples:
      facegraft merge dst.mp4 result.mp4 --model ada.dfm --faces dst_faces --preset natural
      facegraft merge plates/shot.####.exr result/shot.####.exr --model ada.dfm --matte mattes
      facegraft merge dst.mp4 result.mkv --model ada.dfm --codec lossless --blur 60 --erode 20
      facegraft merge dst.mp4 pair.mp4 --cast 1=ada.dfm --cast 2=ben.dfm --faces dst_faces

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input, 4 frames without a face where
    --fail-without-face asks, 5 out of disk, 130 stopped.
    """
    animation = chosen_controls(values)
    device = chosen_device(values)
    with ExitStack() as stack:
        progress = stack.enter_context(reporter(values["progress"]))
        source = stack.enter_context(
            open_source(clip, space=values["working_space"], layer=values["layer"])
        )
        frames = chosen_frames(values, source.info.frame_count, progress)
        keeps = looks_along(animation.constants)
        networks = stack.enter_context(open_networks(values, device, keeps))
        mattes = stack.enter_context(host_mattes(values["host_matte"], source.info))
        check_needs(animation, frames.indices, networks, mattes is not None)
        tell_records(networks.models, progress)
        chooser = Chooser(
            source, clip_params(values), leaves_faces(values), values["recognition"], device,
            progress,
        )  # fmt: skip
        job = MergeJob(
            networks.models[0], animation, chooser.chosen(frames.indices, values["faces"]),
            segmenter=networks.segmenter, enhancer=networks.enhancer, mattes=mattes,
        )  # fmt: skip
        job = chooser.cast(job, networks.cast, networks.own)
        if values["report"]:
            report_suspicious(
                values["report"], source, job.clip, frames.indices, chooser.params, progress
            )
        if values["seat"]:
            job = chooser.seated(job)
        report = _run(source, out, job, frames, values, progress, device)
        progress.end(describe(report, out), to_values(report, out))
    if values["fail_without_face"] and report.frames_without_face:
        context.exit(WITHOUT_FACE)


def _run(
    source: FrameSource,
    out: Path,
    job: MergeJob,
    frames: FrameRange,
    values: dict[str, Any],
    progress: Progress,
    device: Device,
) -> MergeReport:
    info = source.info
    audio = info.has_audio and not values["no_audio"]
    if audio and not frames.is_from_start:
        audio = False
        if is_movie(out):
            progress.note("no sound: --frames does not begin with the clip, or has gaps")
    with open_outputs(
        out,
        chosen_outputs(values),
        info,
        codec=values["codec"],
        audio=audio,
        alpha=source[frames.indices[0]].alpha is not None,
        about=provenance(job.model),
        compression=values["exr_compression"] or "",
        has_segmenter=job.segmenter is not None,
    ) as outputs:
        return merge_clip(
            source, outputs, job, frames.indices, values["skip_existing"], progress,
            device.frames_at_once,
        )  # fmt: skip
