"""Weights of another run: what fits is taken, the rest named."""

from dataclasses import replace

import pytest
import torch

from facegraft.errors import CheckpointError
from facegraft.models.build import build
from facegraft.training.checkpoint import Checkpoint, save_checkpoint
from facegraft.training.pretrained import load_pretrained, take_weights
from tests.engine.test_checkpoint import make
from tests.engine.training_faces import tiny_params


def saved_run(folder, **options: object) -> Checkpoint:
    """A run with random weights, as read for another one."""
    params = tiny_params(**options)
    groups = {"net": build(params.spec).state_dict()}
    save_checkpoint(folder, replace(make(1000), params=params, groups=groups))
    return load_pretrained(folder, print)


def test_a_run_of_the_same_shape_is_taken_whole(tmp_path):
    pretrained = saved_run(tmp_path)
    net = build(tiny_params().spec)
    fit = take_weights(net, pretrained, tiny_params().spec)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, pretrained.groups["net"][name])
    assert ((), ()) == (fit.rows, fit.reinitialised)
    assert {"encoder: taken", "inter: taken", "decoder_src: taken", "decoder_dst: taken"} == set(
        fit.lines()
    )


def test_another_resolution_begins_anew_where_the_sizes_depend_on_it(tmp_path):
    pretrained = saved_run(tmp_path)
    spec = tiny_params(resolution=128, face_type="head").spec
    net = build(spec)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fit = take_weights(net, pretrained, spec)
    assert ("resolution is 64 there and 128 here", "face_type is full there and head here") == (
        fit.rows
    )
    assert {"inter"} == {misfit.name.partition(".")[0] for misfit in fit.reinitialised}
    anew = {misfit.name for misfit in fit.reinitialised}
    assert anew | set(fit.taken) == set(before)
    for name, tensor in net.state_dict().items():
        source = before if name in anew else pretrained.groups["net"]
        assert torch.equal(source[name], tensor), name
    (line,) = [line for line in fit.lines() if line.startswith("inter:")]
    assert "tensors begin anew" in line and "there" in line and "here" in line


def test_another_architecture_is_refused_with_both_names(tmp_path):
    pretrained = saved_run(tmp_path)
    spec = tiny_params(architecture="liae-ud").spec
    with pytest.raises(CheckpointError, match="architecture is df-ud in .* and liae-ud in this"):
        take_weights(build(spec), pretrained, spec)


def test_a_place_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="there is no run at .*nowhere"):
        load_pretrained(tmp_path / "nowhere", print)
    with pytest.raises(CheckpointError, match="holds no save"):
        load_pretrained(tmp_path, print)
