"""Answers that no engine gives: nothing is believed, and the host lives on."""

import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft_cli.ofx_host import FAILED, OfxHost
from tests.host_plugin_ofx import lying_engine
from tests.host_plugin_ofx.engine_watch import children, left_over
from tests.host_plugin_ofx.scene import Scene, render


@pytest.mark.parametrize("lie", lying_engine.LIES)
def test_a_lie_ends_the_engine_and_the_source_shows(
    fresh_library, scene: Scene, own_folder, tmp_path, monkeypatch, lie
):
    """A fresh engine gets the frame once more; then the message says what is wrong."""
    script = tmp_path / "python"
    lines = ("#!/bin/sh", f'exec "{sys.executable}" "{lying_engine.__file__}" "{lie}" "$@"', "")
    script.write_text("\n".join(lines))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FACEGRAFT_PYTHON", str(script))
    status, (message,), source, output = render(OfxHost(fresh_library), scene.values())
    assert status == FAILED and np.array_equal(source, output)
    assert message.startswith("the engine") and "Traceback" not in message
    assert not children(own_folder) and not left_over(own_folder)


def test_an_endless_refusal_is_shown_as_far_as_there_is_room(
    fresh_library, scene: Scene, own_folder, tmp_path, monkeypatch
):
    """At a whole character."""
    name = "ä" * 120 + ".dfm"
    folder = Path(tmp_path, *(["x" * 200] * 15))
    status, (message,), source, output = render(
        OfxHost(fresh_library), scene.values(model=str(folder / name))
    )
    assert status == FAILED and np.array_equal(source, output)
    assert "x" * 200 in message and len(message.encode()) < 4096
