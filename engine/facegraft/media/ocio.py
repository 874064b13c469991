"""Any space of an OpenColorIO config as a working space, through PyOpenColorIO (extra `ocio`).

    ocio:CONFIG#SPACE           SPACE to linear Rec. 709 by the config's interchange, then sRGB
    ocio:CONFIG#SPACE#DISPLAY   SPACE to DISPLAY, both spaces of the config

CONFIG is a file, a built-in config such as `default` (also written ocio://default), or `$OCIO`
for the one that the environment names. The first form needs a config that OpenColorIO can connect
with its built-in one (the roles aces_interchange or cie_xyz_d65_interchange, or a known reference
space); the second is for older configs. Views with a tone map are not used: few have an inverse.
"""

import importlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.errors import MissingExtra, ParameterError, SourceNotFound
from facegraft.media.color import srgb_decode, srgb_encode
from facegraft.media.working_space import OCIO_PREFIX, Convert, WorkingSpace

LINEAR_709 = "Linear Rec.709 (sRGB)"
ROUND_TRIP_LIMIT = 1e-3  # of display values 0..1; a quarter of an 8-bit step
NAMES_SHOWN = 12


def open_ocio_space(name: str) -> WorkingSpace:
    """The working space of a name of the forms above; kept while its config stays as it is.

    Raises: MissingExtra without PyOpenColorIO, SourceNotFound for a missing config, ParameterError
    for a config that cannot be read, an unknown space, and one that has no way back.
    """
    variable = os.environ.get("OCIO", "")
    config = name.removeprefix(OCIO_PREFIX).partition("#")[0]
    path = Path(variable if config == "$OCIO" else config)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    return _opened(name, variable, changed)


@lru_cache(maxsize=8)  # opening takes 0.2 s, and a worker is asked for every frame
def _opened(name: str, _variable: str, _changed: int) -> WorkingSpace:
    try:
        ocio: Any = importlib.import_module("PyOpenColorIO")
    except ImportError as error:
        raise MissingExtra(
            f"{name!r} needs PyOpenColorIO; install it with: pip install facegraft[ocio]"
        ) from error
    config_name, *spaces = name.removeprefix(OCIO_PREFIX).split("#")
    if len(spaces) not in (1, 2) or not all(spaces):
        raise ParameterError(
            f"working space {name!r}: write ocio:CONFIG#SPACE, or ocio:CONFIG#SPACE#DISPLAY"
        )
    config = _open_config(ocio, config_name)
    for space in spaces:
        _check_space(ocio, config, config_name, space)
    try:
        if len(spaces) == 2:
            forward = config.getProcessor(spaces[0], spaces[1])
            backward = config.getProcessor(spaces[1], spaces[0])
            space = WorkingSpace(name, _applying(ocio, forward), _applying(ocio, backward))
        else:
            space = _by_interchange(ocio, config, name, spaces[0])
    except ocio.Exception as error:
        raise ParameterError(
            f"no way from {spaces[0]!r} to sRGB in {config_name}: {error}. Name the config's own "
            "display space: ocio:CONFIG#SPACE#DISPLAY"
        ) from error
    _check_round_trip(space)
    return space


def _open_config(ocio: Any, name: str) -> Any:
    if name == "$OCIO":
        name = os.environ.get("OCIO", "")
        if not name:
            raise SourceNotFound("the environment variable OCIO is not set; name a config file")
    if "://" not in name and not Path(name).exists():
        builtin = f"ocio://{name}"
        known = {entry[0] for entry in ocio.BuiltinConfigRegistry().getBuiltinConfigs()}
        if name != "default" and name not in known:
            raise SourceNotFound(
                f"no OpenColorIO config at {name}; give a file, or 'default' for the built-in one"
            )
        name = builtin
    try:
        config = ocio.Config.CreateFromFile(name)
    except ocio.Exception as error:
        raise ParameterError(f"{name} is no usable OpenColorIO config: {error}") from error
    return config


def _check_space(ocio: Any, config: Any, config_name: str, name: str) -> None:
    space = config.getColorSpace(name)  # aliases and roles count
    if space is None:
        names = [entry.getName() for entry in config.getColorSpaces()]
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        raise ParameterError(
            f"{config_name} has no space {name!r}; it has {', '.join(names[:NAMES_SHOWN])}{more}"
        )
    if space.isData():
        raise ParameterError(f"{name!r} of {config_name} is data, not colour; choose another space")


def _by_interchange(ocio: Any, config: Any, name: str, space: str) -> WorkingSpace:
    into = ocio.Config.GetProcessorToBuiltinColorSpace(config, space, LINEAR_709)
    back = ocio.Config.GetProcessorFromBuiltinColorSpace(LINEAR_709, config, space)
    to_linear, from_linear = _applying(ocio, into), _applying(ocio, back)
    return WorkingSpace(
        name, lambda x: srgb_encode(to_linear(x)), lambda x: from_linear(srgb_decode(x))
    )


def _applying(ocio: Any, processor: Any) -> Convert:
    """A function on (..., 3) float32 that runs the processor on a copy; safe in threads."""
    cpu = processor.getOptimizedCPUProcessor(
        ocio.BIT_DEPTH_F32, ocio.BIT_DEPTH_F32, ocio.OPTIMIZATION_LOSSLESS
    )

    def convert(image: np.ndarray) -> np.ndarray:
        result = np.array(image, np.float32, order="C")
        if result.size:
            cpu.applyRGB(result.reshape(1, -1, 3))
        return result

    return convert


def _check_round_trip(space: WorkingSpace) -> None:
    """Raises: ParameterError where display values do not come back (a look, a clamp)."""
    steps = np.linspace(0.02, 0.98, 9, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    error = float(np.abs(space.to_display(space.from_display(grid)) - grid).max())
    if not error <= ROUND_TRIP_LIMIT:  # also where it is no number
        raise ParameterError(
            f"working space {space.name!r} has no way back: display values change by {error:.3g}, "
            f"the limit is {ROUND_TRIP_LIMIT:g}. Choose a space without a look or tone map"
        )
