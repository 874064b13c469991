"""Fits and seats of a clip through the real worker process, against merges of whole clips."""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegraft.controls import parse_values
from facegraft.errors import FacesetError, ParameterError, ProtocolError
from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Origin
from facegraft.faces.faceset import write_aligned
from facegraft.inference import SwapModel
from facegraft.media.open import open_source
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.seat import seat
from facegraft.merge.clip.track_file import save_tracks
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.fit_file import FitFile
from facegraft.merge.fit_origin import fit_rows
from facegraft.merge.frame import merge_frame
from facegraft.merge.job import MergeJob
from facegraft.merge.over_time import fit_clip
from facegraft.merge.params import MergeParams
from facegraft.merge.stages import FaceStages
from facegraft.model_spec import FaceType
from facegraft.worker.client import CastPart, WorkerClient
from facegraft.worker.clip_client import ClipPasses
from tests.drawn_faces import draw_face, face_at
from tests.engine.merge_clips import oval_mask, write_sequence
from tests.engine.test_clip_seat import write_shifting_dfm
from tests.engine.test_worker_service import ROWS
from tests.engine.tiny_dfm import write_dfm
from tests.synthetic import picture
from tests.weights_fixture import detector, needs_weights, portrait, portrait_landmarks

COMMAND = [sys.executable, "-P", "-m", "facegraft.worker"]
WIDTH, HEIGHT, COUNT = 160, 120, 7
PLACES = [(60 + 4 * n, 55) for n in range(COUNT)]
STEADY = {"smooth_color": 3.0, "smooth_mask": 2.0, "mask_mode": "hull"}


@pytest.fixture(scope="module")
def client():
    with WorkerClient.start(COMMAND) as client:
        yield client


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tint.dfm"
    return write_dfm(path, 64, (0.5, 0.8, 1), (0, 0.2, 0), oval_mask(), oval_mask())


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """A face that moves to the right, in light that flickers from frame to frame."""
    made = []
    for n, (x, y) in enumerate(PLACES):
        image = picture(WIDTH, HEIGHT, 0.1)
        draw_face(image, x, y, 40)
        made.append(np.rint(image * (0.7, 1.0, 0.85)[n % 3]).astype(np.uint8))
    return made


def clip_faces() -> ClipFaces:
    return ClipFaces({n: (replace(face_at(*at, 40), track=3),) for n, at in enumerate(PLACES)})


def rgba_of(image: np.ndarray) -> np.ndarray:
    return np.dstack([image / np.float32(255), np.ones(image.shape[:2], np.float32)])


def asked(n: int, model: Path, **params) -> dict:
    (face,) = clip_faces().at(n)
    return {
        "model": str(model),
        "params": {**STEADY, **params},
        "color": "display",
        "faces": [{"landmarks": face.landmarks, "track": face.track, "score": face.score}],
        "frame": n,
    }


