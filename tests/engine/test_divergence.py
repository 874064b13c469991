"""A collapse is seen at once, the scatter of an honest run never taken for one."""

import math
import random

import pytest

from facegraft.training.divergence import FACTOR, PATIENCE, LossGuard


def falling(count: int, noise: float, seed: int = 0) -> list[float]:
    """An honest run: falls by a power law from 4 to a fraction, lognormal scatter."""
    rng = random.Random(seed)
    return [4 * (1 + i / 50) ** -0.4 * math.exp(rng.gauss(0, noise)) for i in range(count)]


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5], ids=lambda n: f"scatter {n}")
def test_an_honest_run_never_alarms(noise):
    guard = LossGuard()
    assert not any(guard.check(loss) for loss in falling(20_000, noise))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_no_number_alarms_from_the_first_iteration(loss):
    guard = LossGuard()
    reason = guard.check(loss)
    assert reason is not None and f"is {loss:g}" == reason
    assert guard.doubtful


def test_a_collapse_alarms_within_patience_and_is_doubtful_before():
    guard = LossGuard()
    for loss in falling(2000, 0.2):
        guard.check(loss)
    assert not guard.doubtful
    for count in range(1, PATIENCE):
        assert guard.check(5.0) is None
        assert guard.doubtful, count
    reason = guard.check(5.0)
    assert reason is not None and "is 5 and was 0." in reason
    guard.reset()
    assert not guard.doubtful and guard.check(5.0) is None


def test_hard_batches_between_good_ones_pass():
    guard = LossGuard()
    for i in range(2000):
        assert guard.check(0.5 if i % PATIENCE else 9.0) is None


def test_a_slow_collapse_is_seen_although_the_last_losses_go_with_it():
    """A hundredth higher each hundred iterations: the recent median alone would never tell."""
    guard = LossGuard()
    losses = (0.3 * 1.01 ** (i / 100) for i in range(40_000))
    alarm = next(loss for loss in losses if guard.check(loss))
    assert 0.3 * FACTOR < alarm < 0.3 * FACTOR * 1.1
