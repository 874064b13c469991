"""The line beside a training's rate."""

import re

import pytest
import torch

from facegraft.training.status import status_line

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (99, "99 s"), (101, "2 min"), (1500, "25 min")]
)
def test_losses_memory_and_the_next_save_are_told(seconds, text):
    line = status_line(0.31234, 0.298, seconds, CPU)
    assert re.fullmatch(rf"src 0\.312 dst 0\.298  (\d+\.\d GiB  )?saves in {text}", line)


def test_memory_is_that_of_this_process():
    resource = pytest.importorskip("resource")
    found = re.search(r"(\d+\.\d) GiB", status_line(1, 1, 1, CPU))
    if found is None:
        pytest.skip("this system does not tell")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, of KiB on Linux
    assert 0.05 < float(found[1]) <= peak + 0.1
