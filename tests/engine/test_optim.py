"""Optimizers against their formulas, step by step in float64, and across save and restore."""

import numpy as np
import pytest
import torch

from facegraft.training import optim
from facegraft.training.optim import EPSILON, AdaBelief, Adam, RMSprop

SHAPES = [(700,), (3, 5, 2, 2), (1,)]
STEPS = 6


def adabelief_by_formula(weight, grads, lr):
    mean, variance = np.zeros_like(weight), np.zeros_like(weight)
    for g in grads:
        mean = 0.9 * mean + 0.1 * g
        variance = 0.999 * variance + 0.001 * (g - mean) ** 2
        weight = weight - lr * mean / (np.sqrt(variance) + 1e-6)
    return weight


def rmsprop_by_formula(weight, grads, lr):
    square = np.zeros_like(weight)
    for g in grads:
        square = 0.9 * square + 0.1 * g**2
        weight = weight - lr * g / (np.sqrt(square) + 1e-6)
    return weight


def problem(seed: int = 0):
    """Weights of several shapes and their gradients for STEPS steps, float64."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(s) for s in SHAPES]
    grads = [[rng.standard_normal(s) * 0.01 for s in SHAPES] for _ in range(STEPS)]
    return weights, grads


def as_parameters(weights):
    return [torch.nn.Parameter(torch.from_numpy(w).float()) for w in weights]


def run(optimizer, params, grads):
    for step in grads:
        for p, g in zip(params, step, strict=True):
            p.grad = torch.from_numpy(g).float()
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "formula"), [(AdaBelief, adabelief_by_formula), (RMSprop, rmsprop_by_formula)]
)
@pytest.mark.parametrize("block", [256, 1 << 18])
def test_steps_follow_the_formula(make, formula, block, monkeypatch):
    """Whether a tensor is cut into many blocks or shares one with others."""
    monkeypatch.setattr(optim, "CPU_BLOCK", block)
    weights, grads = problem()
    params = as_parameters(weights)
    run(make(params, lr=1e-2), params, grads)
    for i, (w, p) in enumerate(zip(weights, params, strict=True)):
        expected = formula(w, [step[i] for step in grads], 1e-2)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("make", [AdaBelief, RMSprop])
def test_a_restored_run_continues_bit_for_bit(make):
    """With dropout and cosine on, and torch's global generator disturbed in between."""
    weights, grads = problem()
    options = dict(lr=1e-2, keep=0.3, cosine=10, seed=7)
    whole = as_parameters(weights)
    run(make(whole, **options), whole, grads)

    first = as_parameters(weights)
    optimizer = make(first, **options)
    run(optimizer, first, grads[:3])
    saved = optimizer.state_dict()
    torch.rand(11)
    second = [torch.nn.Parameter(p.detach().clone()) for p in first]
    restored = make(second)
    restored.load_state_dict(saved)
    run(restored, second, grads[3:])
    for a, b in zip(whole, second, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("make", [AdaBelief, RMSprop])
def test_dropout_moves_the_kept_share_by_the_full_step_and_the_rest_not_at_all(make):
    """The share is `keep`, the kept step is the undropped one, and each step draws anew."""
    start = torch.zeros(100_000)
    moved = []
    full = torch.nn.Parameter(start.clone())
    full.grad = torch.ones_like(start)
    make([full], lr=1e-3).step()
    param = torch.nn.Parameter(start.clone())
    param.grad = torch.ones_like(start)
    optimizer = make([param], lr=1e-3, keep=0.3)
    for _ in range(2):
        before = param.detach().clone()
        optimizer.step()
        moved.append(param.detach() != before)
    assert moved[0].float().mean().item() == pytest.approx(0.3, abs=0.01)
    both = (moved[0] & moved[1]).float().mean().item()
    assert both == pytest.approx(0.09, abs=0.01)
    once = moved[0] & ~moved[1]
    torch.testing.assert_close(param.detach()[once], full.detach()[once])


def test_cosine_swings_the_rate_between_lr_and_zero():
    """At the start of a period the rate is `lr`, at its half nothing moves."""
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = RMSprop([param], lr=1e-3, cosine=4)
    sizes = []
    for _ in range(5):
        before = param.item()
        param.grad = torch.ones(1)
        optimizer.param_groups[0]["lr"] = 1e-3
        optimizer.state.clear()  # the same gradient then gives the same full step every time
        optimizer.step()
        sizes.append(before - param.item())
    full = sizes[0]
    np.testing.assert_allclose(np.array(sizes) / full, [1, 0.5, 0, 0.5, 1], atol=1e-5)


def test_channels_last_weights_and_a_contiguous_restored_state_keep_their_places():
    """Memory order is bookkeeping: the result is that of plain order."""
    torch.manual_seed(0)
    weight, grads = torch.randn(8, 4, 3, 3), torch.randn(3, 8, 4, 3, 3)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        param = torch.nn.Parameter(weight.clone().contiguous(memory_format=layout))
        optimizer = AdaBelief([param], lr=1e-2)
        for g in grads:
            param.grad = g.clone()
            optimizer.step()
            state = optimizer.state[param]
            for name in ("mean", "variance"):  # as a checkpoint gives it back
                state[name] = state[name].contiguous()
        results.append(param.detach().contiguous())
    torch.testing.assert_close(results[1], results[0])


def test_parameters_without_gradient_stay():
    """A frozen part is neither moved nor given state."""
    moving, frozen = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
    optimizer = AdaBelief([moving, frozen], lr=0.1)
    moving.grad = torch.ones(3)
    optimizer.step()
    assert not frozen.any() and frozen not in optimizer.state
    assert moving.all()


def test_adam_steps_as_torchs_own():
    weights, grads = problem()
    ours, theirs = as_parameters(weights), as_parameters(weights)
    optimizers = [Adam(ours, 1e-2), torch.optim.Adam(theirs, 1e-2, eps=EPSILON)]
    for step in range(STEPS):
        for optimizer, parameters in zip(optimizers, (ours, theirs), strict=True):
            for parameter, grad in zip(parameters, grads[step], strict=True):
                parameter.grad = torch.from_numpy(grad).float()
            optimizer.step()
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-6)
