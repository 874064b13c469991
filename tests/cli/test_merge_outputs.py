"""`facegraft merge` and `extract` on scene-linear EXR plates, with every output."""

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result

from facegraft.media.color import srgb_decode
from facegraft.merge.out.outputs import OUTPUTS
from facegraft.model_spec import FaceType, ModelSpec
from facegraft_cli.main import cli
from tests.engine.exr_files import bits, planes_of, read_parts, write_exr
from tests.engine.merge_clips import frames_with_faces, make_faceset, oval_mask
from tests.engine.tiny_dfm import write_dfm

COUNT = 3  # all with a face


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A folder with half-float plates, their faceset and a model."""
    folder = tmp_path_factory.mktemp("exr")
    for index, image in enumerate(frames_with_faces(COUNT)):
        light = srgb_decode(image.astype(np.float32) / 255).astype(np.float16)
        planes = {c: light[..., i] for i, c in enumerate("RGB")}
        write_exr(folder / "plates" / f"shot.{1001 + index}.exr", planes)
    make_faceset(folder / "plates", folder / "faces")
    spec = ModelSpec("df-ud", 64, FaceType.FULL, 64, 32, 32, 16)
    write_dfm(folder / "m.dfm", 64, (0.3, 1, 1), (0, 0, 0), oval_mask(), oval_mask(), spec)
    return folder


def merge(job, out, *arguments: object) -> Result:
    given = ["merge", job / "plates", out, "--model", job / "m.dfm", "--faces", job / "faces"]
    return CliRunner().invoke(cli, [str(a) for a in (*given, *arguments)])


def test_every_output_of_the_table_has_its_flag_and_is_written(job, tmp_path):
    flags = []
    for kind in OUTPUTS:
        if kind.name != "occlusion":  # needs a segmentation model
            flags += [f"--{kind.name.replace('_', '-')}", tmp_path / kind.name]
    done = merge(job, tmp_path / "out", *flags, "--exr-compression", "piz")
    assert done.exit_code == 0, done.output
    for name in ("out", "matte", "face_layer", "st_map", "all_layers", "face_crop/track_0"):
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == [f"shot.{1001 + i}.exr" for i in range(COUNT)]
    assert read_parts(tmp_path / "out" / "shot.1001.exr")[0].header["compression"].name == (
        "PIZ_COMPRESSION"
    )
    record = json.loads((tmp_path / "records" / "shot.1002.json").read_text())
    assert len(record["frames"][0]["faces"]) == 1
    for index in range(COUNT):
        name = f"shot.{1001 + index}.exr"
        plate, result = planes_of(job / "plates" / name), planes_of(tmp_path / "out" / name)
        outside = planes_of(tmp_path / "matte" / name)["Y"] == 0
        assert 0 < outside.sum() < outside.size
        for channel in "RGB":
            np.testing.assert_array_equal(
                bits(result[channel])[outside], bits(plate[channel])[outside]
            )


def test_the_working_space_changes_the_face_and_nothing_else(job, tmp_path):
    for space in ("linear_rec709", "acescg"):
        done = merge(
            job, tmp_path / space, "--working-space", space, "--matte", tmp_path / f"m_{space}"
        )
        assert done.exit_code == 0, done.output
    first, second = (planes_of(tmp_path / s / "shot.1002.exr") for s in ("linear_rec709", "acescg"))
    matte = planes_of(tmp_path / "m_acescg" / "shot.1002.exr")["Y"]
    np.testing.assert_array_equal(bits(first["R"])[matte == 0], bits(second["R"])[matte == 0])
    assert (first["R"] != second["R"])[matte > 0.5].any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--working-space", "log"], "unknown working space 'log'"),
        (["--layer", "beauty"], "no layer 'beauty'"),
        (["--st-map", "st.mov"], "st_map goes into EXR alone"),
        (["--occlusion", "o"], "give an XSeg model"),
    ],
)
def test_what_does_not_fit_is_said_before_work_begins(job, tmp_path, arguments, words):
    done = merge(job, tmp_path / "out", *arguments)
    assert done.exit_code != 0
    assert words in str(done.exception)
    assert not (tmp_path / "out").exists()
