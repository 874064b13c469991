"""DeepFaceLab's facesets come in and go out with every point on its pixel and nothing lost."""

import os
import pickle
import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.dfl.facesets import export_faceset, import_faceset, safe_name
from facegraft.errors import Cancelled, DflFormatError, EmptyFaceset, ParameterError, SourceNotFound
from facegraft.faces.align import transform_points
from facegraft.faces.faceset import Faceset, read_image, read_mask, write_encoded
from facegraft.media.open import open_source
from facegraft.media.source import ColorTags, SourceInfo
from facegraft.merge.clip.faces import faces_from_set
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from tests.engine.dfl_files import (
    FRAME_H,
    FRAME_W,
    as_dfl_module,
    dfl_jpeg,
    dfl_landmarks,
    dfl_pak,
    dfl_picture,
    dfl_values,
    read_app15,
    write_dfl_faceset,
)
from tests.engine.training_faces import write_faceset
from tests.synthetic import make_clip, numbered_frames


def png_mask() -> tuple[np.ndarray, np.ndarray]:
    """(256, 256) uint8, and the array that DeepFaceLab keeps of it."""
    mask = np.zeros((256, 256), np.uint8)
    cv2.circle(mask, (120, 130), 80, (255,), -1)
    return mask, cv2.imencode(".png", mask)[1]


def dot_near(image: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Centroid of the bright pixels around a point, all in the corner convention."""
    reach = 4
    left, top = round(x) - reach, round(y) - reach
    window = image[top : top + 2 * reach, left : left + 2 * reach, 1].astype(np.float64)
    rows, columns = np.mgrid[top : top + 2 * reach, left : left + 2 * reach] + 0.5
    return (window * columns).sum() / window.sum(), (window * rows).sum() / window.sum()


def lone_points(points: np.ndarray) -> list[int]:
    """Points with no other in 12 px, whose dot stands alone."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1000 * np.eye(len(points))
    return np.flatnonzero(apart.min(axis=1) > 12).tolist()


@pytest.mark.parametrize("face_type", ["half_face", "full_face", "whole_face"])
@pytest.mark.parametrize("matrix_is", ["stored", "missing", "another's"])
def test_imported_landmarks_lie_on_the_pixels_that_were_drawn(
    tmp_path: Path, face_type: str, matrix_is: str
) -> None:
    values = dfl_values(face_type)
    data = dfl_picture(values)
    if matrix_is == "missing":
        del values["image_to_face_mat"]
    elif matrix_is == "another's":  # an image that was scaled without its matrix
        values["image_to_face_mat"] = values["image_to_face_mat"] * 2
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "00007_0.jpg").write_bytes(dfl_jpeg(data, values))
    assert import_faceset(tmp_path / "in", tmp_path / "out").face_count == 1

    (face,) = Faceset.open(tmp_path / "out")
    image = read_image(face)
    points = transform_points(face.landmarks.astype(np.float64), face.frame_to_aligned)
    chosen = [i for i in lone_points(points) if ((points[i] > 8) & (points[i] < 248)).all()]
    assert len(chosen) > 15
    found = np.array([dot_near(image, *points[i]) for i in chosen])
    off = found - points[chosen]
    assert np.abs(off.mean(axis=0)).max() < 0.05  # half a pixel would be 0.5
    assert np.abs(off).max() < 0.3

    frame_points = face.landmarks  # and in the frame, whose pixels the writer drew around
    np.testing.assert_allclose(frame_points, dfl_landmarks() + 0.5, atol=1e-3)


def test_everything_that_dfl_reads_survives_import_and_export(tmp_path: Path) -> None:
    mask, stored = png_mask()
    polygon = np.array([[10.5, 20.25], [200, 30], [120, 240]], np.float32)
    hole = np.array([[100, 100], [110, 100], [105, 110]], np.float32)
    polygons = {"polys": [{"type": 1, "pts": polygon}, {"type": 0, "pts": hole}]}
    (before,) = write_dfl_faceset(
        tmp_path / "in", 1, seg_ie_polys=polygons, xseg_mask=stored, eyebrows_expand_mod=1.5
    )
    report = import_faceset(tmp_path / "in", tmp_path / "ours")
    assert (report.face_count, report.mask_count, report.polygon_count) == (1, 1, 2)

    (face,) = Faceset.open(tmp_path / "ours")
    assert (face.face_type, face.size, face.brow_amount) == (FaceType.WHOLE_FACE, 256, 1.5)
    assert [p.is_face for p in face.polygons] == [True, False]
    np.testing.assert_allclose(face.polygons[0].points, polygon)
    np.testing.assert_array_equal(read_mask(face), mask)

    export_faceset(Faceset.open(tmp_path / "ours"), tmp_path / "back")
    (after,) = (tmp_path / "back").iterdir()
    assert after.name == before.name
    old, new = read_app15(before.read_bytes()), read_app15(after.read_bytes())
    assert new.keys() == old.keys()
    for key in ("face_type", "source_filename", "eyebrows_expand_mod"):
        assert new[key] == old[key]
    for key in ("landmarks", "source_landmarks", "image_to_face_mat"):
        np.testing.assert_allclose(new[key], old[key], atol=2e-3)
    np.testing.assert_array_equal(new["source_rect"], old["source_rect"])
    assert isinstance(new["source_rect"], np.ndarray) and isinstance(new["landmarks"], list)
    np.testing.assert_array_equal(new["xseg_mask"].ravel(), old["xseg_mask"].ravel())
    for mine, theirs in zip(new["seg_ie_polys"]["polys"], polygons["polys"], strict=True):
        assert mine["type"] == theirs["type"]
        np.testing.assert_array_equal(mine["pts"], theirs["pts"])


