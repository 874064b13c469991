"""Merges through the real worker process and shared memory."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import MissingWeights, WorkerDied
from facegraft.inference import SwapModel
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import MergeParams
from facegraft.worker.client import WorkerClient
from tests.drawn_faces import draw_face, face_at
from tests.engine.tiny_dfm import write_dfm

COMMAND = [sys.executable, "-P", "-m", "facegraft.worker"]
MASK = np.clip(2.5 - 2.5 * np.hypot(*np.mgrid[-1:1:64j, -1:1:64j]), 0, 1)
FACE = face_at(80, 60, 50)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    return write_dfm(tmp_path_factory.mktemp("m") / "m.dfm", offset=(0.3, 0, 0), mask=MASK)


@pytest.fixture(scope="module", params=["unix", "tcp"])
def client(request):
    with WorkerClient.start(COMMAND, transport=request.param) as client:
        yield client


def frame(level: float = 0.3, width: int = 160, height: int = 120) -> np.ndarray:
    image = np.full((height, width, 3), round(level * 255), np.uint8)
    draw_face(image, 80, 60, 50)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = image / np.float32(255)
    return rgba


def merged_by(client: WorkerClient, rgba: np.ndarray, model: Path, **params):
    return client.merge(
        rgba,
        model=str(model),
        params=params,
        color="display",
        faces=[{"landmarks": FACE.landmarks}],
    )


def expected_rgb(rgba: np.ndarray, model: Path, **params) -> np.ndarray:
    image = np.ascontiguousarray(rgba[..., :3])
    return merge_frame(image, [FACE], SwapModel.open(model), MergeParams(**params)).result


def composite(layer: np.ndarray, rgba: np.ndarray) -> np.ndarray:
    return layer[..., :3] + rgba[..., :3] * (1 - layer[..., 3:])


def test_the_layer_over_the_frame_is_the_merged_frame(client, model_path):
    """To 1e-6, and to the bit where the matte is 0; nothing lies outside the stated rectangle."""
    rgba = frame()
    reply = merged_by(client, rgba, model_path, blur=80.0)
    out, expected = composite(reply.layer, rgba), expected_rgb(rgba, model_path, blur=80.0)
    assert reply.face_count == 1 and np.abs(out - expected).max() <= 1e-6
    outside = reply.layer[..., 3] == 0
    assert outside.any() and np.array_equal(out[outside], rgba[..., :3][outside])
    x0, y0, x1, y1 = reply.roi
    beyond = reply.layer
    beyond[y0:y1, x0:x1] = 0
    assert not beyond.any() and np.array_equal(reply.layer[y0:y1, x0:x1], reply.part)


def test_a_part_is_laid_by_its_place_and_stays_when_the_next_one_comes(client, model_path):
    """Where a host lays it in place it gives the whole layer's composite; without a face, or with
    nothing to show, it is empty."""
    rgba = frame()
    reply = merged_by(client, rgba, model_path)
    x0, y0, x1, y1 = reply.roi
    kept, laid = reply.part.copy(), rgba[..., :3].copy()
    laid[y0:y1, x0:x1] = composite(reply.part, rgba[y0:y1, x0:x1])
    assert np.array_equal(laid, composite(reply.layer, rgba))
    nothing = merged_by(client, rgba, model_path, mix=0.0)
    assert nothing.part.shape == (0, 0, 4) and nothing.roi == (0, 0, 0, 0)
    assert nothing.layer.shape == rgba.shape and not nothing.layer.any()
    merged_by(client, rgba, model_path, mix=0.5)
    assert np.array_equal(kept, reply.part)


def test_the_same_frame_again_is_recognised_and_another_is_not(client, model_path):
    """A re-tune reads nothing anew; one changed bit, or another frame between, reads all anew."""
    rgba = frame(0.41)
    assert not merged_by(client, rgba, model_path).cached["inference"]
    again = merged_by(client, rgba.copy(), model_path, erode=20.0)
    assert again.cached == {"detection": True, "inference": True}
    assert again.ms["hash"] < 5  # not looked at: a copy in the client told it
    other = rgba.copy()
    other[0, 0, 0] = np.nextafter(other[0, 0, 0], np.float32(1))
    assert not merged_by(client, other, model_path).cached["inference"]
    back = merged_by(client, rgba, model_path, erode=20.0)
    assert back.cached["inference"] and np.array_equal(back.layer, again.layer)


def test_a_failed_call_does_not_leave_its_frame_behind(client, model_path):
    """The frame of a refused merge is not taken for the one the worker knows."""
    merged_by(client, frame(0.5), model_path)
    fresh = frame(0.6)
    with pytest.raises(ValueError, match="mix"):
        merged_by(client, fresh, model_path, mix=3.0)
    layer = merged_by(client, fresh, model_path).layer
    assert np.abs(composite(layer, fresh) - expected_rgb(fresh, model_path)).max() <= 1e-6


def test_frames_of_changing_size_and_layout_are_taken(client, model_path):
    """Growing makes a new mapping; a flipped or strided view is read as it looks."""
    for rgba in (
        frame(width=160),
        frame(width=400, height=300),
        frame(width=130),
        frame()[::-1].copy()[::-1],  # as from a host whose rows begin at the bottom
        np.repeat(frame(), 2, axis=2)[..., ::2],
    ):
        layer = merged_by(client, rgba, model_path).layer
        assert layer.shape == rgba.shape
        assert np.abs(composite(layer, rgba) - expected_rgb(rgba, model_path)).max() <= 1e-6


def test_threads_with_connections_of_their_own_never_mix_their_frames(client, model_path):
    """Each gets the layer of its own frame, however they interleave."""
    frames = [frame(0.1 + 0.2 * i, 160 + 16 * i) for i in range(4)]
    expected = [expected_rgb(rgba, model_path) for rgba in frames]
    failures: list[object] = []

    def work(number: int) -> None:
        with client.share() as own:
            for _ in range(6):
                layer = merged_by(own, frames[number], model_path).layer
                error = np.abs(composite(layer, frames[number]) - expected[number]).max()
                if error > 1e-6:
                    failures.append((number, error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures and not any(thread.is_alive() for thread in threads)


def test_no_shared_file_keeps_its_name(client, model_path):
    """A killed host must leave no 33 MB file behind; only the mapping keeps the memory."""
    merged_by(client, frame(), model_path)
    maps = Path(f"/proc/{client.pid}/maps").read_text()
    shared = [line for line in maps.splitlines() if "facegraft-" in line]
    assert shared and all(line.endswith("(deleted)") for line in shared)


def test_missing_networks_are_a_message_and_given_faces_go_on(model_path, tmp_path, monkeypatch):
    """A host shows the sentence; nothing else stops working."""
    monkeypatch.setenv("FACEGRAFT_DATA", str(tmp_path))
    with WorkerClient.start(COMMAND) as own:
        with pytest.raises(MissingWeights, match="facegraft weights"):
            own.merge(frame(), model=str(model_path), params={}, color="display")
        assert merged_by(own, frame(), model_path).face_count == 1


def test_a_closed_client_refuses_to_merge(model_path):
    own = WorkerClient.start(COMMAND)
    own.close()
    with pytest.raises(WorkerDied):
        merged_by(own, frame(), model_path)
