"""`facegraft model`: look at a model, change a run's options, go back to a backup, time-lapse."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import click

from facegraft.controls import controls_of
from facegraft.errors import CheckpointError, ParameterError
from facegraft.training.params import NETWORK_ROWS, TrainParams
from facegraft_cli.faceset.kinds import SET
from facegraft_cli.options import GroupedCommand, given_values, table_options
from facegraft_cli.report import terminal_progress

_RUN = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group()
def model() -> None:
    """Look at models and take care of runs.

    \b
      facegraft model info run
      facegraft model set run --no-random-warp --gan-power 0.1
      facegraft model restore run run/backups/20260310-120000Z_000012_00340000
      facegraft model timelapse run run.mp4
      facegraft model quantize ada.dfm ada_int8.dfm --faces dst_faces
    """


@model.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def info(model: Path, as_json: bool) -> None:
    """Tell what MODEL is: a run's folder, or a .dfm file."""
    values, text = _describe_run(model) if model.is_dir() else _describe_dfm(model)
    click.echo(json.dumps(values, indent=1) if as_json else text)


def _describe_run(folder: Path) -> tuple[dict[str, Any], str]:
    from facegraft.training.info import describe_run  # loads OpenCV, and --help must not wait

    run = describe_run(folder)
    values = {"kind": "run", "path": str(folder), **dataclasses.asdict(run)}
    params = run.params
    dims = ", ".join(f"{name.removesuffix('_dims')} {params[name]}" for name in _dims_of(params))
    total = sum(run.parameters.values())
    parts = ", ".join(f"{name} {_millions(count)}" for name, count in run.parameters.items())
    defaults = {row.name: row.default for row in controls_of(TrainParams)}
    changed = [
        f"{name} {_option(value)}"
        for name, value in params.items()
        if name not in NETWORK_ROWS and name in defaults and value != defaults[name]
    ]
    rate = run.iteration / run.seconds if run.seconds else 0.0
    lines = [
        ("run", f"{folder}, iteration {run.iteration:,}"),
        ("trained", f"{_duration(run.seconds)}, {rate:.2f} iterations/s over all"),
        (
            "network",
            f"{params['architecture']}, {params['resolution']} px, {params['face_type']}, dims "
            f"{dims}",
        ),
        ("weights", f"{_millions(total)}: {parts}"),
        ("src", _faceset(run.faces[0], run.digests[0])),
        ("dst", _faceset(run.faces[1], run.digests[1])),
        ("options", ", ".join(changed) or "all as the preset saehd has them"),
    ]
    if run.edited:
        told = ", ".join(run.edited)
        lines.append(("edited", f"{told}: training takes up params.toml at its next save"))
    for i, period in enumerate(run.losses):
        span = f"{period.first:,} to {period.last:,}"
        text = f"src {period.src:<8.4g} dst {period.dst:<8.4g} {span}"
        lines.append(("loss" if i == 0 else "", text))
    for label, stored in (("saves", run.saves), ("backups", run.backups)):
        for i, one in enumerate(stored):
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
            lines.append((label if i == 0 else "", f"{one.name}  {_size(one.size)}  {made}"))
    lines.append(("made by", run.software))
    return values, _table(lines)


def _dims_of(params: Any) -> list[str]:
    return [name for name in params if name.endswith("_dims") and name != "gan_dims"]


def _describe_dfm(path: Path) -> tuple[dict[str, Any], str]:
    from facegraft.inference import SwapModel  # loads onnxruntime, and --help must not wait

    opened = SwapModel.open(path, ["CPUExecutionProvider"])
    size = path.stat().st_size
    values = {
        "kind": "dfm",
        "path": str(path),
        "resolution": opened.resolution,
        "has_morph": opened.has_morph,
        "sha256": opened.digest,
        "size": size,
        "spec": opened.spec and dataclasses.asdict(opened.spec),
        "record": opened.record and dataclasses.asdict(opened.record),
    }
    lines = [("file", f"{path}, {_size(size)}, sha256 {opened.digest[:16]}...")]
    morph = ", takes a morph value" if opened.has_morph else ""
    if opened.spec:
        spec = dataclasses.asdict(opened.spec)
        dims = ", ".join(f"{n.removesuffix('_dims')} {spec[n]}" for n in spec if n.endswith("dims"))
        text = f"{spec['architecture']}, {opened.resolution} px, {spec['face_type']}, dims {dims}"
        lines.append(("network", text + morph))
    else:
        lines.append(("network", f"{opened.resolution} px{morph}; the file does not say its kind"))
    if opened.record:
        record = dataclasses.asdict(opened.record)
        lines += [(k.replace("_", " "), f"{v:,}" if k == "iterations" else str(v))
                  for k, v in record.items() if v]  # fmt: skip
    else:
        lines.append(("record", "none: the file names no author, licence or consent"))
    return values, _table(lines)


