"""The line that a training shows beside its rate: losses, memory, time to the next save."""

import os
import sys

import torch

from facegraft.training.history import NAMES

_PAGE = 4096 if sys.platform == "win32" else os.sysconf("SC_PAGE_SIZE")


def status_line(
    src_loss: float,
    dst_loss: float,
    next_save_seconds: float,
    device: torch.device,
    names: tuple[str, str] = NAMES,
) -> str:
    """For example "src 0.312 dst 0.298  gpu 5.4 GiB  saves in 12 min"."""
    parts = [f"{names[0]} {src_loss:.3f} {names[1]} {dst_loss:.3f}"]
    if device.type == "cuda":
        # what the driver's tools show for this process, less the driver's own share
        parts.append(f"gpu {torch.cuda.memory_reserved(device) / 2**30:.1f} GiB")
    elif (resident := _resident_bytes()) is not None:
        parts.append(f"{resident / 2**30:.1f} GiB")
    parts.append(f"saves in {_short_time(max(0.0, next_save_seconds))}")
    return "  ".join(parts)


def _short_time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not say so in a file."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return None