@pytest.fixture(scope="module")
def fits(client, model, frames, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fits") / "shot.steady.zip"
    with client.share() as connection:
        passes = ClipPasses(connection)
        for n, image in enumerate(frames):
            assert passes.fit(rgba_of(image), first=n == 0, **asked(n, model)) == 1
        assert passes.save_fits(str(path)) == {
            "type": "fits", "id": COUNT + 3, "frames": COUNT, "faces": COUNT,
        }  # fmt: skip
    return path


def merged(client, image: np.ndarray, fits: Path | str, values: dict):
    reply = client.merge(rgba_of(image), fits=str(fits), **values)
    below = image / np.float32(255)
    return reply, reply.layer[..., :3] + below * (1 - reply.layer[..., 3:])


@pytest.mark.parametrize("transfer", ["rct", "sot_m"])
@pytest.mark.parametrize("n", [0, 3])
def test_a_frame_is_averaged_over_time_as_a_merge_of_the_clip_averages_it(
    client, model, frames, fits, tmp_path, n, transfer
):
    """Where the fits were made with another transfer they are made again."""
    values = asked(n, model, color_transfer=transfer)
    if transfer != "rct":
        fits = tmp_path / "other.zip"
        passes = ClipPasses(client)
        for i, image in enumerate(frames):
            passes.fit(rgba_of(image), first=i == 0, **asked(i, model, color_transfer=transfer))
        passes.save_fits(str(fits))
    reply, got = merged(client, frames[n], fits, values)
    swap = SwapModel.open(model)
    animation = Animation.from_json({"version": 2, "params": values["params"]})
    with open_source(write_sequence(tmp_path / "plates", frames)) as source:
        whole = fit_clip(source, MergeJob(swap, animation, clip_faces()), range(COUNT))
    fit = whole.of(n, 3)
    assert fit is not None and not reply.notes
    extras = FrameExtras(faces=[FaceExtras(color_map=fit.color_map, mask=fit.mask())], seed=n)
    image = frames[n] / np.float32(255)
    expected = merge_frame(image, clip_faces().at(n), swap, animation.constants, extras).result
    assert np.abs(got - expected).max() < 1 / 255
    alone = merge_frame(image, clip_faces().at(n), swap, animation.constants).result
    assert np.abs(alone - expected).max() > 6 / 255


def test_a_faceset_says_which_of_the_fits_a_frame_has(client, model, frames, fits, tmp_path):
    """Files carry numbers of their own, which are not the clip's."""
    for n in range(COUNT):
        (face,) = clip_faces().at(n)
        matrix = align_matrix(face.landmarks, FaceType.FULL, 64)
        origin = Origin("shot", f"shot.{1001 + n}", n, "0", WIDTH, HEIGHT, "test")
        square = warp_image(frames[n], matrix, 64, 64)
        write_aligned(tmp_path / f"{n}.png", square, face, FaceType.FULL, matrix, origin)
    values = asked(3, model)
    _, expected = merged(client, frames[3], fits, values)
    stored = {"faces": None, "faceset": str(tmp_path), "frame_key": "shot.1004", "frame": 1004}
    reply, got = merged(client, frames[3], fits, {**values, **stored})
    assert not reply.notes and np.abs(got - expected).max() < 1 / 255


def test_the_two_rows_are_turned_without_another_pass_and_without_the_network(
    client, model, frames, fits
):
    first, _ = merged(client, frames[2], fits, asked(2, model))
    wider, _ = merged(client, frames[2], fits, asked(2, model, smooth_color=6.0))
    assert not wider.notes and not np.array_equal(first.layer, wider.layer)
    softer, _ = merged(client, frames[2], fits, asked(2, model, blur=90.0))
    assert softer.cached["inference"] and not np.array_equal(first.layer, softer.layer)
    off, _ = merged(client, frames[2], fits, asked(2, model, smooth_color=0.0, smooth_mask=0.0))
    plain, _ = merged(client, frames[2], "", asked(2, model, smooth_color=0.0, smooth_mask=0.0))
    assert np.array_equal(off.layer, plain.layer)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"params": {"mask_mode": "learned_prd"}}, "Mask mode changed since"),
        ({"params": {"color_transfer": "lct"}}, "Transfer mode changed since"),
        ({"model": True}, "the model changed since"),
        ({"frame": 3}, "the landmarks changed since"),
        ({"frame": 99}, "frame 99 is not fitted"),
        ({"track": -1}, "the face belongs to no track"),
        ({"light": 0.5}, "the picture changed since"),
        ({"fits": "/nowhere/x.zip"}, "cannot read the fits /nowhere/x.zip"),
    ],
)
def test_a_fit_that_belongs_to_something_else_is_named_and_not_used(
    client, model, frames, fits, tmp_path, change, reason
):
    values = asked(2, model, **change.get("params", {}))
    if "model" in change:
        values["model"] = str(write_dfm(tmp_path / "b.dfm", 64, (0.9, 0.8, 1), (0, 0.1, 0)))
    values["frame"] = change.get("frame", 2)
    values["faces"][0]["track"] = change.get("track", 3)
    image = np.rint(frames[2] * change.get("light", 1.0)).astype(np.uint8)
    reply, _ = merged(client, image, change.get("fits", fits), values)
    (note,) = reply.notes
    assert note.startswith("smooth_color and smooth_mask: ") and reason in note
    assert "Fit the clip again" in note
    values["params"] = {**values["params"], "smooth_color": 0.0, "smooth_mask": 0.0}
    own, _ = merged(client, image, "", values)
    assert np.array_equal(reply.layer, own.layer)


class KeyKeeper:
    """Writes down under which keys stages are kept, and computes none."""

    def __init__(self) -> None:
        self.asked: list = []

    def __call__(self, key, compute) -> Any:
        self.asked.append(key)


def test_what_a_fit_depends_on_is_what_its_stages_are_kept_under(model):
    """Each row of the table, changed alone: the keys of mask and colour say whether it matters."""
    swap, (face,) = SwapModel.open(model), clip_faces().at(0)
    image = np.zeros((HEIGHT, WIDTH, 3), np.float32)

    def keys(params: MergeParams) -> list:
        keeper = KeyKeeper()
        stages = FaceStages(image, face, swap, params, FaceExtras(), FrameExtras(keep=keeper))
        stages.base_mask()
        if params.smooth_color:
            stages.color_map()
        return keeper.asked

    for values in (
        {"smooth_color": 3}, {"smooth_mask": 3}, {"smooth_color": 3, "mode": "seamless"},
        {"smooth_mask": 3, "mask_mode": "host"},
    ):  # fmt: skip
        base = parse_values(MergeParams, values)
        for name, value in ROWS.items():
            if name in ("smooth_color", "smooth_mask", "mode"):
                continue
            other = parse_values(MergeParams, {**values, name: value})
            matters = keys(base) != keys(other)
            assert matters == (name in fit_rows(base) or name in fit_rows(other)), (base, name)


