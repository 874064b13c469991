"""Faces like a reference picture, through the node: a real detector, and a tiny network that knows
people by their colour."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.media.images import write_image
from facegraft_cli.ofx_host import FAILED, GENERAL, OK, OfxHost, Picture
from tests.engine.tiny_embedder import write_embedder
from tests.host_plugin_ofx.scene import Scene
from tests.weights_fixture import needs_weights, portrait

pytestmark = needs_weights


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """ada: who the frame shows. other: the same picture with the colours of nobody."""
    folder = tmp_path_factory.mktemp("people; ä=b")
    write_image(folder / "ada.png", portrait())
    write_image(folder / "other.png", np.ascontiguousarray(portrait()[..., ::-1]))
    write_embedder(folder / "mean.onnx")
    return folder


def frame() -> np.ndarray:
    """(H, W, 4) uint8: the portrait, at half its size."""
    rgb = portrait()[::2, ::2]
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=2)


def swap(host: OfxHost, scene: Scene, people: Path, reference: str, **values):
    """Status, what is shown, and whether the picture changed."""
    values = {
        "model": str(scene.model),
        "face_choice": "like",
        "face_reference": str(people / reference) if reference else "",
        "recognition": str(people / "mean.onnx"),
        "likeness": 0.98,
        **values,
    }
    source = Picture.of(frame())
    output = Picture.of(np.zeros_like(source.pixels))
    with host.create(GENERAL, values) as instance:
        status = instance.render(0.0, source, output)
        return status, instance.effect.shown, not np.array_equal(source.pixels, output.pixels)


def test_the_face_like_the_picture_is_swapped_and_another_is_not(host, scene: Scene, people):
    """Who is not alike is told with a figure; a lower threshold takes anybody."""
    assert swap(host, scene, people, "ada.png") == (OK, "", True)
    status, shown, changed = swap(host, scene, people, "other.png")
    assert status == OK and not changed and "other.png" in shown and "0.98 is asked for" in shown
    assert swap(host, scene, people, "other.png", likeness=-1.0) == (OK, "", True)


def test_what_is_missing_is_named(host, scene: Scene, people):
    for reference, values, text in (
        ("", {}, "names no picture"),
        ("lost.png", {}, "lost.png"),
        ("ada.png", {"recognition": ""}, "face recognition network"),
        ("ada.png", {"recognition": "/nowhere.onnx"}, "/nowhere.onnx"),
    ):
        status, shown, changed = swap(host, scene, people, reference, **values)
        assert status == FAILED and text in shown and not changed