def test_the_picture_keeps_its_bytes_through_import_and_export(tmp_path: Path) -> None:
    values = dfl_values()
    picture = dfl_picture(values)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "00007_0.jpg").write_bytes(dfl_jpeg(picture, values))
    import_faceset(tmp_path / "in", tmp_path / "ours")
    ours = (tmp_path / "ours" / "00007_0.jpg").read_bytes()
    assert b"\xff\xef" not in ours[:20000] and picture[2:] in ours
    export_faceset(Faceset.open(tmp_path / "ours"), tmp_path / "back")
    back = (tmp_path / "back" / "00007_0.jpg").read_bytes()
    head = 4 + struct.unpack(">H", picture[4:6])[0]  # APP15 stands right behind APP0
    assert back[:head] == picture[:head] and back[head : head + 2] == b"\xff\xef"
    (length,) = struct.unpack(">H", back[head + 2 : head + 4])
    assert back[head + 2 + length :] == picture[head:]


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_older_spellings_of_the_data_read_alike(tmp_path: Path, protocol: int) -> None:
    """Protocol 3 of the bundled Python, pairs of polygons, a list as the rect, arrays as points."""
    values = dfl_values()
    values.update(
        source_rect=[200, 120, 420, 380],
        landmarks=np.array(values["landmarks"]),
        seg_ie_polys=[(1, np.array([[1.0, 2], [3, 4], [5, 6]], np.float32)), (0, np.zeros((0, 2)))]
        if protocol > 2
        else [(1, [[1.0, 2], [3, 4], [5, 6]])],
        xseg_mask=png_mask()[1].reshape(-1, 1),
        pitch_yaw_roll=(0.0, 0.0, 0.0),
    )
    del values["face_type"]
    (tmp_path / "in").mkdir()
    data = dfl_jpeg(dfl_picture(values), values, protocol)
    (tmp_path / "in" / "00007_0.JPG").write_bytes(data)
    import_faceset(tmp_path / "in", tmp_path / "out")
    (face,) = Faceset.open(tmp_path / "out")
    assert face.face_type is FaceType.FULL  # what a file without the key means
    assert face.imported["source_rect"] == [200, 120, 420, 380]
    assert [p.points for p in face.polygons] == [((1, 2), (3, 4), (5, 6))]
    assert read_mask(face) is not None


def test_frames_are_numbered_from_one_and_a_clip_tells_their_size(tmp_path: Path) -> None:
    write_dfl_faceset(tmp_path / "in", 2)
    import_faceset(tmp_path / "in", tmp_path / "plain")
    origin = Faceset.open(tmp_path / "plain")[1].origin
    assert (origin.frame_name, origin.frame_index, origin.frame_width) == ("00002", 1, 0)
    big = make_clip(tmp_path / "a.mp4", numbered_frames(3, 480, 320))
    with open_source(big) as source:
        (face,) = faces_from_set(Faceset.open(tmp_path / "plain"), source).at(1)
    np.testing.assert_allclose(face.landmarks, dfl_landmarks() + 0.5, atol=1e-3)  # not scaled
    clip = SourceInfo(
        Path("dst.mp4"), FRAME_W, FRAME_H, 2, Fraction(25), 8, ColorTags(), False, True
    )
    import_faceset(tmp_path / "in", tmp_path / "full", clip=clip)
    origin = Faceset.open(tmp_path / "full")[1].origin
    assert (origin.source_name, origin.frame_index, origin.pts) == ("dst.mp4", 1, "1/25")
    assert (origin.frame_width, origin.frame_height) == (FRAME_W, FRAME_H)


