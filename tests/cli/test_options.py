"""The command line shows every row of a table and repeats none."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from facegraft.controls import controls_of
from facegraft.errors import ParameterError
from facegraft.merge.params import MergeMode, MergeParams
from facegraft_cli.main import COMMANDS, cli
from facegraft_cli.options import collect, table_options


@click.command()
@click.option("--params", type=Path)
@table_options(MergeParams)
def show(params: Path | None, **values: object) -> None:
    result = collect(MergeParams, values, params, base={"erode": 1.0, "blur": 2.0})
    click.echo(repr(result))


def run(*args: str):
    return CliRunner().invoke(show, list(args))


def test_every_row_is_shown_with_its_range_and_default() -> None:
    text = " ".join(run("--help").output.split())
    shown = {p.name for p in show.params} - {"params", "help"}
    assert shown ^ {row.name for row in controls_of(MergeParams)} == set()
    assert "[-400 to 400 permille of the face square]" in text
    assert "[default: overlay]" in text


def test_flags_win_over_the_file_which_wins_over_the_preset(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("blur = 3\nmix = 0.5\n")
    output = run(
        "--params", str(tmp_path / "p.toml"), "--mix", "0.25", "--mode", "hist-match"
    ).output
    assert "mix=0.25" in output and "blur=3.0" in output and "erode=1.0" in output
    assert "HIST_MATCH" in output


def test_a_value_outside_its_range_names_the_limits() -> None:
    result = run("--erode", "900")
    assert result.exit_code == 2
    assert "erode is 900; the limits are -400 to 400" in result.output


def test_an_unknown_name_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("bluhr = 3\n")
    result = run("--params", str(tmp_path / "p.toml"))
    assert isinstance(result.exception, ParameterError)
    assert "unknown option bluhr" in str(result.exception)


def test_a_choice_is_handed_over_as_its_enum() -> None:
    assert "MergeMode.SEAMLESS" in run("--mode", "SEAMLESS").output
    assert MergeMode("seamless").name == "SEAMLESS"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_help_starts_without_opencv_and_torch() -> None:
    code = (
        "import sys; from facegraft_cli.main import main; main(['--help']); "
        "print([m for m in ('cv2', 'torch', 'av', 'onnxruntime') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip().endswith("[]")


def test_an_error_of_ours_is_one_line_and_tells_bad_input_by_its_code(tmp_path: Path) -> None:
    code = "from facegraft_cli.main import main; main(['extract', 'no-such.mp4', 'out'])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 3
    assert result.stderr.startswith("error: ") and "no-such.mp4" in result.stderr
    assert "Traceback" not in result.stderr