def _table(lines: list[tuple[str, str]]) -> str:
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)


def _faceset(count: int, digest: str) -> str:
    return f"{count:,} faces, digest {digest[:16]}" if count else f"digest {digest[:16]}"


def _option(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h {minutes} min"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60:.0f} s"


@model.command("set", cls=GroupedCommand)
@click.argument("model", type=_RUN)
@table_options(TrainParams, show_default=False)
def set_command(model: Path, **values: Any) -> None:
    """Change options of the run MODEL.

    A training that is going on takes them up when it saves next; otherwise the next one begins with
    them. Options that shape the networks can not change.

    \b
      facegraft model set run --no-random-warp --learning-rate 2e-5
    """
    from facegraft.training.edits import set_params

    given = given_values(values)
    if not given:
        raise ParameterError(
            f"nothing to set; name an option, such as --no-random-warp. {model / 'params.toml'} "
            "has all of them"
        )
    before, after = set_params(model, given)
    for name in given:
        old, new = getattr(before, name), getattr(after, name)
        what = f"stays {_option(new)}" if old == new else f"{_option(old)} -> {_option(new)}"
        click.echo(f"{name}: {what}")


@model.command()
@click.argument("model", type=_RUN)
@click.argument("backup", type=_RUN)
def restore(model: Path, backup: Path) -> None:
    """Let the run MODEL go on from BACKUP, a folder in MODEL/backups or MODEL/saves.

    BACKUP is read through and checked first. Options stay those of MODEL/params.toml.
    """
    # torch takes seconds to import, and --help must not wait for it
    from facegraft.training.checkpoint import load_checkpoint, table_of
    from facegraft.training.lock import lock_run
    from facegraft.training.saves import HEADER_NAME
    from facegraft.training.snapshots import restore_backup

    with lock_run(model):
        table = table_of(backup) if (backup / HEADER_NAME).is_file() else TrainParams
        found = load_checkpoint(backup, lambda text: click.echo(text, err=True), table=table)
        if found is None or found.path != backup:
            raise CheckpointError(f"{backup} is no save or backup; choose one in {model}/backups")
        path = restore_backup(model, backup)
    click.echo(f"{model} goes on from iteration {found.iteration:,} ({path.name})")


@model.command()
@click.argument("model", type=_RUN)
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--fps", type=click.IntRange(1, 60), default=12, show_default=True,
              help="Sheets a second.")  # fmt: skip
def timelapse(model: Path, output: Path, fps: int) -> None:
    """Make a movie OUTPUT (.mp4, .mov, .mkv) of the preview sheets that the run MODEL has kept.

    Sheets are kept while it trains with --preview-history.
    """
    from facegraft.training.timelapse import write_timelapse

    with terminal_progress() as progress:
        count = write_timelapse(model, output, fps, progress)
    click.echo(f"{output}: {count} sheets")


@model.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--faces", type=SET, required=True,
              help="Faceset of the dst clip; its faces set the ranges.")  # fmt: skip
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False),
              help="Picture to look at: original, 8 bit, their difference times 16.")  # fmt: skip
def quantize(model: Path, output: Path, faces: Path, sheet: Path | None) -> None:
    """Write the .dfm file MODEL in 8-bit arithmetic to OUTPUT, which every reader takes as well.

    A quarter of the size, and two to three times as quick on processors with 8-bit dot products
    (most since 2021); the differences are measured on faces of the clip and told. Look at the
    sheet before you use it: skin may show slight steps.

    \b
      facegraft model quantize ada.dfm ada_int8.dfm --faces dst_faces --sheet int8.png
    """
    from facegraft.faces.faceset import Faceset
    from facegraft.inference import SwapModel
    from facegraft.media.images import write_image
    from facegraft.quantize import MOST_FACES, model_crops, quantize_model

    crops = model_crops(Faceset.open(faces), SwapModel.open(model), MOST_FACES)
    with terminal_progress() as progress:
        report, picture = quantize_model(model, output, crops, progress)
    if sheet is not None:
        write_image(sheet, (picture * 255).round().astype("uint8"))
    faster = report.original_ms / report.ms
    click.echo(
        f"{output}: {_size(report.bytes)} ({_size(report.original_bytes)} before), "
        f"{report.ms:.0f} ms a face ({report.original_ms:.0f}, {faster:.1f} times as quick here). "
        f"On {report.faces} faces it differs by {report.face_mean * 255:.2f} of 255 on average, "
        f"{report.face_max * 255:.0f} at most ({report.face_psnr:.1f} dB); its mask by "
        f"{report.mask_mean * 255:.2f}"
    )
