"""A batch augmented as a whole: what its key determines, and what touches input or target alone."""

import numpy as np
import pytest
import torch

from facegraft.training.augment import augment_batch
from facegraft.training.kinds import ColorTransfer
from facegraft.training.params import TrainParams
from facegraft.training.warp import Amounts, Augmented

R = 64
AMOUNTS = Amounts(warp=True, flip=True, rotation=10.0, scale=0.15, shift=0.05)
METHODS = [method for method in ColorTransfer if method is not ColorTransfer.NONE]


def squares(seed: int, count: int = 4, base: float = 120) -> torch.Tensor:
    """(N, 80, 80, 5) uint8: smooth noise of some colour under a disc, eyes in it; 8 px margin."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :80].astype(np.float32)
    waves = [
        [np.sin(x / rng.uniform(4, 9) + k) * np.cos(y / rng.uniform(4, 9)) for k in range(3)]
        for _ in range(count)
    ]
    rgb = np.clip(base + 50 * np.array(waves) + [[[[20]], [[0]], [[-30]]]], 0, 255)
    disc = np.clip(26 - np.hypot(x - 40, y - 40), 0, 1) * 255
    eyes = np.clip(5 - np.hypot(np.abs(x - 40) - 10, y - 34), 0, 1) * 255
    masks = np.broadcast_to(np.stack([disc, eyes]), (count, 2, 80, 80))
    return torch.from_numpy(np.concatenate([rgb, masks], axis=1).astype(np.uint8)).movedim(1, -1)


FACES, OTHERS = squares(1), squares(2, base=80)[:, 8:72, 8:72]


def made(amounts: Amounts = AMOUNTS, draw: int = 3, **more: object) -> Augmented:
    return augment_batch(FACES, R, amounts, 0, "src", draw, **more)  # type: ignore[arg-type]


def with_(**values: object) -> Amounts:
    kept = {name: getattr(AMOUNTS, name) for name in Amounts.__dataclass_fields__}
    return Amounts(**{**kept, **values})


@pytest.mark.parametrize("method", [ColorTransfer.NONE, *METHODS])
def test_equal_keys_give_equal_batches_and_other_draws_others(method):
    """All of it is a function of seed, side and draw."""
    amounts = with_(color_transfer=method, hsv_power=0.1, blur_out=True)
    first, second = (made(amounts, references=OTHERS) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.warped, made(amounts, draw=4, references=OTHERS).warped)
    other_side = augment_batch(FACES, R, amounts, 0, "dst", 3, OTHERS)
    assert not torch.equal(first.warped, other_side.warped)


@pytest.mark.parametrize("method", METHODS)
def test_parts_of_a_batch_are_augmented_as_in_the_whole(method):
    """Two processes see what one would."""
    amounts = with_(color_transfer=method, hsv_power=0.1, blur_out=True)
    whole = made(amounts, references=OTHERS)
    halves = [
        augment_batch(
            FACES[rows], R, amounts, 0, "src", 3, OTHERS[rows], batch_size=4, part=(rank, 2)
        )
        for rank, rows in enumerate((slice(0, 2), slice(2, 4)))
    ]
    for expected, *parts in zip(whole, *halves, strict=True):
        torch.testing.assert_close(torch.cat(parts), expected, atol=1e-5, rtol=0)


def test_each_option_leaves_the_draws_of_the_others():
    """Switching one on moves no warp, flip or hue of the rest."""
    plain, hsv = made(), made(with_(hsv_power=0.1))
    assert torch.equal(plain.target, hsv.target) and torch.equal(plain.mask, hsv.mask)
    assert (plain.warped - hsv.warped).abs().mean() > 0.01
    unwarped = made(with_(warp=False, hsv_power=0.1))
    assert torch.equal(unwarped.target, plain.target)
    assert (unwarped.warped - unwarped.target).abs().mean() > 0.01  # the input has other colours
    blurred = made(with_(blur_out=True))
    assert torch.equal(plain.warped, blurred.warped)
    inside = (plain.mask == 1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(blurred.target[inside], plain.target[inside])


@pytest.mark.parametrize("method", METHODS)
def test_input_and_target_get_the_same_colours(method):
    """Without a warp they are one picture, as they are without a transfer."""
    amounts = with_(warp=False, color_transfer=method)
    result = made(amounts, references=OTHERS)
    assert result.warped is result.target
    assert (result.target - made(with_(warp=False)).target).abs().mean() > 0.02
    assert torch.equal(result.mask, made().mask) and torch.equal(result.parts, made().parts)


def test_a_transfer_without_references_is_refused():
    """It would otherwise silently do nothing."""
    with pytest.raises(ValueError, match="rct needs reference faces"):
        made(with_(color_transfer=ColorTransfer.RCT))


def test_only_src_gets_other_colours_by_its_options():
    """Hue and transfer are src's, the blurred surroundings are both sides'."""
    params = TrainParams(hsv_power=0.05, color_transfer=ColorTransfer.MKL, blur_out_mask=True)
    src, dst = (Amounts.of(params, False, True, src=side) for side in (True, False))
    assert (0.05, ColorTransfer.MKL, True) == (src.hsv_power, src.color_transfer, src.blur_out)
    assert (0.0, ColorTransfer.NONE, True) == (dst.hsv_power, dst.color_transfer, dst.blur_out)
