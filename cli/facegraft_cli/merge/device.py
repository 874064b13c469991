"""Help section "Device": what the networks run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import onnxruntime

from facegraft.errors import ParameterError
from facegraft.merge.in_order import AT_ONCE, share_cores
from facegraft_cli.options import option_in, together

SECTION = "Device"
_CPU = "CPUExecutionProvider"
PROVIDERS: dict[str, tuple[str, ...] | None] = {  # onnxruntime's names, best first
    "auto": None,
    "cpu": (_CPU,),
    "cuda": ("CUDAExecutionProvider", _CPU),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", _CPU),
}

device_options = together(
    option_in(
        SECTION,
        "--device",
        type=click.Choice(list(PROVIDERS)),
        default="auto",
        show_default=True,
        help="Where the networks run; auto takes CUDA where it is there.",
    ),
    option_in(
        SECTION,
        "--threads",
        type=click.IntRange(0, 256),
        default=0,
        show_default=True,
        help=f"Processor threads for the networks, shared by up to {AT_ONCE} frames that are "
        "merged at once; 0 takes every core. On a farm give the cores that the task was promised.",
    ),
)


@dataclass(frozen=True, slots=True)
class Device:
    providers: tuple[str, ...] | None  # None: the best there is
    threads: int  # of a network that runs alone; 0 leaves the number to onnxruntime

    @property
    def frames_at_once(self) -> int:
        return share_cores(self.threads)[0]

    @property
    def threads_a_frame(self) -> int:
        """Of a network that runs on several frames at once."""
        return share_cores(self.threads)[1]


def chosen_device(values: Mapping[str, Any]) -> Device:
    """Raises: ParameterError where this onnxruntime cannot use the device that is asked for."""
    providers = PROVIDERS[values["device"]]
    if providers is not None and providers[0] not in onnxruntime.get_available_providers():
        raise ParameterError(
            f"--device is {values['device']}, which the installed onnxruntime cannot use; run "
            "`python3 install/install.py env` on a machine with an NVIDIA GPU, or take auto or cpu"
        )
    return Device(providers, values["threads"])