def test_a_pak_reads_with_hostile_names_made_harmless(tmp_path: Path, monkeypatch) -> None:
    values = dfl_values()
    one = dfl_jpeg(dfl_picture(values), values)
    names = [
        ("00001_0.jpg", None), ("../../evil.jpg", None), ("C:\\Windows\\evil.jpg", None),
        ("/etc/passwd", None), ("..", None), (".hidden.jpg", None), ("00001_0.jpg", "ada"),
        ("00001_0.JPG", None), ("a\0b.jpg", "../up"), ("last.jpg", None),
    ]  # fmt: skip
    pak = tmp_path / "in" / "deep" / "faceset.pak"
    pak.parent.mkdir(parents=True)
    pak.write_bytes(dfl_pak([(n, p, one) for n, p in names], monkeypatch))
    report = import_faceset(pak.parent, tmp_path / "x" / "out")
    assert report.face_count == len(names)
    assert len(Faceset.open(tmp_path / "x" / "out")) == len(names)
    everywhere = [p for p in tmp_path.rglob("*") if p.is_file() and p != pak]
    assert len(everywhere) == len(names)
    assert {p.parent for p in everywhere} == {tmp_path / "x" / "out"}
    assert "ada_00001_0.jpg" in {p.name for p in everywhere}


def test_safe_names_never_leave_the_folder_nor_meet_twice() -> None:
    taken: set[str] = set()
    for name in ("a.jpg", "A.jpg", "a.jpeg", "", "...", "x" * 400, "nul\0.jpg", "_b.jpg"):
        safe = safe_name(name, taken)
        assert safe.endswith(".jpg") and safe[0] not in "._" and len(safe) < 140
        assert os.path.basename(safe) == safe and safe.lower() not in taken
        taken.add(safe.lower())


def test_a_written_pak_has_dfls_layout_and_reads_back(tmp_path: Path, monkeypatch) -> None:
    _, stored = png_mask()
    write_dfl_faceset(tmp_path / "in", 3, xseg_mask=stored)
    import_faceset(tmp_path / "in", tmp_path / "ours")
    report = export_faceset(Faceset.open(tmp_path / "ours"), tmp_path / "packed", packed=True)
    assert (report.face_count, report.mask_count) == (3, 3)
    data = (tmp_path / "packed" / "faceset.pak").read_bytes()

    as_dfl_module(monkeypatch)
    version, size = struct.unpack("<QQ", data[:16])
    index = pickle.loads(data[16 : 16 + size])  # the reference: Python's own reader
    offsets = struct.unpack("<4Q", data[16 + size : 16 + size + 32])
    base = 16 + size + 32
    assert (version, offsets[0], offsets[-1]) == (1, 0, len(data))  # the last one is absolute
    assert [e["filename"] for e in index] == [f"0000{n}_0.jpg" for n in (1, 2, 3)]
    assert [type(e["face_type"]).__name__ for e in index] == ["FaceType"] * 3
    assert index[0].keys() == {
        "sample_type", "filename", "face_type", "shape", "landmarks", "seg_ie_polys", "xseg_mask",
        "xseg_mask_compressed", "eyebrows_expand_mod", "source_filename", "person_name",
    }  # fmt: skip
    second = data[base + offsets[1] : base + offsets[2]]
    assert read_app15(second)["source_filename"] == "00002.png"
    last = data[base + offsets[2] :]
    picture = cv2.imdecode(np.frombuffer(last, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (256, 256, 3)

    import_faceset(tmp_path / "packed" / "faceset.pak", tmp_path / "again")
    for a, b in zip(Faceset.open(tmp_path / "ours"), Faceset.open(tmp_path / "again"), strict=True):
        assert a.digest == b.digest  # the pictures are the same bytes
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=2e-3)


def test_our_own_png_faces_become_jpegs_that_come_back(tmp_path: Path) -> None:
    ours = write_faceset(tmp_path / "ours", 2)
    report = export_faceset(ours, tmp_path / "dfl")
    assert (report.face_count, report.changed_count) == (2, 2)
    values = read_app15((tmp_path / "dfl" / "00000_0.jpg").read_bytes())
    assert values["face_type"] == "full_face" and len(values["landmarks"]) == 68
    import_faceset(tmp_path / "dfl", tmp_path / "back")
    for a, b in zip(ours, Faceset.open(tmp_path / "back"), strict=True):
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=2e-3)
        np.testing.assert_allclose(a.frame_to_aligned, b.frame_to_aligned, atol=1e-6)
        assert np.abs(read_image(a).astype(int) - read_image(b)).mean() < 2


