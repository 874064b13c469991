"""`facegraft faceset` and `import-dfl` on files as DeepFaceLab writes them."""

from pathlib import Path

from click.testing import CliRunner, Result

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.media.images import write_image
from facegraft_cli.main import cli
from tests.engine.dfl_files import (
    FRAME_H,
    FRAME_W,
    dfl_landmarks,
    dfl_picture,
    dfl_values,
    frame_with_dots,
    write_dfl_faceset,
)
from tests.engine.dfl_models import SAEHD_OPTIONS, Reference, write_model
from tests.engine.training_faces import write_faceset


def facegraft(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_a_faceset_goes_in_and_out(tmp_path: Path) -> None:
    write_dfl_faceset(tmp_path / "aligned", 2)
    (tmp_path / "aligned" / "plain.jpg").write_bytes(dfl_picture(dfl_values()))
    done = facegraft("faceset", "import-dfl", tmp_path / "aligned", tmp_path / "faces")
    assert done.exit_code == 0, done.output
    assert "2 faces imported" in done.output and "1 files were left out" in done.output
    assert "plain.jpg carries no face data" in done.output

    done = facegraft("faceset", "export-dfl", tmp_path / "faces", tmp_path / "dfl", "--pak")
    assert done.exit_code == 0, done.output
    done = facegraft("faceset", "import-dfl", tmp_path / "dfl", tmp_path / "again")
    assert done.exit_code == 0, done.output
    assert len(Faceset.open(tmp_path / "again")) == 2
    command = ("faceset", "export-dfl", tmp_path / "faces", tmp_path / "dfl", "--pak")
    assert isinstance(facegraft(*command).exception, ParameterError)  # it is there already
    assert facegraft(*command, "--overwrite").exit_code == 0


def test_a_clip_tells_the_frames_size(tmp_path: Path) -> None:
    write_dfl_faceset(tmp_path / "aligned", 1)
    write_image(tmp_path / "frames" / "00001.png", frame_with_dots(dfl_landmarks()))
    done = facegraft(
        "faceset", "import-dfl", tmp_path / "aligned", tmp_path / "faces",
        "--clip", tmp_path / "frames",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    origin = Faceset.open(tmp_path / "faces")[0].origin
    assert (origin.frame_width, origin.frame_height) == (FRAME_W, FRAME_H)
    assert (origin.source_name, origin.frame_index) == ("frames", 0)


def test_a_model_becomes_a_run(tmp_path: Path) -> None:
    files = Reference("df-ud", 64, 32, 16, 16, 16).files
    write_model(tmp_path / "model", "new_SAEHD", files, SAEHD_OPTIONS, 1234)
    done = facegraft("import-dfl", tmp_path / "model", "new", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "df-ud of 64 px, whole_face, iteration 1,234; it holds net, optimizer" in done.output
    assert "optimizer starts without memory" in done.output
    done = facegraft("export", tmp_path / "run", tmp_path / "new.dfm")
    assert done.exit_code == 0, done.output

    write_faceset(tmp_path / "src", 2)
    write_faceset(tmp_path / "dst", 2, (120, 150, 190))
    done = facegraft(
        "train", tmp_path / "src", tmp_path / "dst", tmp_path / "run", "--target-iterations", 1235,
        "--threads", 1, "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "iteration 1,235" in done.output
    done = facegraft("export", tmp_path / "run", tmp_path / "on.dfm")
    assert done.exit_code == 0, done.output
