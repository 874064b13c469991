"""The options of a run: presets, TOML, and what an existing run allows."""

import tomllib

import pytest

from facegraft.controls import controls_of, parse_values, plain_values
from facegraft.errors import ParameterError
from facegraft.model_spec import FaceType, ModelSpec
from facegraft.training.params import Optimizer, TrainParams
from facegraft.training.presets import PRESETS, Preset
from facegraft.training.run_params import PARAMS_NAME, read_params, resolve, to_toml


def test_presets_are_deepfacelabs_models():
    """Values from DeepFaceLab's Quick96 model and from SAEHD's option defaults."""
    quick = resolve({}, Preset.QUICK96)
    assert ModelSpec("df-ud", 96, FaceType.FULL, 128, 64, 64, 16) == quick.spec
    assert (Optimizer.RMSPROP, 2e-4, True, 4, 3) == (
        quick.optimizer, quick.learning_rate, quick.lr_dropout, quick.batch_size,
        quick.unwarped_every,
    )  # fmt: skip
    assert (5.0, False, False) == (quick.scale, quick.random_src_flip, quick.random_dst_flip)
    saehd = resolve({}, Preset.SAEHD)
    assert TrainParams() == saehd
    assert ModelSpec("liae-ud", 128, FaceType.FULL, 256, 64, 64, 22) == saehd.spec
    assert (Optimizer.ADABELIEF, 5e-5, False, 8, 0) == (
        saehd.optimizer, saehd.learning_rate, saehd.lr_dropout, saehd.batch_size,
        saehd.unwarped_every,
    )  # fmt: skip
    assert (15.0, False, True) == (saehd.scale, saehd.random_src_flip, saehd.random_dst_flip)


@pytest.mark.parametrize("preset", Preset)
def test_a_table_survives_its_toml_file(tmp_path, preset):
    params = resolve({"learning_rate": 3e-5}, preset)
    (tmp_path / PARAMS_NAME).write_text(to_toml(params))
    assert params == read_params(tmp_path)
    assert plain_values(params) == tomllib.loads(to_toml(params))


def test_no_run_has_no_options(tmp_path):
    assert read_params(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("resolution = ", "Invalid value"),
        ("resolution = 9000", "resolution is 9000; the limits are 64 to 640 px"),
        ("resolutoin = 128", "unknown option resolutoin"),
    ],
)
def test_a_bad_toml_file_is_named_with_the_reason(tmp_path, text, reason):
    (tmp_path / PARAMS_NAME).write_text(text)
    with pytest.raises(ParameterError, match=f"{PARAMS_NAME}: .*{reason}"):
        read_params(tmp_path)


def test_given_values_win_over_the_preset_and_the_run():
    assert 2 == resolve({"batch_size": 2}, Preset.QUICK96).batch_size
    run = resolve({"batch_size": 2, "seed": 5}, Preset.QUICK96)
    assert (6, 5) == (
        resolve({"batch_size": 6}, existing=run).batch_size, resolve({}, existing=run).seed
    )  # fmt: skip
    assert 4 == resolve({}, Preset.QUICK96, run).batch_size  # the same command line again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 128}, "resolution is 96 in this run and can not become 128"),
        ({"architecture": "liae-ud"}, "architecture is df-ud in this run and can not become liae"),
        ({"face_type": "head"}, "face_type is full in this run and can not become head"),
    ],
)
def test_an_existing_run_keeps_its_networks(change, message):
    run = resolve({}, Preset.QUICK96)
    with pytest.raises(ParameterError, match=message):
        resolve(change, existing=run)
    with pytest.raises(ParameterError, match="architecture is df-ud in this run"):
        resolve(plain_values(TrainParams()), existing=run)


def test_repeating_one_batch_for_ever_is_refused():
    with pytest.raises(ParameterError, match="unwarped_every is 1"):
        resolve({"unwarped_every": 1})


def test_presets_name_rows_of_the_table_and_every_row_has_its_help():
    for values in PRESETS.values():
        parse_values(TrainParams, values)
    for row in controls_of(TrainParams):
        assert row.control.help and row.control.label and row.control.group
        assert row.choices or row.type in (bool, str) or row.control.hard
