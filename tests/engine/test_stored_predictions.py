"""Predictions kept on disk: the same numbers, by content of model, face and morph."""

import numpy as np

from facegraft.array_store import ArrayStore
from facegraft.inference import SwapModel
from tests.engine.tiny_dfm import write_dfm


def test_a_stored_prediction_is_the_computed_one_and_saves_the_network(tmp_path):
    path = write_dfm(tmp_path / "a.dfm", gain=(0.5, 0.6, 0.7), mask=0.25, dst_mask=0.75)
    store = ArrayStore(tmp_path / "store")
    crops = np.random.default_rng(0).random((3, 64, 64, 3), dtype=np.float32)
    plain = SwapModel.open(path).predict_batch(crops)
    first = SwapModel.open(path, store=store).predict_batch(crops[:2])
    assert len(list(store.folder.iterdir())) == 2
    second = SwapModel.open(path, store=ArrayStore(store.folder)).predict_batch(crops)
    assert len(list(store.folder.iterdir())) == 3
    for found in (first, second):
        for a, b in zip(plain, found, strict=False):
            for part in ("face", "mask", "dst_mask"):
                np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


def test_another_model_is_another_entry(tmp_path):
    store = ArrayStore(tmp_path / "store")
    crop = np.full((1, 64, 64, 3), 0.5, np.float32)
    for gain in (0.2, 0.4):
        model = SwapModel.open(write_dfm(tmp_path / "a.dfm", gain=(gain, gain, gain)), store=store)
        face = model.predict_batch(crop)[0].face
        np.testing.assert_allclose(face, 0.5 * gain, atol=1e-6)
    assert len(list(store.folder.iterdir())) == 2
