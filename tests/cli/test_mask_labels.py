"""`facegraft mask edit` and `mask labels`, with a program in labelme's place that draws."""

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from facegraft.errors import MissingExtra, ParameterError
from facegraft.faces.face import Polygon
from facegraft.faces.faceset import Faceset
from facegraft_cli.main import cli
from tests.engine.training_faces import write_faceset

# takes labelme's arguments; labels the second picture and checks what it was given for the first
_DRAWS = """
import json, sys
from pathlib import Path
folder, output = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--output") + 1])
assert sys.argv[sys.argv.index("--labels") + 1] == "face,not face"
first, second = sorted(p for p in folder.iterdir() if p.suffix == ".png")[:2]
given = json.loads((output / f"{first.stem}.json").read_text())
assert (output / given["imagePath"]).resolve() == first.resolve()
assert given["shapes"][0]["points"] == [[1.0, 1.0], [90.0, 1.0], [90.0, 90.0]]
shapes = [{"label": "face", "shape_type": "polygon", "points": [[5, 5], [50, 5], [5, 50]]}]
values = {"shapes": shapes, "imageWidth": 96, "imageHeight": 96}
(output / f"{second.stem}.json").write_text(json.dumps(values))
"""


def facegraft(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def program(folder: Path, text: str) -> Path:
    script = folder / "annotator.py"
    script.write_text(text)
    start = folder / "annotator"
    start.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    start.chmod(0o755)
    return start


@pytest.fixture
def faces(tmp_path) -> Path:
    folder = tmp_path / "my faces"
    write_faceset(folder, 3)
    values = '{"shapes": [{"label": "face", "shape_type": "polygon", "points": '
    values += '[[1, 1], [90, 1], [90, 90]]}], "imageWidth": 96, "imageHeight": 96}'
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "00000_0.json").write_text(values)
    done = facegraft("mask", "labels", "import", folder, tmp_path / "given", "--format", "labelme")
    assert "labels for 1 faces, 1 changed" in done.output
    return folder


@pytest.mark.skipif(os.name == "nt", reason="the program is a shell script")
def test_what_is_drawn_in_the_annotator_is_stored_when_it_closes(faces, tmp_path):
    done = facegraft("mask", "edit", faces, "--program", program(tmp_path, _DRAWS))
    assert done.exit_code == 0, done.output
    assert "1 faces changed, 2 have polygons now" in done.output
    polygon = Polygon(True, ((5.0, 5.0), (50.0, 5.0), (5.0, 50.0)))
    assert Faceset.open(faces)[1].polygons == (polygon,)


@pytest.mark.skipif(os.name == "nt", reason="the program is a shell script")
def test_an_annotator_that_fails_loses_nothing(faces, tmp_path):
    failing = program(tmp_path, _DRAWS + "raise SystemExit(3)")
    done = facegraft("mask", "edit", faces, "--program", failing)
    assert isinstance(done.exception, ParameterError) and "ended with code 3" in str(done.exception)
    assert (faces / "_facegraft" / "labelme" / "00001_0.json").exists()
    assert not Faceset.open(faces)[1].polygons


def test_a_missing_annotator_is_named_with_how_to_get_it(faces):
    done = facegraft("mask", "edit", faces, "--program", "no-such-annotator")
    assert isinstance(done.exception, MissingExtra)
    assert "pip install labelme" in str(done.exception)


def test_labels_are_counted_exported_fetched_and_cleared(faces, tmp_path):
    assert (
        "1 with polygons (1 face, 0 not face)" in facegraft("mask", "labels", "stats", faces).output
    )
    done = facegraft("mask", "labels", "export", faces, tmp_path / "c.json", "--format", "coco")
    assert "labels of 1 faces" in done.output
    assert ": 1 faces" in facegraft("mask", "labels", "fetch", faces, tmp_path / "few").output
    assert facegraft("mask", "labels", "clear", faces).exit_code != 0  # nobody said yes
    assert (
        "labels of 1 faces removed" in facegraft("mask", "labels", "clear", faces, "--yes").output
    )
    assert not Faceset.open(faces)[0].polygons
