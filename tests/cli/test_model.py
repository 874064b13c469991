"""`facegraft train` and `export` on drawn faces with the smallest networks."""

import signal
import subprocess
import sys
import time

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from facegraft.errors import CheckpointError, EmptyFaceset, ParameterError, SourceNotFound
from facegraft.training.checkpoint import load_checkpoint
from facegraft.training.run_params import read_params
from facegraft.training.saves import list_saves
from facegraft_cli.main import cli
from tests.engine.training_faces import TINY, write_faceset

FLAGS = [
    part for name, value in TINY.items() for part in (f"--{name.replace('_', '-')}", str(value))
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with two facesets and a run of two iterations."""
    folder = tmp_path_factory.mktemp("cli")
    write_faceset(folder / "src", 3)
    write_faceset(folder / "dst", 3, (120, 150, 190))
    done = facegraft(
        "train", folder / "src", folder / "dst", folder / "run", "--preset", "quick96", *FLAGS,
        "--target-iterations", 2, "--seed", 7,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder


def facegraft(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_training_reports_where_it_ended(run):
    done = facegraft("train", run / "src", run / "dst", run / "run")  # a run knows its options
    assert done.exit_code == 0, done.output
    assert "iteration 2, loss src" in done.output and "iterations/s; saved" in done.output
    params = read_params(run / "run")
    assert params is not None
    assert ("rmsprop", 64, 2, 7) == (
        params.optimizer, params.resolution, params.batch_size, params.seed
    )  # fmt: skip


def test_flags_win_over_the_file_which_wins_over_the_preset(run, tmp_path):
    (tmp_path / "options.toml").write_text("batch_size = 1\nlearning_rate = 1e-4\nscale = 3.0\n")
    done = facegraft(
        "train", run / "src", run / "dst", tmp_path / "run", "--preset", "quick96",
        "--config", tmp_path / "options.toml", *FLAGS, "--learning-rate", "3e-4",
        "--target-iterations", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    params = read_params(tmp_path / "run")
    assert params is not None
    assert (3e-4, 3.0, 2, 3) == (
        params.learning_rate, params.scale, params.batch_size, params.unwarped_every
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_saves_and_leaves_cleanly(run, tmp_path):
    """A real process without a target, stopped after its first save."""
    arguments = ["train", run / "src", run / "dst", tmp_path, *FLAGS]
    process = subprocess.Popen(
        [sys.executable, "-c", "from facegraft_cli.main import main; main()", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 600
        while not list_saves(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "saved" in output and "stopping after this step" in errors
    checkpoint = load_checkpoint(tmp_path, print)
    assert checkpoint is not None and checkpoint.iteration >= 1
    lines = (tmp_path / "loss.csv").read_text().splitlines()
    assert lines[-1].startswith(f"{checkpoint.iteration},")


def test_another_resolution_for_an_existing_run_is_refused(run):
    done = facegraft("train", run / "src", run / "dst", run / "run", "--resolution", 96)
    assert isinstance(done.exception, ParameterError)
    assert "resolution is 64 in this run and can not become 96" in str(done.exception)


@pytest.mark.parametrize("found", ["nothing", "no faces"])
def test_a_faceset_without_faces_is_named(run, tmp_path, found):
    if found == "no faces":
        (tmp_path / "src").mkdir()
    done = facegraft("train", tmp_path / "src", run / "dst", tmp_path / "new", *FLAGS)
    assert isinstance(done.exception, EmptyFaceset if found == "no faces" else SourceNotFound)
    assert str(tmp_path / "src") in str(done.exception)


def test_a_value_out_of_range_is_a_usage_error(run):
    done = facegraft("train", run / "src", run / "dst", run / "run", "--batch-size", 600)
    assert done.exit_code == 2
    assert "batch_size is 600; the limits are 0 to 512 faces" in done.output


def test_a_run_becomes_one_file_with_its_record(run, tmp_path):
    output = tmp_path / "ada.dfm"
    done = facegraft("export", run / "run", output, "--author", "Ada L.", "--licence", "CC0")
    assert done.exit_code == 0, done.output
    assert "2 iterations; differs from the network by at most" in done.output
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    assert ["out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0"] == names
    face = session.run(names[1:2], {"in_face:0": np.zeros((1, 64, 64, 3), np.float32)})[0]
    assert isinstance(face, np.ndarray) and (1, 64, 64, 3) == face.shape
    metadata = session.get_modelmeta().custom_metadata_map
    assert '"author": "Ada L."' in metadata["facegraft_record"]
    assert '"iterations": 2' in metadata["facegraft_record"]
    assert '"architecture": "df-ud"' in metadata["facegraft_spec"]


def test_exporting_a_folder_without_a_run_says_what_to_do(tmp_path):
    done = facegraft("export", tmp_path, tmp_path / "x.dfm")
    assert isinstance(done.exception, CheckpointError)
    assert "facegraft train" in str(done.exception)
    assert not (tmp_path / "x.dfm").exists()


def test_help_comes_without_torch():
    code = (
        "import sys; from facegraft_cli.main import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--lr-dropout" in done.stdout
