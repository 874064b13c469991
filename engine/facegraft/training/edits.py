"""Options that change while a run exists: in params.toml by hand, or by `facegraft model set`.

A running training looks at the file when it saves.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from facegraft.controls import plain_values
from facegraft.errors import CheckpointError, ParameterError
from facegraft.files import write_atomic
from facegraft.training.params import TrainParams
from facegraft.training.run_params import (
    PARAMS_NAME,
    P,
    changed,
    read_params,
    resolve,
    to_toml,
)


def set_params(run_folder: Path, given: Mapping[str, Any]) -> tuple[TrainParams, TrainParams]:
    """Write `given` values into the run's file; the options before and after.

    Raises: CheckpointError where there is no run; ParameterError for a value outside its range and
    for a row that shapes the networks, and then nothing is written; WriteError.
    """
    before = read_params(run_folder)
    if before is None:
        raise CheckpointError(
            f"{run_folder} holds no run (no {PARAMS_NAME}); make one with `facegraft train`"
        )
    after = resolve(given, existing=before)
    if after != before:
        write_atomic(run_folder / PARAMS_NAME, to_toml(after).encode())
    return before, after


def changed_params(run_folder: Path, last_written: P, note: Callable[[str], None]) -> P | None:
    """The run's options where its file no longer says `last_written`, else None.

    A file that can not be used is said to `note`, and is as good as unchanged.
    """
    try:
        found = read_params(run_folder, type(last_written))
        if found is None or found == last_written:
            return None
        return changed(last_written, plain_values(found))
    except ParameterError as error:
        note(f"WARNING: changes in {PARAMS_NAME} are not used: {error}")
        return None
