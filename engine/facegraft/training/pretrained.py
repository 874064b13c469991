"""Begin a run with the weights of another one: what fits is taken, the rest named and fresh.

Networks of one architecture differ by resolution and dims. Each tensor whose name and shape are the
same is taken; all others stay as they were initialised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import nn

from facegraft.errors import CheckpointError
from facegraft.model_spec import ModelSpec
from facegraft.training.checkpoint import Checkpoint, load_checkpoint
from facegraft.training.params import NETWORK_ROWS

Shape = tuple[int, ...]
_NAMED = 2  # tensors of a part that a line names


class Misfit(NamedTuple):
    """A tensor that begins anew."""

    name: str
    have: Shape | None  # shape there; None: not there at all
    want: Shape  # shape here


@dataclass(frozen=True, slots=True)
class Fit:
    """What another run's weights gave to a network."""

    rows: tuple[str, ...]  # one sentence per network option that differs, with both values
    taken: tuple[str, ...]  # tensors
    reinitialised: tuple[Misfit, ...]

    def lines(self) -> list[str]:
        """The report: differing options, then every part of the network."""
        parts: dict[str, list[Misfit | None]] = {}
        for name in self.taken:
            parts.setdefault(name.partition(".")[0], []).append(None)
        for misfit in self.reinitialised:
            parts.setdefault(misfit.name.partition(".")[0], []).append(misfit)
        return [*self.rows, *(_part_line(name, found) for name, found in parts.items())]


def _part_line(part: str, found: list[Misfit | None]) -> str:
    misfits = [one for one in found if one is not None]
    if not misfits:
        return f"{part}: taken"
    named = ", ".join(
        f"{m.name} {'is missing there' if m.have is None else f'has {m.have} there'}, {m.want} here"
        for m in misfits[:_NAMED]
    )
    more = ", ..." if len(misfits) > _NAMED else ""
    return f"{part}: {len(misfits)} of {len(found)} tensors begin anew ({named}{more})"


def load_pretrained(path: Path, note: Callable[[str], None]) -> Checkpoint:
    """The weights of another run: its folder, one of its saves or backups, or a file of version 1.

    Raises: CheckpointError, FutureVersion.
    """
    if not path.exists():
        raise CheckpointError(f"there is no run at {path} to take weights from; check the path")
    checkpoint = load_checkpoint(path, note, {"net", "gan", "code"})
    if checkpoint is None:
        raise CheckpointError(f"{path} holds no save to take weights from")
    return checkpoint


def take_weights(net: nn.Module, pretrained: Checkpoint, spec: ModelSpec) -> Fit:
    """Put what fits of `pretrained` into `net`, whose shape is `spec`.

    Raises: CheckpointError for another architecture, or where nothing fits.
    """
    theirs = pretrained.params.spec
    place = pretrained.path or "the given weights"
    if (theirs.family, theirs.options) != (spec.family, spec.options):
        raise CheckpointError(
            f"architecture is {theirs.architecture} in {place} and {spec.architecture} in this "
            f"run; weights go from one run to another of the same architecture: train with "
            f"--architecture {theirs.architecture}, or without these weights"
        )
    there = pretrained.groups["net"]
    here = net.state_dict()
    fitting = {n: t for n, t in there.items() if n in here and t.shape == here[n].shape}
    if not fitting:
        raise CheckpointError(f"no tensor of {place} fits this run's networks")
    misfits = tuple(
        Misfit(name, tuple(there[name].shape) if name in there else None, tuple(value.shape))
        for name, value in here.items()
        if name not in fitting
    )
    net.load_state_dict(fitting, strict=False)
    rows = tuple(
        f"{name} is {old} there and {new} here"
        for name in NETWORK_ROWS
        if name != "architecture" and (old := getattr(theirs, name)) != (new := getattr(spec, name))
    )
    return Fit(rows, tuple(name for name in here if name in fitting), misfits)
