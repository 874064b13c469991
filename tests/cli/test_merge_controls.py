"""Where the values of a merge come from: presets, parameter files, flags; and what they need."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from facegraft.controls import controls_of
from facegraft.errors import FutureVersion, ParameterError, SourceNotFound
from facegraft.inference import SwapModel
from facegraft.media.images import read_image_file, write_image
from facegraft.media.open import open_source
from facegraft.merge import presets
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.track_file import save_tracks
from facegraft.merge.params import MergeParams
from facegraft.merge.run import merge_pixels
from facegraft_cli.main import cli
from facegraft_cli.merge.command import merge
from tests.drawn_faces import face_at
from tests.engine.merge_clips import (
    FACELESS,
    HEIGHT,
    WIDTH,
    frames_with_faces,
    make_faceset,
    oval_mask,
    write_sequence,
)
from tests.engine.tiny_dfm import write_dfm


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch) -> Path:
    """A folder of the user's presets of this test alone."""
    monkeypatch.setattr(presets, "user_data_folder", lambda: tmp_path / "user")
    return tmp_path / "user"


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """A folder with plates, their faceset and two models."""
    folder = tmp_path_factory.mktemp("controls")
    write_sequence(folder / "plates", frames_with_faces())
    make_faceset(folder / "plates", folder / "faces")
    for name, gain in (("m", (0.3, 1, 1)), ("other", (1, 1, 0.2))):
        write_dfm(folder / f"{name}.dfm", 64, gain, (0, 0, 0), oval_mask(), oval_mask())
    return folder


def facegraft(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def merged(job: Path, out: Path, *more: object, model: bool = True) -> list[np.ndarray]:
    """The pictures that a merge of the plates gives."""
    own = ("--model", job / "m.dfm") if model else ()
    done = facegraft("merge", job / "plates", out, "--faces", job / "faces", *own, *more)
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    return [read_image_file(path)[0] for path in sorted(out.glob("*.png"))]


def refused(job: Path, *more: object) -> BaseException:
    words = ("merge", job / "plates", "out", "--faces", job / "faces", "--model", job / "m.dfm")
    done = facegraft(*words, *more)
    assert done.exception is not None
    return done.exception


def test_every_row_of_both_tables_is_a_flag_of_the_command():
    names = {parameter.name for parameter in merge.params}
    for table in (MergeParams, ClipParams):
        assert {row.name for row in controls_of(table)} <= names


def test_a_flag_wins_over_the_file_which_wins_over_the_preset(job, tmp_path):
    """Each is read off the picture: mix 0 leaves it, and the mask mode decides what is covered."""
    presets.save_preset("off", {"mix": 0.0, "mask_mode": "full"})
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"version": 2, "params": {"mix": 1.0}}))
    plates = frames_with_faces()
    first = "--frames", 0
    off = merged(job, tmp_path / "a", *first, "--preset", "off")
    np.testing.assert_array_equal(off[0], plates[0])
    full = merged(job, tmp_path / "b", *first, "--preset", "off", "--params", path)
    oval = merged(
        job,
        tmp_path / "c",
        *first,
        "--preset",
        "off",
        "--params",
        path,
        "--mask-mode",
        "learned-prd",
    )
    changed = [(image[0] != plates[0]).any(axis=2).sum() for image in (full, oval)]
    assert changed[0] > 1.5 * changed[1] > 0


def test_the_same_values_as_preset_file_and_flags_give_the_same_picture(job, tmp_path):
    values = {"erode": 30.0, "blur": 60.0, "color_transfer": "none"}
    presets.save_preset("look", values)
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"version": 2, "params": values}))
    flags = ["--erode", 30, "--blur", 60, "--color-transfer", "none"]
    ways = (["--preset", "look"], ["--params", path], flags)
    first, *others = (
        merged(job, tmp_path / str(n), "--frames", 0, *way) for n, way in enumerate(ways)
    )
    for other in others:
        np.testing.assert_array_equal(first[0], other[0])
    assert (first[0] != frames_with_faces(1)[0]).any()


