"""The benchmarks of training run, at a tiny size, and print what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parent.parent.parent
LIMIT = 500.0  # seconds, on a busy machine

pytestmark = pytest.mark.slow


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *arguments],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip


def test_a_setting_prints_its_rate_its_ceilings_and_where_the_time_goes():
    made = run("train", "--quick", "--setting", "quick96", "--precision", "bf16", "--threads", "1")
    assert made.returncode == 0, made.stderr
    rows = (
        "fp32 matrix product", "bf16 matrix product", "whole loop", "nominal work",
        "waiting for data", "memory", "augmentation", "forward", "optimizer",
        "losses and backward", "layers alone, direct",
    )  # fmt: skip
    assert [row for row in rows if row not in made.stdout] == []
    assert "quick96: df-ud 64 px" in made.stdout and "bf16" in made.stdout


def test_scaling_prints_a_row_for_a_size():
    made = run("train", "--quick", "--scaling", "--threads", "1")
    assert made.returncode == 0, made.stderr
    assert "| 64 | 2 | " in made.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_the_command_for_one_says_so():
    made = run("train", "--device", "cuda")
    assert made.returncode != 0
    assert "device is cuda, and torch finds no CUDA GPU here" in made.stderr


def test_averaging_by_the_group_equals_torchs_own():
    made = run("groups", "--setting", "tiny", "--steps", "1")
    assert made.returncode == 0, made.stderr
    assert "own and DDP differ by at most 0.0e+00 after 3 steps" in made.stdout
