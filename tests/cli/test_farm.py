"""The examples in docs/render_farm, run on this machine: chunks give the whole clip's pixels."""

import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

from facegraft.media.images import read_image_file
from tests.engine.merge_clips import frames_with_faces, make_faceset, oval_mask, write_sequence
from tests.engine.tiny_dfm import write_dfm

FARM = Path(__file__).parents[2] / "docs" / "render_farm"
TEMPLATE = FARM / "facegraft_merge.openjd.yaml"
LIMIT_S = 900  # seconds for some starts of Python on a busy machine
FACEGRAFT = [sys.executable, "-m", "facegraft_cli"]


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """A folder with all that a farm's task is given, and the whole clip merged at once."""
    folder = tmp_path_factory.mktemp("farm")
    write_sequence(folder / "plates", frames_with_faces())
    make_faceset(folder / "plates", folder / "faces")
    write_dfm(folder / "m.dfm", 64, (0.3, 1, 1), (0, 0, 0), oval_mask(), oval_mask())
    # rows that look at the neighbours of a chunk, and keys that count by the clip's frames
    params = {"smooth_color": 2, "motion_blur": 50, "mix": {"keys": [[0, 0.2], [5, 1.0]]}}
    text = json.dumps({"version": 2, "params": params})
    (folder / "params.json").write_text(text)
    words = [
        "merge", "plates", "whole", "--model", "m.dfm", "--faces", "faces", "--params",
        "params.json",
    ]  # fmt: skip
    subprocess.run([*FACEGRAFT, *words], cwd=folder, check=True, timeout=LIMIT_S)
    return folder


def assert_same_pictures(job: Path, out: Path) -> None:
    names = sorted(path.name for path in (job / "whole").iterdir())
    assert names == sorted(path.name for path in out.iterdir()) and len(names) == 6
    for name in names:
        expected, _ = read_image_file(job / "whole" / name)
        np.testing.assert_array_equal(expected, read_image_file(out / name)[0], err_msg=name)


def openjd(*words: object) -> "subprocess.CompletedProcess[str]":
    pytest.importorskip("openjd.cli", reason="openjd-cli is not installed (extra dev)")
    return subprocess.run(
        [sys.executable, "-m", "openjd", *map(str, words)],
        capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip


def test_the_open_job_description_template_is_valid():
    done = openjd("check", TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the command of the test is a POSIX script")
def test_an_open_job_description_run_in_chunks_gives_the_whole_clip(job, tmp_path):
    command = tmp_path / "facegraft"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m facegraft_cli "$@"\n')
    command.chmod(0o755)
    values = {
        "Clip": job / "plates", "Out": tmp_path / "out", "Model": job / "m.dfm",
        "Faces": job / "faces", "Params": job / "params.json", "Frames": "0-5", "ChunkSize": 4,
        "FaceGraft": command,
    }  # fmt: skip
    flags = [part for name, value in values.items() for part in ("-p", f"{name}={value}")]
    done = openjd("run", TEMPLATE, "--step", "Merge", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "openjd_progress: 100.0" in done.stdout
    assert_same_pictures(job, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="runs the command in a POSIX shell")
def test_an_opencue_outline_run_in_chunks_gives_the_whole_clip(job, tmp_path, monkeypatch):
    """The job is written as Cuebot gets it; then its chunks are run here as Cuebot runs them."""
    monkeypatch.setenv("HOME", str(tmp_path))  # sessions go there
    from outline.cuerun import OutlineLauncher  # type: ignore[import-not-found]

    spec = importlib.util.spec_from_file_location("outline_example", FARM / "facegraft_outline.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    places = [job / "plates", tmp_path / "out", job / "m.dfm", job / "faces", job / "params.json"]
    outline = example.make_outline(*map(str, places), "0-5", facegraft=FACEGRAFT, chunk=4)
    text = OutlineLauncher(outline).serialize(use_pycuerun=False)
    layer = xml.etree.ElementTree.fromstring(text).find(".//layer")
    assert layer is not None
    command, size = layer.findtext("cmd"), int(layer.findtext("chunk") or 0)
    assert command is not None and size == 4
    for start in range(0, 6, size):
        line = command.replace("#FRAME_START#", str(start))
        line = line.replace("#FRAME_END#", str(start + size - 1))
        subprocess.run(["sh", "-c", line], check=True, timeout=LIMIT_S)
    assert_same_pictures(job, tmp_path / "out")
