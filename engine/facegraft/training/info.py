"""What a run's folder holds, without reading a single weight. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from facegraft.controls import plain_values
from facegraft.errors import CheckpointError
from facegraft.training.history import read_history
from facegraft.training.run_params import read_params
from facegraft.training.saves import SUFFIX, list_saves, read_header
from facegraft.training.saves_v1 import read_v1_header, v1_files
from facegraft.training.snapshots import list_backups

PERIODS = 8  # of the run, over which its losses are averaged: a screen's worth


@dataclass(frozen=True, slots=True)
class Period:
    """Mean losses of the iterations `first` to `last`."""

    first: int
    last: int
    src: float
    dst: float


@dataclass(frozen=True, slots=True)
class Stored:
    """A save or backup."""

    name: str
    size: int  # bytes
    time: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as its last save and its folder tell it."""

    params: Mapping[str, Any]  # every option, as plain values
    edited: tuple[str, ...]  # options that params.toml has otherwise, for the training to take up
    iteration: int
    seconds: float
    software: str
    faces: tuple[int, int]  # src, dst; 0 where an old save does not say
    digests: tuple[str, str]
    parameters: Mapping[str, int]  # numbers of weights by part of the networks
    group_sizes: Mapping[str, int]  # bytes of the last save by group
    losses: tuple[Period, ...]
    saves: tuple[Stored, ...]  # oldest first
    backups: tuple[Stored, ...]


def describe_run(run_folder: Path) -> RunInfo:
    """Raises: CheckpointError where there is no run or its last save is damaged, FutureVersion."""
    saves, old = list_saves(run_folder), v1_files(run_folder)
    if saves:
        header = read_header(saves[-1])
        if header.get("kind", "swap") != "swap":
            raise CheckpointError(
                f"{run_folder} is a mask network's run, not a swap model's; its preview.png, "
                "loss.csv and params.toml tell of it"
            )
        files = {group: saves[-1] / f"{group}{SUFFIX}" for group in header["crc32"]}
        sizes = {group: file.stat().st_size for group, file in files.items() if file.exists()}
        shapes = _shapes(files["net"])
    elif old:
        header, _ = read_v1_header(old[0])
        sizes = {"all": old[0].stat().st_size}
        every = _shapes(old[0])
        shapes = {n.removeprefix("net."): s for n, s in every.items() if n.startswith("net.")}
    else:
        raise CheckpointError(
            f"{run_folder} holds no saved run; make one with `facegraft train`, or name a .dfm file"
        )
    return RunInfo(
        params=header["params"],
        edited=_edited(run_folder, header["params"]),
        iteration=header["iteration"],
        seconds=header["seconds"],
        software=header["software"],
        faces=tuple(header.get("faces", (0, 0))),
        digests=(header["src_digest"], header["dst_digest"]),
        parameters=_count_by_part(shapes),
        group_sizes=sizes,
        losses=_periods(read_history(run_folder, header["iteration"])),
        saves=tuple(_stored(path) for path in [*reversed(old), *saves]),
        backups=tuple(_stored(path) for path in list_backups(run_folder)),
    )


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from error


def _count_by_part(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, shape in shapes.items():
        part = name.partition(".")[0]
        counts[part] = counts.get(part, 0) + int(np.prod(shape, dtype=np.int64))
    return counts


def _edited(run_folder: Path, saved: Mapping[str, Any]) -> tuple[str, ...]:
    params = read_params(run_folder)
    if params is None:
        return ()
    return tuple(k for k, v in plain_values(params).items() if k in saved and saved[k] != v)


def _periods(rows: np.ndarray) -> tuple[Period, ...]:
    """`rows` (N, 3) float64: iteration, src and dst loss."""
    parts = np.array_split(rows, min(PERIODS, len(rows))) if len(rows) else []
    return tuple(
        Period(int(p[0, 0]), int(p[-1, 0]), float(p[:, 1].mean()), float(p[:, 2].mean()))
        for p in parts
    )


def _stored(path: Path) -> Stored:
    files = list(path.iterdir()) if path.is_dir() else [path]
    times = [file.stat().st_mtime for file in files]
    return Stored(path.name, sum(file.stat().st_size for file in files), max(times, default=0.0))
