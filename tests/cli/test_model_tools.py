"""`facegraft model` on a run that was not trained: its folder is written as training leaves it."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from facegraft.errors import CheckpointError, ParameterError, SourceNotFound
from facegraft.model_spec import ModelRecord
from facegraft.models.build import build
from facegraft.models.export import export_dfm
from facegraft.training.checkpoint import load_checkpoint, save_checkpoint
from facegraft.training.history import History
from facegraft.training.preview import write_preview
from facegraft.training.run_params import PARAMS_NAME, read_params, to_toml
from facegraft.training.snapshots import make_backup
from facegraft_cli.main import cli
from tests.engine.test_checkpoint import make
from tests.engine.training_faces import tiny_params


def facegraft(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["model", *map(str, arguments)])


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of 1500 iterations in 90 minutes, saved twice, backed up once."""
    params = tiny_params(learning_rate=2e-4)
    net = build(params.spec)
    for iteration in (1000, 1500):
        save_checkpoint(
            tmp_path,
            replace(
                make(iteration), params=params, seconds=5400.0, groups={"net": net.state_dict()}
            ),
        )
    make_backup(tmp_path, datetime(2026, 3, 10, 12, tzinfo=UTC))
    (tmp_path / PARAMS_NAME).write_text(to_toml(params))
    history = History(tmp_path, 0)
    for i in range(1, 1601):  # a hundred beyond the last save
        history.add(i, 2.0, 1.0 if i <= 800 else 0.5)
    history.flush()
    return tmp_path


def test_info_tells_what_a_run_is(run):
    text = facegraft("info", run).output
    lines = {line[:8].strip() or "": " ".join(line.split()[1:]) for line in text.splitlines()}
    assert lines["run"].endswith("iteration 1,500")
    assert "1 h 30 min, 0.28 iterations/s over all" == lines["trained"]
    assert "df-ud, 64 px, full" in lines["network"]
    assert "12 faces, digest aa" == lines["src"] and "34 faces, digest bb" == lines["dst"]
    assert "learning_rate 0.0002" in lines["options"] and "threads 1" in lines["options"]
    assert "src 2 dst 1 1 to 188" == lines["loss"]
    assert "1,314 to 1,500" in text and "dst 0.5" in text and "1,600" not in text
    assert "000001_00001000" in text and "20260310-120000Z_000002_00001500" in text
    count = sum(p.numel() for p in build(tiny_params().spec).parameters())
    assert f"{count / 1e6:.1f} M: " in text
    assert "edited" not in text


def test_info_as_json_has_everything(run):
    found = json.loads(facegraft("info", run, "--json").output)
    assert ("run", 1500, 2e-4) == (
        found["kind"],
        found["iteration"],
        found["params"]["learning_rate"],
    )
    net = build(tiny_params().spec)
    expected: dict[str, int] = {}
    for name, tensor in net.state_dict().items():
        part = name.partition(".")[0]
        expected[part] = expected.get(part, 0) + tensor.numel()
    assert expected == found["parameters"]
    assert 4 * sum(expected.values()) == pytest.approx(found["group_sizes"]["net"], rel=0.01)
    assert 2 == len(found["saves"]) and 1 == len(found["backups"])


def test_info_tells_what_a_dfm_is(tmp_path):
    spec = tiny_params().spec
    crops = np.full((1, 64, 64, 3), 0.5, np.float32)
    record = ModelRecord(author="Ada L.", consent="Ben, until 2030", iterations=1234)
    torch.manual_seed(0)
    export_dfm(build(spec), spec, record, tmp_path / "a.dfm", crops)
    text = facegraft("info", tmp_path / "a.dfm").output
    for part in ("df-ud, 64 px, full", "Ada L.", "Ben, until 2030", "1,234", "sha256"):
        assert part in text, part
    found = json.loads(facegraft("info", tmp_path / "a.dfm", "--json").output)
    assert ("dfm", 64, "Ada L.") == (found["kind"], found["resolution"], found["record"]["author"])


