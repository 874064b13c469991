"""Memory estimates against a real process; suggestions and messages; the search for the batch."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from facegraft.errors import ParameterError
from facegraft.models.build import build, set_checkpointing
from facegraft.training.memory import (
    available_memory,
    estimate,
    is_out_of_memory,
    largest_batch,
    out_of_memory_message,
    suggest,
)
from facegraft.training.params import Optimizer, Precision, TrainParams
from facegraft.training.presets import DESCRIPTIONS, Preset
from facegraft.training.run_params import resolve
from facegraft.training.setup import build_optimizer

CPU = torch.device("cpu")
PARAMS = TrainParams(  # a batch whose activations outweigh the weights
    architecture="df-ud",
    resolution=128,
    ae_dims=32,
    e_dims=16,
    d_dims=16,
    d_mask_dims=16,
    batch_size=8,
)
TOLERANCE = 0.25


def peak() -> int:
    """Most memory that this process has held at once, bytes; starts anew with the program."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure() -> dict[str, int]:
    """Growth of this process's peak over two steps of a real network, in bytes."""
    torch.set_num_threads(1)
    small = torch.nn.Conv2d(8, 8, 3)  # loads the libraries
    optimizer = build_optimizer(PARAMS, small)
    small(torch.rand(1, 8, 8, 8)).sum().backward()
    optimizer.step()
    before = peak()
    net = build(PARAMS.spec)
    set_checkpointing(net, "recompute" in sys.argv)
    optimizer = build_optimizer(PARAMS, net)
    faces = torch.rand(2, PARAMS.batch_size, 3, PARAMS.resolution, PARAMS.resolution)
    for _ in range(2):
        made = net.reconstruct(faces[0], faces[1])
        loss = (made.src_src - faces[0]).square().mean() + (made.dst_dst - faces[1]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        (loss + made.src_src_mask.mean() + made.dst_dst_mask.mean()).backward()
        optimizer.step()
    return {"grown": peak() - before}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("recompute", [False, True])
def test_the_estimate_is_what_a_real_step_takes(recompute):
    more = ["recompute"] if recompute else []
    run = subprocess.run(
        [sys.executable, __file__, *more],
        capture_output=True, text=True, check=True,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # freed memory leaves the process
    )  # fmt: skip
    grown = json.loads(run.stdout)["grown"]
    told = estimate(replace(PARAMS, checkpoint_activations=recompute), CPU)
    # its loss keeps next to nothing, and the libraries' scratch space is no part of the networks
    assert told.weights + told.optimizer + told.step == pytest.approx(grown, rel=TOLERANCE)


def test_memory_grows_with_the_batch_and_shrinks_with_recomputation():
    steps = [estimate(replace(PARAMS, batch_size=n), CPU).step for n in (8, 16, 32)]
    assert steps[2] - steps[1] == pytest.approx(2 * (steps[1] - steps[0]), rel=0.02)
    recomputed = estimate(replace(PARAMS, checkpoint_activations=True), CPU).step
    assert recomputed < 0.7 * steps[0]


@pytest.mark.parametrize("architecture", ["df-ud", "liae-udt", "amp"])
def test_half_the_precision_takes_less_for_a_step_with_every_extra(architecture):
    """Activations halve, gradients stay float32 and the weights' copies come on top."""
    params = replace(
        PARAMS, architecture=architecture, resolution=96, gan_power=0.1, face_style_power=1.0
    )
    full, half = (
        estimate(replace(params, precision=p), CPU) for p in (Precision.FP32, Precision.BF16)
    )
    assert full.weights == half.weights
    assert 0.4 * full.step < half.step < full.step


def test_a_suggestion_fits_and_nothing_is_suggested_where_there_is_room():
    need = estimate(PARAMS, CPU).total
    assert suggest(PARAMS, CPU, need * 2) == ()
    available = int(need * 0.8)
    changes = suggest(PARAMS, CPU, available)
    changed = replace(PARAMS, **{change.name: change.value for change in changes})
    assert changes and estimate(changed, CPU).total <= available
    with pytest.raises(ParameterError, match="GiB are free; lower resolution"):
        suggest(PARAMS, CPU, 1 << 20)


def test_the_message_after_running_out_names_three_settings_that_each_save_memory():
    params = replace(PARAMS, optimizer=Optimizer.ADABELIEF)
    text = out_of_memory_message(params, CPU)
    now = estimate(params, CPU).total
    changes = {"batch_size": 4, "checkpoint_activations": True, "optimizer": Optimizer.RMSPROP}
    for name, value in changes.items():
        total = estimate(replace(params, **{name: value}), CPU).total
        assert total < now
        assert f"{name} {str(value).lower()}: {total / 2**30:.2f} GiB" in text


@pytest.mark.parametrize("limit", [1, 5, 8, 37, 512, 1000])
def test_the_largest_batch_that_runs_is_found_in_few_steps(limit):
    tried = []

    def step(batch: int) -> None:
        tried.append(batch)
        if batch > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert largest_batch(step) == min(limit, 512)
    assert len(tried) <= 20  # ten doublings and ten halvings
    assert max(tried) <= 512


def test_an_estimate_keeps_a_step_that_would_not_fit_from_being_tried():
    tried = []
    assert largest_batch(tried.append, high=64, fits=lambda batch: batch <= 20) == 20
    assert max(tried) == 20


def test_when_one_face_is_too_much_or_the_step_is_wrong_it_says_so():
    with pytest.raises(ParameterError, match="not even batch_size 1"):
        largest_batch(lambda _: None, fits=lambda _: False)

    def broken(_: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        largest_batch(broken)


def test_torchs_own_refusal_on_a_cpu_counts_as_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)


def test_free_memory_is_less_than_the_machine_has():
    assert 0 < available_memory(CPU) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_estimate_holds_on_a_gpu():
    device = torch.device("cuda")
    torch.cuda.reset_peak_memory_stats()
    net = build(PARAMS.spec).to(device)
    optimizer = build_optimizer(PARAMS, net)
    faces = torch.rand(2, PARAMS.batch_size, 3, 128, 128, device=device)
    with torch.autocast("cuda", torch.bfloat16):
        made = net.reconstruct(faces[0], faces[1])
    sum(x.float().mean() for x in made if x is not None).backward()  # pyright: ignore
    optimizer.step()
    told = estimate(PARAMS, device)
    used = torch.cuda.max_memory_allocated()
    assert told.weights + told.optimizer + told.step == pytest.approx(used, rel=TOLERANCE)


@pytest.mark.parametrize("preset", Preset)
def test_presets_say_how_much_memory_they_take(preset):
    """In bf16 on a GPU, as the estimate has it; each builds."""
    said = re.search(r"([\d.]+) GiB", DESCRIPTIONS[preset])
    assert said is not None
    params = resolve({"precision": "bf16"}, preset)
    told = estimate(params, torch.device("cuda")).total / 2**30
    assert float(said[1]) == pytest.approx(told, rel=0.05)


def test_nothing_is_suggested_that_does_not_help():
    """At 64 px, batch 1, the weights fill the memory and recomputing brings nothing."""
    params = replace(PARAMS, resolution=64, batch_size=2)
    changes = suggest(params, CPU, int(estimate(params, CPU).total * 1.09))
    totals = [estimate(params, CPU).total, *(change.total for change in changes)]
    assert len(totals) > 1 and totals == sorted(totals, reverse=True)


if __name__ == "__main__":
    print(json.dumps(measure()))
