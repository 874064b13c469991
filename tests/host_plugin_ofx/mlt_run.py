"""The node in MLT's real OpenFX host: raw frames in, raw frames out, with exact pixels."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.host_plugin_ofx import mlt_host

SERVICE = "openfx.org.facegraft.faceswap"
FORMATS = {"u1": 2, "u2": 10}  # MLT's numbers
_LIMIT_S = 300
PROFILE = """description=test
frame_rate_num=25
frame_rate_den=1
width={width}
height={height}
progressive=1
sample_aspect_num=1
sample_aspect_den=1
display_aspect_num={width}
display_aspect_den={height}
colorspace=709
"""


class Mlt:
    """The driver, ready to run with the host's libraries."""

    def __init__(self, folder: Path, compiler: Sequence[str], bundle: Path) -> None:
        """folder: an empty one for the driver and its files. Raises: mlt_host.Unavailable."""
        root = mlt_host.host_root()
        modules = folder / "modules"
        modules.mkdir()
        self._folder = folder
        self._environment = mlt_host.environment(root, modules, bundle.parent)
        self._environment["FACEGRAFT_PYTHON"] = sys.executable
        self._command = mlt_host.command(root, _build_driver(folder / "driver", compiler))

    def run(
        self,
        frames: Sequence[np.ndarray],
        values: Mapping[str, object],
        **environment: str,
    ) -> tuple[np.ndarray, str]:
        """(N, H, W, 4) what the filter made of the frames, and what the host said.

        frames: (H, W, 4) uint8 or uint16 RGBA. values: the filter's properties as MLT takes them.
        """
        height, width = frames[0].shape[:2]
        dtype = frames[0].dtype.str[1:]
        profile = self._folder / "profile"
        profile.write_text(PROFILE.format(width=width, height=height))
        arguments: list[Any] = [profile, SERVICE, width, height, FORMATS[dtype], len(frames)]
        result = subprocess.run(
            [*self._command, *map(str, arguments), *(f"{k}={v}" for k, v in values.items())],
            input=b"".join(frame.tobytes() for frame in frames),
            capture_output=True,
            timeout=_LIMIT_S,
            env={**self._environment, **environment},
        )
        said = result.stderr.decode(errors="replace")
        assert result.returncode == 0, said
        pixels = np.frombuffer(result.stdout, dtype)
        return pixels.reshape(len(frames), height, width, 4), said


def _build_driver(target: Path, compiler: Sequence[str]) -> Path:
    source = Path(__file__).with_name("mlt_driver.c")
    command = [*compiler, "-std=c11", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=120)
    return target
