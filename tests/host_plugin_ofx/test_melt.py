"""The node in `melt`, the program, as Kdenlive and Shotcut render with it."""

from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pytest
import yaml

from facegraft.media.open import open_source
from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.face_clip import FRAMES, FaceClip
from tests.host_plugin_ofx.melt_run import Melt, filtered
from tests.host_plugin_ofx.mlt_run import SERVICE
from tests.host_plugin_ofx.scene import unit
from tests.host_plugin_ofx.tools import ofx_header

pytestmark = pytest.mark.slow

TYPES = {"double": "float", "int": "integer", "bool": "boolean"}
FIRST = 4  # frame of the last key whose mix is 0
MIX = f"0=0;{FIRST}=0;{FRAMES - 1}=1"
EDGE_PX = 3  # how far chroma at half the size reaches out of the face


@pytest.fixture(scope="module")
def melt(tmp_path_factory, compiler, bundle) -> Melt:
    try:
        return Melt(tmp_path_factory.mktemp("melt"), compiler, bundle)
    except mlt_host.Unavailable as error:
        pytest.skip(f"no melt with OpenFX: {error}")


@pytest.fixture(scope="module")
def source(melt: Melt, face_clip: FaceClip, tmp_path_factory) -> np.ndarray:
    """The clip through the same host and node, with nothing swapped."""
    out = tmp_path_factory.mktemp("source") / "source.mp4"
    assert not melt.render(face_clip.size, out, face_clip.movie, *node(face_clip, mix=0))
    return frames_of(out)


@pytest.fixture(scope="module")
def keyed(melt: Melt, face_clip: FaceClip, tmp_path_factory) -> np.ndarray:
    """The clip swapped by keys."""
    out = tmp_path_factory.mktemp("keyed") / "keyed.mp4"
    assert not melt.render(face_clip.size, out, face_clip.movie, *node(face_clip, mix=MIX))
    return frames_of(out)


def node(clip: FaceClip, **values: object) -> list[str]:
    return filtered(**clip.scene.values(**{"color_transfer": "none", **values}))


def frames_of(movie: Path) -> np.ndarray:
    """(N, H, W, 3) uint8 RGB."""
    with open_source(movie) as source:
        return np.stack([frame.image_u8 for frame in source])


def test_query_shows_every_row_with_its_title_range_default_and_choices(melt: Melt):
    assert f"- {SERVICE}" in melt.say("-query", "filters").replace("  ", "")
    # every value as its text: MLT does not quote the choice `off`, which YAML reads as no
    shown = yaml.load(melt.say("-query", f"filter={SERVICE}"), yaml.BaseLoader)
    assert shown["title"] == "FaceGraft"
    params = {p["identifier"]: p for p in shown["parameters"] if p["type"] != "group"}
    rows = ofx_header.node_rows()
    assert [row.name for row in rows] == [name for name in params if name in {r.name for r in rows}]
    for row in rows:
        param = params[row.name]
        assert (param["title"], param["description"]) == (row.label, row.hint)
        assert param["group"] == f"group_{row.group}"
        assert param["animation"] == ("yes" if row.animates else "no")
        if row.kind in TYPES:
            assert param["type"] == TYPES[row.kind]
            assert float(param["default"]) == pytest.approx(float(row.default))
        if row.kind in ("int", "double"):
            shown_range = (float(param["minimum"]), float(param["maximum"]))
            assert shown_range == pytest.approx(row.soft or row.hard)  # MLT shows the slider's
        if row.choices:
            assert param["default"] == row.default and tuple(param["values"]) == row.choices


def test_a_movie_with_a_keyframed_mix_goes_from_the_source_to_the_swap(
    face_clip: FaceClip, source: np.ndarray, keyed: np.ndarray
):
    """Where the matte is 0 nothing changes; in the face every frame is what the engine makes."""
    assert keyed.shape == source.shape == (FRAMES, *face_clip.frames[0].shape)
    for number in range(FRAMES):
        mix = max(0, (number - FIRST) / (FRAMES - 1 - FIRST))
        if mix == 0:
            assert np.array_equal(keyed[number], source[number])
            continue
        wanted, matte = face_clip.scene.merged(
            unit(source[number]), number, mix=mix, color_transfer="none"
        )
        around = np.ones((2 * EDGE_PX + 1,) * 2)
        outside = cv2.dilate(matte, around) == 0
        assert np.array_equal(keyed[number][outside], source[number][outside])
        inside = cv2.erode(matte, around) > 0.9 * mix
        assert inside.sum() > 500
        away = np.abs(keyed[number].astype(float) - wanted * 255)[inside]
        changed = np.abs(keyed[number].astype(float) - source[number])[inside]
        assert away.mean() < 1.5 and changed.mean() > 20 * mix


def test_frames_in_parallel_give_the_same_movie(
    melt: Melt, face_clip: FaceClip, keyed: np.ndarray, tmp_path: Path
):
    """The node has an instance for each of four frames at once."""
    out = tmp_path / "out.mp4"
    given = [face_clip.movie, *node(face_clip, mix=MIX)]
    assert not melt.render(face_clip.size, out, *given, writer=["real_time=-4"])
    assert np.array_equal(frames_of(out), keyed)


def test_a_project_file_of_mlt_gives_the_same_movie(
    melt: Melt, face_clip: FaceClip, keyed: np.ndarray, tmp_path: Path
):
    values = {"mlt_service": SERVICE, **face_clip.scene.values(color_transfer="none", mix=MIX)}
    lines = [f"<property name={quoteattr(k)}>{v}</property>" for k, v in values.items()]
    project, out = tmp_path / "shot.mlt", tmp_path / "out.mp4"
    project.write_text(
        f'<mlt><producer id="shot"><property name="resource">{face_clip.movie}</property>'
        f"<filter>{''.join(lines)}</filter></producer></mlt>"
    )
    assert not melt.render(face_clip.size, out, project)
    assert np.array_equal(frames_of(out), keyed)


def test_what_kdenlive_writes_for_an_untouched_effect_is_the_node_s_default(
    melt: Melt, face_clip: FaceClip, keyed: np.ndarray, tmp_path: Path
):
    """Kdenlive stores every parameter of its effect file, numbers and points with a first key."""
    written = {}
    for parameter in ElementTree.parse(ofx_header.KDENLIVE).getroot().iter("parameter"):
        is_keyed = parameter.attrib["type"].startswith("animated")
        written[parameter.attrib["name"]] = f"{'0=' * is_keyed}{parameter.attrib['default']}"
    out = tmp_path / "out.mp4"
    written |= {"color_transfer": "none", "mix": MIX}
    given = [face_clip.movie, *filtered(**{**written, **face_clip.scene.values()})]
    assert not melt.render(face_clip.size, out, *given)
    assert np.array_equal(frames_of(out), keyed)


def test_a_bad_model_is_told_on_stderr_and_the_source_shows(
    melt: Melt, face_clip: FaceClip, source: np.ndarray, tmp_path: Path
):
    bad = tmp_path / "bad model.dfm"
    bad.write_bytes(b"no network")
    out = tmp_path / "out.mp4"
    said = melt.render(face_clip.size, out, face_clip.movie, *node(face_clip, model=bad))
    assert str(bad) in said and "[openfx]" in said
    assert np.array_equal(frames_of(out), source)