def test_info_on_a_folder_without_a_run_says_what_to_do(tmp_path):
    done = facegraft("info", tmp_path)
    assert isinstance(done.exception, CheckpointError) and "facegraft train" in str(done.exception)


def test_set_changes_the_file_and_info_shows_it_until_it_is_taken_up(run):
    done = facegraft("set", run, "--no-random-warp", "--learning-rate", "1e-5", "--batch-size", 2)
    expected = {"learning_rate: 0.0002 -> 1e-05", "random_warp: on -> off", "batch_size: stays 2"}
    assert expected == set(done.output.splitlines())
    params = read_params(run)
    assert params is not None and (False, 1e-5) == (params.random_warp, params.learning_rate)
    assert "learning_rate, random_warp" in facegraft("info", run).output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resolution", 96], "resolution is 64 in this run and can not become 96"),
        ([], "nothing to set"),
    ],
)
def test_what_can_not_be_set_is_refused(run, flags, message):
    before = (run / PARAMS_NAME).read_bytes()
    done = facegraft("set", run, *flags)
    assert isinstance(done.exception, ParameterError) and message in str(done.exception)
    assert before == (run / PARAMS_NAME).read_bytes()


def test_restore_lets_the_run_go_on_from_a_backup(run):
    save_checkpoint(run, make(2000))
    (backup,) = (run / "backups").iterdir()
    done = facegraft("restore", run, backup)
    assert "goes on from iteration 1,500" in done.output, done
    found = load_checkpoint(run, print)
    assert found is not None and 1500 == found.iteration


def test_a_damaged_backup_is_refused_and_changes_nothing(run):
    (backup,) = (run / "backups").iterdir()
    data = (backup / "net.safetensors").read_bytes()
    (backup / "net.safetensors").unlink()
    (backup / "net.safetensors").write_bytes(data[:-5] + b"xxxxx")
    done = facegraft("restore", run, backup)
    assert isinstance(done.exception, CheckpointError) and "checksum" in str(done.exception)
    done = facegraft("restore", run, run)
    assert isinstance(done.exception, CheckpointError) and "no save or backup" in str(
        done.exception
    )
    found = load_checkpoint(run, print)
    assert found is not None and 1500 == found.iteration and "000002_00001500" == found.path.name  # type: ignore[union-attr]


def test_the_kept_sheets_become_a_movie_in_the_order_of_their_iterations(run, tmp_path):
    assert isinstance(facegraft("timelapse", run, tmp_path / "x.mp4").exception, SourceNotFound)
    grays = {9: 60, 10: 120, 100_000_000: 180}
    for iteration, gray in grays.items():
        sheet = np.full((100, 160, 3), gray, np.uint8)
        write_preview(run, iteration, sheet, history=True)
    done = facegraft("timelapse", run, tmp_path / "x.mp4", "--fps", 4)
    assert "3 sheets" in done.output, done
    with av.open(str(tmp_path / "x.mp4")) as movie:
        frames = [frame.to_ndarray(format="rgb24") for frame in movie.decode(video=0)]
    assert 3 + 3 == len(frames)  # the last one stands for a second
    for frame, gray in zip(frames, [*grays.values(), 180, 180, 180], strict=True):
        assert (140, 160, 3) == frame.shape
        assert abs(float(frame[50:].mean()) - gray) < 3
        assert frame[:40].max() > 150  # the iteration is written there
    assert np.abs(frames[0][:40].astype(int) - frames[2][:40]).max() > 100  # and it is another one


def test_help_comes_without_torch():
    code = (
        "import sys; from facegraft_cli.main import main\n"
        "try: main(['model', 'set', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Network:" in done.stdout and "--learning-rate" in done.stdout


def test_info_of_a_run_comes_without_torch(run):
    code = (
        "import sys; from facegraft_cli.main import main\n"
        f"main(['model', 'info', {str(run)!r}])\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
