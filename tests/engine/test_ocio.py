"""Spaces of OpenColorIO configs: the built-in one, and configs that the tests write."""

import os
import sys

import numpy as np
import pytest

from facegraft.errors import MissingExtra, ParameterError, SourceNotFound
from facegraft.media.working_space import open_space
from tests.engine.test_working_space import skin_and_lights

ocio = pytest.importorskip("PyOpenColorIO")


def write_config(path, *spaces, roles=()):
    """A config with 'lin' (Rec. 709 light) as its reference, and further spaces made from it."""
    config = ocio.Config()
    config.setVersion(2, 1)
    config.addColorSpace(ocio.ColorSpace(name="lin", encoding="scene-linear"))
    for space in spaces:
        config.addColorSpace(space)
    for role, name in (("scene_linear", "lin"), *roles):
        config.setRole(role, name)
    path.write_text(config.serialize())
    return path


def gamma_space(name="gamma", gamma=2.4):
    curve = ocio.ExponentTransform([gamma, gamma, gamma, 1])
    return ocio.ColorSpace(name=name, toReference=curve)


def test_the_built_in_configs_acescg_is_our_own():
    light = skin_and_lights()
    theirs, ours = open_space("ocio:default#ACEScg"), open_space("acescg")
    shown = ours.to_display(light)
    error = np.abs(theirs.to_display(light) - shown) / np.abs(shown).max(axis=1, keepdims=True)
    assert error.max() < 2e-5
    back = theirs.from_display(theirs.to_display(light))
    assert (np.abs(back - light) / light.max(axis=1, keepdims=True)).max() < 2e-5


def test_a_camera_log_comes_back_within_a_tenth_of_a_10_bit_step():
    signal = np.random.default_rng(0).uniform(0.2, 0.8, (500, 1)).repeat(3, axis=1)
    signal = signal.astype(np.float32) + np.array([0.02, 0, -0.02], np.float32)
    space = open_space("ocio:default#ACEScct")
    shown = space.to_display(signal)
    assert np.abs(space.from_display(shown) - signal).max() < 0.1 / 1023
    assert (np.diff(shown[np.argsort(signal[:, 0]), 0]) >= 0).all()


def test_a_configs_own_display_space_can_be_named(tmp_path):
    path = write_config(tmp_path / "a.ocio", gamma_space())
    space = open_space(f"ocio:{path}#lin#gamma")
    light = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    np.testing.assert_allclose(space.to_display(light), light ** (1 / 2.4), atol=1e-6)
    np.testing.assert_allclose(space.from_display(space.to_display(light)), light, atol=2e-6)


def test_the_environments_config_is_found(tmp_path, monkeypatch):
    path = write_config(tmp_path / "a.ocio", gamma_space())
    monkeypatch.setenv("OCIO", str(path))
    assert open_space("ocio:$OCIO#lin#gamma").name == "ocio:$OCIO#lin#gamma"
    monkeypatch.delenv("OCIO")
    with pytest.raises(SourceNotFound, match="OCIO is not set"):
        open_space("ocio:$OCIO#lin")


def test_what_cannot_be_opened_says_why(tmp_path):
    path = write_config(
        tmp_path / "a.ocio", gamma_space(), ocio.ColorSpace(name="ids", isData=True)
    )
    for name, kind, sentence in (
        (f"ocio:{tmp_path}/none.ocio#lin", SourceNotFound, "no OpenColorIO config at"),
        (f"ocio:{path}#log", ParameterError, "no space 'log'; it has lin, gamma, ids"),
        (f"ocio:{path}#ids", ParameterError, "data, not colour"),
        (f"ocio:{path}", ParameterError, "ocio:CONFIG#SPACE"),
        (f"ocio:{path}#lin#gamma#lin", ParameterError, "ocio:CONFIG#SPACE"),
    ):
        with pytest.raises(kind, match=sentence):
            open_space(name)
    (tmp_path / "bad.ocio").write_text("not: a config")
    with pytest.raises(ParameterError, match=r"bad\.ocio is no usable"):
        open_space(f"ocio:{tmp_path}/bad.ocio#lin")


def test_a_space_without_a_way_back_is_refused(tmp_path):
    clamp = ocio.RangeTransform(minInValue=0.0, maxInValue=0.3, minOutValue=0.0, maxOutValue=0.3)
    flat = ocio.ColorSpace(name="flat", fromReference=clamp, toReference=clamp)
    path = write_config(tmp_path / "a.ocio", flat)
    with pytest.raises(ParameterError, match=r"no way back.*limit is 0\.001"):
        open_space(f"ocio:{path}#flat#lin")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    with pytest.raises(MissingExtra, match=r"facegraft\[ocio\]"):
        open_space("ocio:default#ACES2065-1")  # a name that nobody opened before


def test_a_changed_config_is_opened_anew_and_an_equal_one_kept(tmp_path):
    path = write_config(tmp_path / "a.ocio", gamma_space(gamma=2.4))
    grey = np.full((1, 3), 0.5, np.float32)
    first = open_space(f"ocio:{path}#lin#gamma")
    assert open_space(f"ocio:{path}#lin#gamma") is first
    write_config(path, gamma_space(gamma=2.0))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    second = open_space(f"ocio:{path}#lin#gamma")
    np.testing.assert_allclose(second.to_display(grey), 0.5**0.5, rtol=1e-5)
    np.testing.assert_allclose(first.to_display(grey), 0.5 ** (1 / 2.4), rtol=1e-5)