class Touch:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_bad_files_are_left_out_by_name_and_the_rest_is_imported(tmp_path: Path) -> None:
    (good,) = write_dfl_faceset(tmp_path / "in", 1)
    values = dfl_values()
    picture = dfl_picture(values)
    folder = good.parent
    evil = dfl_jpeg(picture, {**values, "xseg_mask": Touch(tmp_path / "touched")})
    bad = {
        "evil": (evil, "system"),
        "plain": (picture, "no face data"),
        "text": (b"not a picture", "no JPEG"),
        "cut": (good.read_bytes()[:3000], "cut short"),
        "whole": (dfl_jpeg(picture, {**values, "face_type": "mark_only"}), "mark_only"),
        "few": (dfl_jpeg(picture, {**values, "landmarks": [[1, 2]]}), "landmarks"),
        "nan": (dfl_jpeg(picture, {**values, "source_landmarks": [[np.nan] * 2] * 68}), "source_l"),
        "list": (dfl_jpeg(picture, [values]), "no dict"),
    }
    for name, (data, _) in bad.items():
        (folder / f"{name}.jpg").write_bytes(data)
    report = import_faceset(folder, tmp_path / "out")
    assert report.face_count == 1 and len(report.skipped) == len(bad)
    for name, (_, word) in bad.items():
        (sentence,) = [s for s in report.skipped if f"{name}.jpg" in s]
        assert word in sentence
    assert not (tmp_path / "touched").exists()
    assert [p.name for p in (tmp_path / "out").iterdir()] == [good.name]


def test_a_damaged_pak_is_named(tmp_path: Path, monkeypatch) -> None:
    values = dfl_values()
    good = dfl_pak([("a.jpg", None, dfl_jpeg(dfl_picture(values), values))] * 2, monkeypatch)
    path = tmp_path / "faceset.pak"
    for data, word in (
        (good[:10], "cut short"),
        (b"\2" + good[1:], "version 2"),
        (good[:8] + b"\xff" * 8 + good[16:], "cut short"),
        (good[:200], "cut short|damaged"),
        (good[:-8000], "left out|cut short"),
        (good[:16] + b"\x80\x03cos\nsystem\n." + good[40:], "os.system"),
    ):
        path.write_bytes(data)
        try:
            report = import_faceset(path, tmp_path / "out", overwrite=True)
            assert word == "left out|cut short" and len(report.skipped) == 1
        except DflFormatError as error:
            assert any(part in str(error) for part in word.split("|"))


def test_existing_files_stay_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    write_dfl_faceset(tmp_path / "in", 2)
    import_faceset(tmp_path / "in", tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(ParameterError, match=r"00001_0\.jpg.*--overwrite"):
        import_faceset(tmp_path / "in", tmp_path / "out")
    faces = Faceset.open(tmp_path / "out")
    for packed in (False, True):
        export_faceset(faces, tmp_path / "dfl", packed)
        with pytest.raises(ParameterError, match="--overwrite"):
            export_faceset(faces, tmp_path / "dfl", packed)
        export_faceset(faces, tmp_path / "dfl", packed, overwrite=True)
    import_faceset(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert {p: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_nothing_to_import_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="folder of aligned JPEGs"):
        import_faceset(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyFaceset, match="not one face"):
        import_faceset(tmp_path / "empty", tmp_path / "out")


def test_metadata_that_does_not_fit_leaves_that_face_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (240, 240), np.uint8)
    big = cv2.imencode(".png", noise)[1]
    assert 50_000 < len(big) < 65_000
    many = np.random.default_rng(2).uniform(0, 250, (2000, 2)).astype(np.float32)
    polygons = {"polys": [{"type": 1, "pts": many}]}
    (path,) = write_dfl_faceset(tmp_path / "in", 1, seg_ie_polys=polygons)
    import_faceset(tmp_path / "in", tmp_path / "ours")
    (face,) = Faceset.open(tmp_path / "ours")
    write_encoded(face, path.read_bytes(), big.tobytes())
    with pytest.raises(EmptyFaceset, match="bytes, DeepFaceLab's segment holds 65533"):
        export_faceset(Faceset.open(tmp_path / "ours"), tmp_path / "dfl")
    assert not (tmp_path / "dfl").exists()


class Stopping(Silent):
    """Cancels after the first face."""

    cancelled = False

    def advance(self, count: int = 1, note: str = "") -> None:
        self.cancelled = True


def test_ctrl_c_keeps_whole_files_only(tmp_path: Path) -> None:
    write_dfl_faceset(tmp_path / "in", 3)
    with pytest.raises(Cancelled, match="1 faces"):
        import_faceset(tmp_path / "in", tmp_path / "out", Stopping())
    faces = Faceset.open(tmp_path / "out")
    assert len(faces) == 1
    import_faceset(tmp_path / "in", tmp_path / "out", overwrite=True)
    with pytest.raises(Cancelled):
        export_faceset(Faceset.open(tmp_path / "out"), tmp_path / "pak", True, Stopping())
    assert not list((tmp_path / "pak").iterdir())
