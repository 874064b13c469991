"""The batch that fits, and what is said where memory is short."""

from dataclasses import replace

import pytest
import torch

from facegraft.errors import OutOfMemory, ParameterError
from facegraft.training.distributed import Group
from facegraft.training.fit import LARGEST, explained, with_batch
from facegraft.training.memory import available_memory, estimate
from tests.engine.training_faces import tiny_params

CPU = torch.device("cpu")


def test_batch_size_0_becomes_the_largest_that_fits():
    """Tiny networks take the most allowed, large ones what the estimate allows and no more."""
    notes: list[str] = []
    assert (
        LARGEST
        == with_batch(tiny_params(batch_size=0), CPU, None, Group(), notes.append).batch_size
    )
    large = tiny_params(batch_size=0, resolution=640, architecture="liae-ud", d_dims=192)
    found = with_batch(large, CPU, None, Group(), notes.append)
    assert estimate(found, CPU).total < available_memory(CPU)
    if found.batch_size < LARGEST:
        more = replace(found, batch_size=found.batch_size + 2)
        assert estimate(more, CPU).total > 0.8 * available_memory(CPU)
    assert f"batch_size {found.batch_size} is the largest that runs here" in notes


def test_a_given_batch_stays_and_one_too_large_is_warned_of():
    notes: list[str] = []
    params = tiny_params(batch_size=3)
    assert params == with_batch(params, CPU, None, Group(), notes.append)
    assert notes == []
    large = tiny_params(resolution=640, architecture="liae", d_dims=256, batch_size=512)
    assert 512 == with_batch(large, CPU, None, Group(), notes.append).batch_size
    assert notes[0].startswith("WARNING: ") and "GiB" in notes[0]


def test_impossible_networks_end_the_start_and_are_no_warning():
    notes: list[str] = []
    with pytest.raises(ParameterError, match="true_face_power is 0.1, .* liae-ud has none"):
        params = tiny_params(architecture="liae-ud", true_face_power=0.1)
        with_batch(params, CPU, None, Group(), notes.append)
    assert notes == []


def test_running_out_of_memory_is_explained_and_other_errors_are_not():
    """With the error that torch itself raises."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    explanation = explained(caught.value, tiny_params())
    assert isinstance(explanation, OutOfMemory)
    assert "These help most: " in str(explanation) and "The last save is kept" in str(explanation)
    assert (
        explained(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), tiny_params()) is None
    )
