"""Three training steps of tiny networks against the losses on record in tests/golden."""

import json

import numpy as np
import pytest

from tests.golden.remake_losses import FILE, RECIPES, losses_of


@pytest.mark.parametrize("architecture", RECIPES)
def test_three_steps_repeat_the_losses_on_record(architecture):
    """Network, losses and optimizer together: a change in any of them moves these numbers."""
    expected = json.loads(FILE.read_text())[architecture]
    np.testing.assert_allclose(losses_of(architecture), expected, rtol=1e-4)
    totals = np.sum(expected, axis=1)
    assert totals[-1] < totals[0]  # and the record is of a training run that gets somewhere
