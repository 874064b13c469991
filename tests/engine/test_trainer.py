"""One iteration of real tiny networks with every option that changes it."""

import itertools

import pytest
import torch
from torch import Tensor

from facegraft.errors import ParameterError
from facegraft.models.amp import AMP
from facegraft.models.liae import LIAE
from facegraft.training.checkpoint import Checkpoint
from facegraft.training.distributed import join_group
from facegraft.training.trainer import Trainer
from facegraft.training.warp import Augmented
from tests.engine.training_faces import tiny_params

CPU = torch.device("cpu")


def trainer_of(**options: object) -> Trainer:
    return Trainer(tiny_params(**options), CPU, None, join_group())


def batch(seed: int, count: int = 2) -> Augmented:
    """Smooth random pictures with an oval mask and eyes and mouth in it."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear", align_corners=True)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    mask = ((x / 0.7) ** 2 + (y / 0.9) ** 2 < 1).float().expand(count, 1, 64, 64)
    parts = ((y.abs() - 0.4).abs() < 0.1).float() * mask
    return Augmented(target.roll(2, dims=3), target, mask, parts)


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(before: dict[str, Tensor], module: torch.nn.Module) -> set[str]:
    return {n for n, value in module.state_dict().items() if not torch.equal(value, before[n])}


OPTIONS = [
    {},
    {"eyes_mouth_priority": True},
    {"face_style_power": 1.0},
    {"background_style_power": 2.0},
    {"gan_power": 0.1},
    {"true_face_power": 0.1},
    {"masked_training": False, "gan_power": 0.1},
    {"clip_gradient": 0.01},
    {"lr_dropout": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "+".join(o) or "plain")
def test_every_option_changes_what_a_step_does(options):
    """Against the same step without the option, from the same weights and faces."""
    results = []
    for more in ({}, options):
        trainer = trainer_of(**more)
        trainer.step(batch(1), batch(2), 0)
        results.append(weights(trainer.net))
    different = any(not torch.equal(results[0][name], results[1][name]) for name in results[0])
    assert different is bool(options)


@pytest.mark.parametrize("option", ["gan_power", "true_face_power"])
def test_a_judge_learns_from_its_own_lesson_only(option):
    """With its power near zero the autoencoder trains as without it, and the judge still learns."""
    plain, judged = trainer_of(), trainer_of(**{option: 1e-30})
    (judge,) = judged.members[1:]
    before = weights(judge.module)
    for trainer in (plain, judged):
        trainer.step(batch(1), batch(2), 0)
    assert moved(before, judge.module) == set(before)
    assert not any(p.requires_grad for p in judge.module.parameters())
    if option == "true_face_power":  # the GAN also quiets the picture's rim
        for name, value in plain.net.state_dict().items():
            torch.testing.assert_close(judged.net.state_dict()[name], value, rtol=0, atol=1e-6)


def test_a_judge_learns_to_tell_the_two_apart():
    trainer = trainer_of(gan_power=0.01, learning_rate=1e-3)
    assert trainer.gan is not None
    src, dst = batch(1), batch(2)
    for i in range(15):
        trainer.step(src, dst, i)
    with torch.no_grad():
        made = trainer.net.reconstruct(src.warped, dst.warped)
        real = trainer.gan.module(src.target * src.mask)[1].mean()
        fake = trainer.gan.module(made.src_src * src.mask)[1].mean()
    assert real > fake


def test_true_face_compares_codes_that_only_df_has():
    with pytest.raises(ParameterError, match="true_face_power is 0.1, which compares the codes of"):
        trainer_of(architecture="liae-ud", true_face_power=0.1)


def test_without_warp_the_shared_inter_of_liae_stays_and_with_it_it_moves():
    """As DeepFaceLab trains liae once random warp is off."""
    trainer = trainer_of(architecture="liae-ud")
    assert isinstance(trainer.net, LIAE)
    for warped in (False, True):
        trainer.set_warped(warped)
        before = weights(trainer.net.inter_ab)
        trainer.step(batch(1), batch(2), 0)
        assert moved(before, trainer.net.inter_ab) == (set(before) if warped else set())


def test_amp_trains_both_inters():
    """Which DeepFaceLab's own does no longer."""
    trainer = trainer_of(architecture="amp", inter_dims=32, gan_power=0.1)
    assert isinstance(trainer.net, AMP)
    before = weights(trainer.net)
    trainer.step(batch(1), batch(2), 0)
    changed = moved(before, trainer.net)
    for inter in ("inter_src.", "inter_dst."):
        assert any(name.startswith(inter) for name in changed), inter


@pytest.mark.parametrize("option", ["optimizer_on_cpu", "checkpoint_activations"])
def test_what_saves_memory_changes_no_bit(option):
    plain, saving = trainer_of(), trainer_of(**{option: True})
    for trainer, i in itertools.product((plain, saving), range(2)):
        trainer.step(batch(1), batch(2), i)
    for name, value in plain.net.state_dict().items():
        assert torch.equal(saving.net.state_dict()[name], value), name


def save_of(trainer: Trainer) -> Checkpoint:
    return Checkpoint(
        params=trainer.params,
        iteration=1,
        seconds=0.0,
        src_digest="",
        dst_digest="",
        last_loss=(1.0, 1.0),
        groups=trainer.groups(),
        crops=torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
    )


def test_a_save_brings_back_every_network_and_optimizer():
    options = {"gan_power": 0.1, "true_face_power": 0.1}
    first, second = trainer_of(**options), trainer_of(**options, seed=1)
    first.step(batch(1), batch(2), 0)
    stored = sum(v.numel() * v.element_size() for g in first.groups().values() for v in g.values())
    assert stored == pytest.approx(first.save_bytes(), rel=1e-3)
    assert second.restore(save_of(first)) == []
    for trainer in (first, second):
        trainer.step(batch(3), batch(4), 1)
    for name, group in first.groups().items():
        for key, value in group.items():
            assert torch.equal(second.groups()[name][key], value), (name, key)


def test_a_judge_of_another_shape_starts_anew_and_says_so():
    saved = save_of(trainer_of(gan_power=0.1))
    assert ["the gan judge starts anew"] == trainer_of(gan_power=0.1, gan_dims=8).restore(saved)
    assert ["the code judge starts anew"] == trainer_of(true_face_power=0.1).restore(saved)