def test_bezier_keys_render_as_the_constants_they_have_at_each_frame(job, tmp_path):
    """What a host's curves say, frame by frame: flat handles at thirds give 3 t^2 - 2 t^3."""
    path = tmp_path / "p.json"
    keys = {"keys": [[0, 0.0, "bezier", None, [4 / 3, 0.0]], [4, 1.0, "hold", [8 / 3, 1.0], None]]}
    path.write_text(json.dumps({"version": 2, "params": {"mix": keys, "color_transfer": "none"}}))
    keyed = merged(job, tmp_path / "keyed", "--params", path, "--frames", "0-4x2")
    for image, frame in zip(keyed, (0, 2, 4), strict=True):
        t = frame / 4
        mix = 3 * t**2 - 2 * t**3
        (constant,) = merged(
            job,
            tmp_path / f"at{frame}",
            "--frames",
            frame,
            "--mix",
            mix,
            "--color-transfer",
            "none",
        )
        np.testing.assert_array_equal(constant, image)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--mask-mode", "xseg-dst"], "mask_mode is xseg_dst at frame 0; give --segmenter"),
        (["--mask-mode", "all-product"], "give --segmenter"),
        (["--mask-mode", "host"], "give --host-matte"),
        (["--super-resolution", 20], "super_resolution is 20 percent at frame 0; give --enhancer"),
        (["--preset", "nice"], "no preset 'nice'; there are .*natural"),
        (["--choose", "like:ada.png"], "give --recognition"),
        (["--choose", "somebody"], "faces are chosen by 'somebody'"),
        (["--choose", "track:40"], "no face is followed as track 40"),
        (["--cast", "ada.dfm"], "is no CHOICE=MODEL"),
        (["--host-matte", "none.exr"], "none.exr"),
    ],
)
def test_what_is_missing_is_said_before_the_work_begins(job, flags, says):
    error = refused(job, *flags)
    assert isinstance(error, ParameterError | SourceNotFound)
    assert re.search(says, str(error)), str(error)


def test_rows_of_a_newer_version_are_named(job, tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps({"version": 9, "params": {"aging": 0.3, "mix": 1}}))
    error = refused(job, "--params", path)
    assert isinstance(error, FutureVersion) and "it sets aging" in str(error)


def test_a_host_s_matte_is_the_mask(job, tmp_path):
    """White in the right half of the frame: nothing else changes."""
    matte = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    matte[:, 70:] = 255
    write_image(tmp_path / "matte.png", matte)
    (image,) = merged(
        job, tmp_path / "out", "--frames", 0, "--host-matte", tmp_path / "matte.png", "--mask-mode",
        "host",
    )  # fmt: skip
    changed = (image != frames_with_faces(1)[0]).any(axis=2)
    assert changed[:, 72:].any() and not changed[:, :68].any()


def test_a_matte_of_another_size_or_length_is_refused(job, tmp_path):
    for name, shape, count in (("small", (20, 20, 3), 1), ("short", (HEIGHT, WIDTH, 3), 3)):
        for n in range(count):
            write_image(tmp_path / name / f"m.{n:04d}.png", np.zeros(shape, np.uint8))
        error = refused(job, "--host-matte", tmp_path / name, "--mask-mode", "host")
        assert isinstance(error, ParameterError)
        assert ("20x20 px" if count == 1 else "has 3 frames and the clip 6") in str(error)


def test_a_cast_gives_the_faces_its_model_and_needs_no_other(job, tmp_path):
    (cast,) = merged(
        job, tmp_path / "a", "--frames", 0, "--cast", f"largest:1={job / 'other.dfm'}", model=False
    )
    own = facegraft(
        "merge", job / "plates", tmp_path / "b", "--faces", job / "faces", "--frames", 0, "--model",
        job / "other.dfm",
    )  # fmt: skip
    assert own.exit_code == 0, own.output
    np.testing.assert_array_equal(read_image_file(tmp_path / "b" / "shot.1001.png")[0], cast)
    assert (cast != frames_with_faces(1)[0]).any()


