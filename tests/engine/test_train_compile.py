"""Compiled networks: the same results, and a run goes on where nothing can be compiled."""

import copy
import logging
import shutil

import pytest
import torch
from torch import nn

from facegraft.training.compile import compiled
from facegraft.training.params import Compile

CPU = torch.device("cpu")


@pytest.mark.parametrize("choice", [Compile.AUTO, Compile.OFF])
def test_on_a_cpu_nothing_is_compiled_unless_asked_for(choice):
    net = nn.Linear(3, 3)
    assert compiled(net, choice, CPU) is net


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no compiler")
def test_asked_for_a_network_is_compiled_on_a_cpu_too_and_learns_the_same(caplog):
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh())
    twin = copy.deepcopy(net)
    call = compiled(net, Compile.ON, CPU)
    x = torch.randn(2, 3, 8, 8)
    with caplog.at_level(logging.INFO):
        made = call(x)
    assert "the networks are compiled" in caplog.text
    made.square().sum().backward()
    expected = twin(x)
    expected.square().sum().backward()
    torch.testing.assert_close(made, expected)
    torch.testing.assert_close(net[0].weight.grad, twin[0].weight.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_without_a_compiler_the_network_itself_runs_and_the_log_says_why(monkeypatch, caplog):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh())
    call = compiled(net, Compile.ON, CPU)
    x = torch.randn(2, 5)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(call(x), net(x))
    assert "training goes on without" in caplog.text
    caplog.clear()
    call(x).sum().backward()
    assert net[0].weight.grad is not None
    assert not caplog.text  # said once


@pytest.mark.slow
def test_an_error_of_the_network_itself_is_raised_as_it_is():
    call = compiled(nn.Linear(5, 7), Compile.ON, CPU)
    with pytest.raises(RuntimeError, match="shapes"):
        call(torch.randn(2, 6))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_compiled_network_computes_the_same():
    device = torch.device("cuda")
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh()).to(device)
    x = torch.randn(2, 3, 16, 16, device=device)
    got = compiled(net, Compile.AUTO, device)(x)
    torch.testing.assert_close(got, net(x), rtol=1e-4, atol=1e-5)
