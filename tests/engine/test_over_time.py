"""Colour and mask averaged along a clip before it is merged, and the same in every chunk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import Cancelled
from facegraft.inference import SwapModel
from facegraft.media.images import read_image_file
from facegraft.media.open import open_source
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.steady import neighbours
from facegraft.merge.color.maps import AffineMap, ColorMap
from facegraft.merge.frame import fit_faces
from facegraft.merge.job import MergeJob
from facegraft.merge.out.outputs import open_outputs
from facegraft.merge.over_time import SteadyFits, fit_clip, looks_along
from facegraft.merge.params import ColorTransfer, MaskMode, MergeParams
from facegraft.merge.run import merge_clip
from facegraft.progress import Silent
from tests.drawn_faces import draw_face, face_at
from tests.engine.merge_clips import oval_mask, write_sequence
from tests.engine.tiny_dfm import write_dfm
from tests.synthetic import picture

WIDTH, HEIGHT, COUNT = 160, 120, 9
PLACES = [(60 + 4 * n, 55) for n in range(COUNT)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SwapModel:
    path = tmp_path_factory.mktemp("model") / "tint.dfm"
    return SwapModel.open(write_dfm(path, 64, (0.5, 0.8, 1), (0, 0.2, 0), oval_mask(), oval_mask()))


@pytest.fixture(scope="module")
def plates(tmp_path_factory) -> Path:
    """A face that moves to the right, in light that flickers from frame to frame."""
    frames = []
    for n, (x, y) in enumerate(PLACES):
        image = picture(WIDTH, HEIGHT, 0.1)
        draw_face(image, x, y, 40)
        light = (0.7, 1.0, 0.85)[n % 3]
        frames.append(np.rint(image * light).astype(np.uint8))
    return write_sequence(tmp_path_factory.mktemp("clip") / "plates", frames)


def followed(missing: tuple[int, ...] = (), track: int = 0) -> ClipFaces:
    faces = {n: (replace(face_at(x, y, 40), track=track),) for n, (x, y) in enumerate(PLACES)}
    return ClipFaces({n: found for n, found in faces.items() if n not in missing})


def job_of(model: SwapModel, clip: ClipFaces | None = None, **values) -> MergeJob:
    animation = Animation.from_json({"version": 2, "params": values})
    return MergeJob(model, animation, clip or followed())


def own_fits(plates: Path, job: MergeJob):
    """What each frame alone says, from the whole frame."""
    with open_source(plates) as source:
        return [
            fit_faces(frame.image, job.faces(frame), job.model, job.params(frame))[0]
            for frame in source
        ]


def affine(color_map: ColorMap | None) -> AffineMap:
    assert isinstance(color_map, AffineMap)
    return color_map


def matrix(color_map: ColorMap | None) -> np.ndarray:
    return affine(color_map).matrix


def steady_map(fits: SteadyFits, index: int) -> AffineMap:
    fit = fits.of(index, 0)
    assert fit is not None
    return affine(fit.color_map)


def test_a_steady_colour_is_the_weighted_mean_of_the_neighbours_maps(plates, model):
    job = job_of(model, smooth_color=2, color_transfer="rct")
    alone = own_fits(plates, job)
    with open_source(plates) as source:
        fits = fit_clip(source, job, range(COUNT))
    for n in range(COUNT):
        weights = neighbours(job.clip, n, 0, 2)
        expected = sum(weight * matrix(alone[i].color_map) for i, weight in weights)
        fit = fits.of(n, 0)
        assert fit is not None and fit.mask() is None
        # rounding apart: a rectangle's warp is placed a hair elsewhere than the whole frame's
        np.testing.assert_allclose(matrix(fit.color_map), expected, rtol=2e-3, atol=2e-3)


def test_flickering_light_makes_the_steady_maps_move_less(plates, model):
    job = job_of(model, smooth_color=4, color_transfer="rct")
    alone = np.stack([matrix(fit.color_map) for fit in own_fits(plates, job)])
    with open_source(plates) as source:
        fits = fit_clip(source, job, range(COUNT))
    steady = np.stack([steady_map(fits, n).matrix for n in range(COUNT)])
    jitter = [np.abs(np.diff(maps, axis=0))[1:-1, 0].mean() for maps in (alone, steady)]
    assert jitter[1] < 0.4 * jitter[0]


def test_a_steady_mask_is_the_weighted_mean_of_the_neighbours_masks(plates, model):
    job = job_of(model, smooth_mask=3, mask_mode="hull", color_transfer="none")
    alone = own_fits(plates, job)
    with open_source(plates) as source:
        fits = fit_clip(source, job, [4])
    expected = sum(weight * alone[i].mask for i, weight in neighbours(job.clip, 4, 0, 3))
    fit = fits.of(4, 0)
    assert fit is not None and fit.color_map is None
    mask = fit.mask()
    assert mask is not None and mask.dtype == np.float32
    assert np.abs(mask - expected).mean() < 2e-3


def test_neighbours_without_the_face_are_left_out(plates, model):
    job = job_of(model, followed(missing=(3, 5)), smooth_color=1, color_transfer="rct")
    with open_source(plates) as source:
        fit = fit_clip(source, job, [4]).of(4, 0)
        alone = fit_faces(source[4].image, job.clip.at(4), model, job.animation.constants)[0]
    assert fit is not None
    np.testing.assert_allclose(matrix(fit.color_map), matrix(alone.color_map), rtol=2e-3, atol=2e-3)


def test_where_the_transfer_is_keyed_only_frames_of_the_same_kind_count(plates, model):
    keys = {"keys": [[0, "rct"], [4, "lct"]]}
    job = job_of(model, smooth_color=3, color_transfer=keys)
    with open_source(plates) as source:
        fits = fit_clip(source, job, range(COUNT))
    kinds = [steady_map(fits, n).in_lab for n in range(COUNT)]
    assert kinds == [True] * 4 + [False] * 5


def test_a_host_s_matte_and_faces_that_nobody_follows_are_left_as_they_are(plates, model):
    matte_job = job_of(model, smooth_mask=3, mask_mode=MaskMode.HOST.value)
    with open_source(plates) as mattes, open_source(plates) as source:
        matte_job = replace(matte_job, mattes=mattes)
        fit = fit_clip(source, matte_job, [4]).of(4, 0)
        assert fit is not None and fit.mask() is None
        loose = job_of(model, followed(track=-1), smooth_color=3)
        assert fit_clip(source, loose, range(COUNT)).of(4, -1) is None


def pictures(plates: Path, out: Path, job: MergeJob, indices=None) -> dict[str, np.ndarray]:
    with open_source(plates) as source, open_outputs(out, {}, source.info) as outputs:
        merge_clip(source, outputs, job, indices)
    return {path.name: read_image_file(path)[0] for path in out.iterdir()}


def test_a_chunk_has_the_pixels_of_the_whole_clip(plates, model, tmp_path):
    job = job_of(model, smooth_color=3, smooth_mask=2, color_transfer="mkl_m", motion_blur=80)
    whole = pictures(plates, tmp_path / "whole", job)
    chunk = pictures(plates, tmp_path / "chunk", job, [3, 4])
    assert sorted(chunk) == ["shot.1004.png", "shot.1005.png"]
    for name, image in chunk.items():
        np.testing.assert_array_equal(whole[name], image)
    plain = pictures(plates, tmp_path / "plain", job_of(model, color_transfer="mkl_m"))
    assert any((plain[name] != whole[name]).any() for name in whole)


def test_a_clip_without_these_rows_is_gone_through_once():
    assert not looks_along(MergeParams(color_transfer=ColorTransfer.RCT))
    assert looks_along(MergeParams(smooth_color=0.5)) and looks_along(MergeParams(smooth_mask=1))


def test_stopping_while_fitting_says_that_nothing_is_merged(plates, model):
    class Stop(Silent):
        cancelled = True

    with open_source(plates) as source, pytest.raises(Cancelled, match="nothing is merged"):
        fit_clip(source, job_of(model, smooth_color=2), range(COUNT), Stop())