def test_a_merge_without_any_model_is_a_usage_error(job):
    done = facegraft("merge", job / "plates", "out", "--faces", job / "faces")
    assert done.exit_code == 2 and "add --model MODEL.dfm" in done.output


def test_a_device_that_is_not_there_is_refused_and_the_one_that_is_used_is_told(job, tmp_path):
    words = ["merge", job / "plates", tmp_path / "out", "--model", job / "m.dfm", "--faces"]
    done = facegraft(*words, job / "faces", "--device", "cpu", "--threads", 1, "--frames", 0)
    assert done.exit_code == 0 and "m.dfm runs on CPU" in done.output
    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        error = refused(job, "--device", "tensorrt")
        assert isinstance(error, ParameterError) and "install.py env" in str(error)


def test_a_warm_cache_gives_the_same_pictures(job, tmp_path):
    cache = tmp_path / "cache"
    first = merged(job, tmp_path / "a", "--cache", cache)
    kept = sorted(path.name for path in cache.iterdir())
    assert len(kept) == 5  # one for each face
    again = merged(job, tmp_path / "b", "--cache", cache)
    assert kept == sorted(path.name for path in cache.iterdir())
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_faces_tracked_by_a_host_are_merged_as_they_are_kept(job, tmp_path):
    """A farm then has the node's faces; flags of steadiness are heard all the same."""
    faces = {n: (replace(face_at(60 + 4 * n, 55 + n % 2, 40), track=0),) for n in range(6)}
    save_tracks(tmp_path / "t.json", ClipFaces(faces), WIDTH, HEIGHT, "of this test")
    words = ["merge", job / "plates", "--model", job / "m.dfm", "--faces", tmp_path / "t.json"]
    for name, flags in (("kept", []), ("steady", ["--steady", 3])):
        done = facegraft(*words, tmp_path / name, *flags)
        assert done.exit_code == 0, done.output
    model = SwapModel.open(job / "m.dfm")
    with open_source(job / "plates") as source:
        expected, _ = merge_pixels(source[2], faces[2], model, MergeParams())
    kept, steady = (read_image_file(tmp_path / d / "shot.1003.png")[0] for d in ("kept", "steady"))
    # the file keeps two decimals of a pixel
    assert np.abs(kept.astype(int) - expected).mean() < 0.1
    assert np.abs(steady.astype(int) - expected).mean() > np.abs(kept.astype(int) - expected).mean()


def test_the_report_lists_what_to_look_at_with_a_sheet(job, tmp_path):
    merged(job, tmp_path / "out", "--report", tmp_path / "report")
    values = json.loads((tmp_path / "report" / "suspicious.json").read_text())
    reasons = {(item["reason"], item["first"]) for item in values["suspicious"]}
    assert ("no_face", FACELESS) in reasons
    sheet, _ = read_image_file(tmp_path / "report" / "suspicious.png")
    assert sheet.std() > 0


def test_presets_are_saved_listed_shown_and_removed(tmp_path):
    done = facegraft(
        "merge-preset", "save", "my look", "--preset", "natural", "--erode", 25, "--about", "night"
    )
    assert done.exit_code == 0, done.output
    assert "my look" in facegraft("merge-preset", "list").output
    shown = facegraft("merge-preset", "show", "my look").output
    assert "night" in shown and "erode                  25 permille" in shown
    assert "light_match            0.6" in shown  # from natural
    values = json.loads(facegraft("merge-preset", "show", "my look", "--json").output)
    assert values["params"]["erode"] == 25
    assert facegraft("merge-preset", "delete", "my look").exit_code == 0
    assert "my look" not in facegraft("merge-preset", "list").output


def test_a_parameter_file_becomes_a_preset_unless_it_is_keyed(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"version": 2, "params": {"blur": 33}}))
    assert facegraft("merge-preset", "save", "mine", "--params", path).exit_code == 0
    assert presets.load_preset("mine").values == {"blur": 33}
    path.write_text(json.dumps({"version": 2, "params": {"blur": {"keys": [[0, 1]]}}}))
    done = facegraft("merge-preset", "save", "two", "--params", path)
    assert isinstance(done.exception, ParameterError) and "over time" in str(done.exception)
