"""What the node does when something is wrong with a frame: full pictures and clear messages."""

import stat
import subprocess
import sys

import numpy as np
import pytest

from facegraft_cli.ofx_host import FAILED, GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.engine_watch import left_over
from tests.host_plugin_ofx.scene import Scene, codes, render
from tests.host_plugin_ofx.tools import build_ofx_bundle


def test_a_model_that_is_missing_or_truncated_is_named_and_the_source_shows(
    host, scene: Scene, tmp_path
):
    """Then the next frame is swapped: the engine lives on."""
    broken = tmp_path / "broken.dfm"
    broken.write_bytes(scene.model.read_bytes()[:500])
    for path in (tmp_path / "missing.dfm", broken):
        status, messages, source, output = render(host, scene.values(model=str(path)))
        assert status == FAILED and len(messages) == 1 and path.name in messages[0]
        assert np.array_equal(output, source)
    status, messages, source, output = render(host, scene.values())
    assert status == OK and not messages and not np.array_equal(output, source)


def test_an_error_stops_the_render_or_passes_or_leaves_a_mark_as_asked(host, scene: Scene):
    """Always with the message, and always with a whole picture."""
    bad = scene.values(model="/nowhere.dfm")
    status, messages, source, output = render(host, {**bad, "on_error": "pass_through"})
    assert status == OK and messages and np.array_equal(output, source)
    status, messages, source, output = render(host, {**bad, "on_error": "mark"})
    assert status == OK and messages
    changed = (output != source).any(axis=2)
    assert (output[changed] == (1, 0, 0, 1)).all()
    assert changed[0].all() and changed[-1].all() and changed[:, 0].all() and changed[:, -1].all()
    assert not changed[3:-3, 3:-3].any()


def test_a_row_that_a_single_frame_cannot_follow_is_told(host, scene: Scene):
    """The frame is swapped; the sentence is the engine's, and goes with the row's value."""
    source = Picture.of(codes("u1"))
    with host.create(GENERAL, scene.values(smooth_color=5.0)) as instance:
        assert instance.render(0.0, source, Picture.of(codes("u1"))) == OK
        assert "smooth_color needs a whole clip" in instance.effect.shown
        instance.effect.params["smooth_color"].value = 0.0
        assert instance.render(0.0, source, Picture.of(codes("u1"))) == OK
        assert instance.effect.shown == ""


def test_a_message_goes_when_the_next_frame_is_right(host, scene: Scene):
    source = Picture.of(codes("u1"))
    with host.create(GENERAL, scene.values(model="/nowhere.dfm")) as instance:
        instance.render(0.0, source, source)
        assert "/nowhere.dfm" in instance.effect.shown
        instance.effect.params["model"].value = str(scene.model)
        assert instance.render(0.0, source, Picture.of(codes("u1"))) == OK
        assert instance.effect.shown == ""


@pytest.mark.parametrize("without", [("OfxMessageSuite 2",), ("OfxMessageSuite",)])
def test_older_hosts_without_persistent_messages_or_any_are_served(
    fresh_library, scene: Scene, without, capfd, monkeypatch
):
    """The text goes where there is a place for it, at last to stderr."""
    monkeypatch.setenv("FACEGRAFT_PYTHON", "/no/such/python")
    host = OfxHost(fresh_library, without=without)
    status, messages, source, output = render(host, scene.values())
    assert status == FAILED and np.array_equal(output, source)
    said = messages[0] if messages else capfd.readouterr().err
    assert "/no/such/python" in said


def test_without_an_engine_the_message_says_how_to_get_one(
    fresh_library, scene: Scene, monkeypatch
):
    host = OfxHost(fresh_library)
    monkeypatch.setenv("FACEGRAFT_PYTHON", "/no/such/python")
    status, (message,), source, output = render(host, scene.values())
    assert status == FAILED and np.array_equal(output, source)
    assert "/no/such/python" in message and "install.py env" in message


def test_the_engine_is_found_by_the_note_in_the_user_s_folder(
    fresh_library, scene: Scene, monkeypatch, tmp_path, own_folder
):
    """As the other hosts find it; a damaged note is named."""
    host = OfxHost(fresh_library)
    monkeypatch.delenv("FACEGRAFT_PYTHON")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    note = tmp_path / "data" / "facegraft" / "engine.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"python": ')
    status, (message,), *_ = render(host, scene.values())
    assert status == FAILED and str(note) in message
    note.write_text(f'{{"version": 1, "python": "{sys.executable}"}}')
    assert render(host, scene.values())[0] == OK


def test_a_python_without_the_engine_is_told_with_the_end_of_its_log(
    fresh_library, scene: Scene, monkeypatch, tmp_path, own_folder
):
    """And after the third failure in a row the next start waits."""
    host = OfxHost(fresh_library)
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'No module named facegraft' >&2\nexit 3\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FACEGRAFT_PYTHON", str(script))
    for _ in range(2):
        status, (message,), source, output = render(host, scene.values())
        assert status == FAILED and np.array_equal(output, source)
        assert "ended while starting" in message and "No module named facegraft" in message
    message = ""
    for _ in range(12):  # the pause grows, so that the slowest machine comes to ask within one
        _, (message,), *_ = render(host, scene.values())
        if "times in a row" in message:
            break
    assert "times in a row" in message and "No module named facegraft" in message
    assert not left_over(own_folder)


def test_another_table_of_controls_is_refused_with_a_sentence(
    scene: Scene, compiler, tmp_path, own_folder
):
    """A node built from another release never sets wrong values."""
    sources = tmp_path / "sources"
    sources.mkdir()
    for path in build_ofx_bundle.SOURCES.glob("*.[ch]"):
        text = path.read_text()
        if path.name == "rows.h":
            head, _, rest = text.partition("FACEGRAFT_TABLE_DIGEST ")
            text = f'{head}FACEGRAFT_TABLE_DIGEST "{"0" * 16}"\n{rest.partition(chr(10))[2]}'
            text = text.replace('FACEGRAFT_VERSION "', 'FACEGRAFT_VERSION "0.0.1 was ')
        (sources / path.name).write_text(text)
    library = tmp_path / "Other.ofx"
    command = [*compiler, "-std=c11", "-shared", "-fPIC", "-pthread", "-o", str(library)]
    subprocess.run([*command, *map(str, sources.glob("*.c"))], check=True, timeout=300)
    status, (message,), source, output = render(OfxHost(library), scene.values())
    assert status == FAILED and "controls" in message and np.array_equal(output, source)


def test_a_missing_source_gives_an_empty_picture(host, scene: Scene):
    """Some hosts give none while they interrupt a render."""
    output = Picture.of(np.full((8, 9, 4), 9, np.uint8))
    with host.create(GENERAL, scene.values()) as instance:
        assert instance.render(0.0, None, output) == FAILED
    assert not output.pixels.any() and host.images_out == 0
