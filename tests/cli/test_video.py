"""`facegraft video extract` and `assemble` as a user types them."""

from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from facegraft.media.open import open_source
from facegraft_cli.main import main
from facegraft_cli.video import video
from tests.synthetic import make_clip, numbered_frames, read_number


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(video, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4", numbered_frames(20), audio=True)


def test_a_movie_goes_to_frames_and_back_without_loss(tmp_path, clip):
    frames, out = tmp_path / "frames", tmp_path / "out.mkv"
    assert f"20 of 20 frames written to {frames}" in _run("extract", clip, frames)
    assert "20 frames written" in _run("assemble", frames, out, "--like", clip, "--lossless")
    with open_source(clip) as before, open_source(out) as after:
        assert after.info.has_audio
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)


def test_thinning_format_and_resuming(tmp_path, clip):
    frames = tmp_path / "frames"
    assert "4 of 20" in _run("extract", clip, frames, "--fps", 5, "--format", "jpg")
    assert sorted(file.name for file in frames.glob("*.jpg"))[1] == "000005.jpg"
    again = _run("extract", clip, frames, "--fps", 5, "--format", "jpg")
    assert "0 of 20" in again and "4 were there already" in again
    assert "20 of 20" in _run("extract", clip, frames, "--overwrite")
    assert not list(frames.glob("*.jpg"))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_exact_as_typed(tmp_path, clip, text, rate):
    _run("assemble", clip, tmp_path / "out.mov", "--fps", text, "--codec", "prores")
    with open_source(tmp_path / "out.mov") as source:
        assert source.info.fps == rate
        assert read_number(source[19].pixels) == 19


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fps", "25", "--like", "a.mp4"], "give one of them"),
        (["--lossless", "--crf", "3"], "leave them out"),
        (["--fps", "0"], "outside 0 to 1000"),
        (["--fps", "fast"], "no frame rate"),
        (["--crf", "60"], "60 is not in the range"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(tmp_path, clip, arguments, words):
    target = str(tmp_path / "o.mp4")
    result = CliRunner().invoke(video, ["assemble", str(clip), target, *arguments])
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extract", "no.mp4", "out"], "nothing at no.mp4"),
        (["assemble", "clip.mp4", "out.avi"], "no movie format for '.avi'"),
        (["assemble", "clip.mp4", "out.mp4", "--codec", "ffv1"], "ffv1 does not go into .mp4"),
    ],
)
def test_errors_reach_the_user_as_one_line(tmp_path, clip, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["video", *arguments])
    message = capsys.readouterr().err
    assert caught.value.code == 3  # bad input, see exit_codes.py
    assert f"error: {words}" in message
    assert len(message.strip().splitlines()) == 1


def test_help_tells_ranges_units_and_examples():
    text = CliRunner().invoke(video, ["assemble", "--help"]).output
    for words in ("0<=x<=51", "frames/s", "Examples:", "--lossless", "default: h264"):
        assert words in text
