"""What augmentation does to a labelled batch, kind by kind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.training.mask_augment import augment_labelled, plain_labelled
from facegraft.training.occluders import draw_occluder
from tests.engine.masked_faces import tiny_mask_params

STILL = tiny_mask_params(
    resolution=64, random_flip=False, random_warp=False, rotation=0.0, scale=0.0, shift=0.0,
    backgrounds=0.0, occluders=0.0, lights=0.0, damage=0.0, colors=0.0,
)  # fmt: skip


def squares(count: int = 4, margin: int = 0) -> torch.Tensor:
    """Smooth pictures whose label is a disc; the red channel is the label."""
    side = 64 + 2 * margin
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    disc = np.clip(20.5 - np.hypot(x, y), 0, 1) * 255
    made = np.empty((count, side, side, 5), np.uint8)
    for i in range(count):
        made[i, ..., 0] = np.rint(disc)
        made[i, ..., 1] = np.rint(127 + 100 * np.sin(x / 9 + i))
        made[i, ..., 2] = np.rint(127 + 100 * np.cos(y / 7 - i))
        made[i, ..., 3] = np.rint(disc)
    made[..., 4] = 255
    return torch.from_numpy(made)


def test_with_everything_off_the_batch_is_what_went_in():
    faces = squares(margin=8)
    got = augment_labelled(faces, squares(), 64, STILL, 0)
    plain = plain_labelled(faces[:, 8:-8, 8:-8])
    for made, expected in zip(got, plain, strict=True):
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


def test_picture_and_label_are_bent_alike():
    shape = replace(STILL, random_flip=True, random_warp=True, rotation=10.0, scale=10.0, shift=5.0)
    got = augment_labelled(squares(margin=8), squares(), 64, shape, 3)
    moved = (got.picture[:, :1] - plain_labelled(squares()).picture[:, :1]).abs().mean()
    assert moved > 0.02
    assert (got.picture[:, :1] - got.face).abs().mean() < 0.01  # cubic and linear at an edge


def test_equal_draws_are_equal_and_others_differ():
    everything = tiny_mask_params(resolution=64, occluders=100.0, damage=100.0)
    first, again, other = (
        augment_labelled(squares(), squares(), 64, everything, draw).picture for draw in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_switching_one_kind_off_leaves_the_others_as_they_were():
    shape = replace(STILL, random_warp=True, rotation=10.0)
    for more in ({"backgrounds": 100.0}, {"lights": 100.0}, {"colors": 100.0}, {"damage": 100.0}):
        both = augment_labelled(squares(), squares(), 64, replace(shape, **more), 5)
        alone = augment_labelled(squares(), squares(), 64, shape, 5)
        assert torch.equal(both.face, alone.face)
        assert not torch.equal(both.picture, alone.picture)


def test_other_surroundings_leave_the_face_and_the_unknown_untouched():
    faces = squares()
    faces[:, :20, :, 4] = 0
    got = augment_labelled(faces, squares().flip(0), 64, replace(STILL, backgrounds=100.0), 2)
    change = (got.picture - plain_labelled(faces).picture).abs().amax(1, keepdim=True)
    face, known = plain_labelled(faces).face, plain_labelled(faces).known
    assert change[face == 1].max() < 1e-5 and change[known == 0].max() < 1e-5
    assert change[(face == 0) & (known == 1)].mean() > 0.05


def test_a_thing_in_front_is_no_face_and_known_to_be_none():
    faces = squares(8)
    faces[..., 4] = 0
    got = augment_labelled(faces, squares(8), 64, replace(STILL, occluders=100.0), 4)
    plain = augment_labelled(faces, squares(8), 64, STILL, 4)
    assert (got.face <= plain.face).all()
    covered = got.known > 0.99
    assert covered.any() and got.face[covered].max() < 0.02
    lost = plain.face - got.face
    torch.testing.assert_close(lost, plain.face * got.known, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [64, 192])
def test_occluders_are_soft_shapes_of_a_sensible_size_wherever_they_are(size):
    random = np.random.default_rng(0)
    shapes = np.stack([draw_occluder(size, random) for _ in range(60)])
    assert 0 == shapes.min() and shapes.max() <= 1
    shares = shapes.mean(axis=(1, 2))
    assert shares.max() < 0.8 and 0.02 < np.median(shares) < 0.35
    assert ((shapes > 0.05) & (shapes < 0.95)).any(axis=(1, 2)).mean() > 0.9


def test_damage_stays_within_the_picture_s_range_and_changes_it():
    got = augment_labelled(squares(), squares(), 64, replace(STILL, damage=100.0), 1).picture
    assert 0 <= got.min() and got.max() <= 1
    assert (got - plain_labelled(squares()).picture).abs().mean() > 0.005


def test_without_strength_only_shape_and_occluders_are_left():
    everything = tiny_mask_params(resolution=64, occluders=100.0)
    still = replace(everything, backgrounds=0.0, lights=0.0, damage=0.0, colors=0.0)
    cooled = augment_labelled(squares(), squares(), 64, everything, 7, strength=0.0)
    expected = augment_labelled(squares(), squares(), 64, still, 7)
    assert torch.equal(cooled.picture, expected.picture)
    hot = augment_labelled(squares(), squares(), 64, everything, 7)
    assert not torch.equal(hot.picture, expected.picture)