def test_a_damaged_file_and_messages_out_of_order_are_refused(client, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK not an archive")
    with pytest.raises(FacesetError, match=r"x\.zip holds no fits"):
        FitFile.open(tmp_path / "x.zip")
    with client.share() as connection:
        passes = ClipPasses(connection)
        with pytest.raises(ProtocolError, match="save_fits before fit"):
            passes.save_fits(str(tmp_path / "y.zip"))
        with pytest.raises(ProtocolError, match="seats before plan_seats"):
            passes.seats()


def test_fits_that_are_not_saved_leave_no_file_behind(client, model, frames, tmp_path):
    def left() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("facegraft-*.fits"))

    before = left()
    with client.share() as connection:
        passes = ClipPasses(connection)
        passes.fit(rgba_of(frames[3]), first=True, **asked(3, model))
        with pytest.raises(ParameterError, match="frame 3 comes after 3; go forward"):
            passes.fit(rgba_of(frames[3]), first=False, **asked(3, model))
        assert len(left() - before) == 1
    for _ in range(100):  # the worker notices the closed connection by itself
        if left() == before:
            break
        time.sleep(0.1)
    assert left() == before


def test_with_a_cast_the_faces_that_nobody_plays_stay_as_they_are(client, model, frames):
    left, right = (replace(face_at(x, 55, 40), track=n) for n, x in enumerate((40, 110)))
    faces = [{"landmarks": f.landmarks, "track": f.track} for f in (left, right)]
    values = {**asked(0, model, smooth_color=0.0, smooth_mask=0.0), "faces": faces}
    reply, got = merged(client, frames[0], "", values)
    assert reply.face_count == 2
    values |= {"model": "", "cast": [CastPart("track:1", str(model))]}
    reply, got = merged(client, frames[0], "", values)
    assert [face["chosen"] for face in reply.faces] == [False, True]
    assert np.array_equal(got[:, :75], frames[0][:, :75] / np.float32(255))
    assert np.abs(got[:, 75:] - frames[0][:, 75:] / 255).max() > 0.03


def test_largest_goes_by_the_tracks_where_the_host_says_their_sizes(client, model, frames):
    """A person who is larger in this frame alone is not meant."""
    faces = [
        {"landmarks": face_at(x, 55, size).landmarks, "track": n, "track_size": known}
        for n, (x, size, known) in enumerate([(40, 30, 50.0), (110, 40, 20.5)])
    ]
    values = {**asked(0, model, smooth_color=0.0, smooth_mask=0.0), "faces": faces}
    reply, _ = merged(client, frames[0], "", {**values, "choice": "largest:1"})
    assert [face["chosen"] for face in reply.faces] == [True, False]
    for face in faces:
        del face["track_size"]
    reply, _ = merged(client, frames[0], "", {**values, "choice": "largest:1"})
    assert [face["chosen"] for face in reply.faces] == [False, True]
    faces[0]["track_size"] = -1
    with pytest.raises(ProtocolError, match="track_size -1; it is a number of pixels"):
        merged(client, frames[0], "", values)


@needs_weights
def test_seats_are_those_of_a_merge_of_the_clip(client, tmp_path):
    """Also in another working space, and added to the placement of its own model alone."""
    still, points = portrait(), portrait_landmarks()
    frames = [np.roll(still, 2 * n, axis=1) for n in range(4)]
    clip = ClipFaces(
        {
            n: (
                replace(
                    face_at(0, 0, 1), landmarks=points + np.array([2 * n, 0], np.float32), track=0
                ),
            )
            for n in range(4)
        }
    )
    height, width = still.shape[:2]
    save_tracks(tmp_path / "t.json", clip, width, height, "test 1")
    path = write_shifting_dfm(tmp_path / "shift.dfm", -3, 4)
    with open_source(write_sequence(tmp_path / "plates", frames)) as source:
        expected = seat(SwapModel.open(path), source, clip, detector(), MergeParams())
    with client.share() as connection:
        passes = ClipPasses(connection)
        planned = passes.plan_seats(str(tmp_path / "t.json"), (width, height), {}, str(path))
        assert planned == [0, 1, 2, 3]
        for n in planned:
            assert passes.look(rgba_of(frames[n]), n, "display") == 1
        (found,) = passes.seats()
        with pytest.raises(ParameterError, match="no face is followed as track 5"):
            passes.plan_seats(str(tmp_path / "t.json"), (width, height), {}, str(path), "track:5")
    assert found.model == str(path) and found.frames == 4
    for name, value in found.seat.items():
        assert value == pytest.approx(getattr(expected, name), abs=0.2), name
    assert abs(found.seat["face_offset_x"]) > 10
    values = {
        "model": str(path), "params": {"color_transfer": "none"}, "color": "display",
        "faces": [{"landmarks": points}],
    }  # fmt: skip
    seated = client.merge(rgba_of(still), seat=found.seat, **values)
    by_hand = client.merge(
        rgba_of(still), **{**values, "params": {**values["params"], **found.seat}}
    )
    assert np.array_equal(seated.layer, by_hand.layer)
    cast = [CastPart("all", str(path), found.seat)]
    by_cast = client.merge(rgba_of(still), **{**values, "model": "", "cast": cast})
    assert np.array_equal(by_cast.layer, by_hand.layer)
