"""Aligned images carry their own metadata and survive what people do to files."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.errors import BadAlignedImage, EmptyFaceset, FutureVersion, SourceNotFound
from facegraft.faces.align import align_matrix, compose
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import (
    Faceset,
    read_aligned,
    read_image,
    reframe_matrix,
    write_aligned,
)
from facegraft.faces.landmarks import HEAD_3D
from facegraft.faces.metadata import embed, read_metadata
from facegraft.model_spec import FaceType

ORIGIN = Origin("clip.mp4", "000012", 12, "12/25", 640, 480, "test 1")


def make_face(track: int = 0) -> Face:
    """The 3-D mean head seen from the front, at (320, 240), 160 px wide."""
    points = (HEAD_3D[:, :2] + (320, 240)).astype(np.float32)
    x0, y0 = points.min(axis=0)
    x1, y1 = points.max(axis=0)
    return Face(points, (float(x0), float(y0), float(x1), float(y1)), 0.9, points + 0.5, track)


def write_one(path: Path, seed: int = 0):
    face = make_face()
    corners = np.random.default_rng(seed).integers(0, 255, (3, 3, 3), np.uint8)
    image = cv2.resize(corners, (64, 64), interpolation=cv2.INTER_CUBIC)
    matrix = align_matrix(face.landmarks, FaceType.FULL, 64)
    return image, write_aligned(path, image, face, FaceType.FULL, matrix, ORIGIN)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_was_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    image, written = write_one(tmp_path / f"000012_0{suffix}")
    read = Faceset.open(tmp_path)[0]
    np.testing.assert_allclose(read.landmarks, written.landmarks, atol=1e-3)
    np.testing.assert_array_equal(read.frame_to_aligned, written.frame_to_aligned)
    assert (read.origin, read.face_type, read.size) == (ORIGIN, FaceType.FULL, 64)
    assert read.digest == written.digest
    difference = np.abs(read_image(read).astype(int) - image)
    assert difference.max() == 0 if suffix == ".png" else difference.mean() < 3


def test_deleting_and_renaming_files_keeps_the_set_whole(tmp_path: Path) -> None:
    for n in range(4):
        write_one(tmp_path / f"{n:06d}_0.png", n)
    digests = {f.path.name: f.digest for f in Faceset.open(tmp_path)}
    (tmp_path / "000001_0.png").unlink()
    (tmp_path / "000003_0.png").rename(tmp_path / "best take.png")
    names = [f.path.name for f in Faceset.open(tmp_path)]
    assert names == ["000000_0.png", "000002_0.png", "best take.png"]
    assert Faceset.open(tmp_path)[2].digest == digests["000003_0.png"]


def test_an_empty_folder_and_no_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EmptyFaceset, match="facegraft extract"):
        Faceset.open(tmp_path)
    with pytest.raises(SourceNotFound, match="facegraft extract"):
        Faceset.open(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    write_one(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadAlignedImage, match=f"bad{suffix} is cut short"):
        Faceset.open(tmp_path)


def test_damaged_pixels_are_named_when_the_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    write_one(path)
    data = bytearray(path.read_bytes())
    data[-2000:-1500] = bytes(500)  # inside the compressed pixels
    path.write_bytes(data)
    with pytest.raises(BadAlignedImage, match=r"bad\.png is damaged"):
        read_image(read_aligned(path))


def test_an_image_without_metadata_and_a_text_file_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "plain.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BadAlignedImage, match=r"plain\.png carries no face metadata"):
        read_aligned(tmp_path / "plain.png")
    (tmp_path / "notes.jpg").write_text("not a picture")
    with pytest.raises(BadAlignedImage, match=r"notes\.jpg is neither"):
        read_aligned(tmp_path / "notes.jpg")


def test_metadata_of_a_future_version_asks_for_an_update(tmp_path: Path) -> None:
    encoded = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    body = b"facegraft:" + json.dumps({"version": 99, "what": "ever"}).encode()
    segment = b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body
    (tmp_path / "new.jpg").write_bytes(encoded[:2] + segment + encoded[2:])
    with pytest.raises(FutureVersion, match="version 99.*update FaceGraft"):
        Faceset.open(tmp_path)


def test_metadata_with_a_missing_value_names_file_and_value(tmp_path: Path) -> None:
    encoded = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    (tmp_path / "odd.png").write_bytes(embed(encoded, {"face_type": "full"}))
    assert read_metadata(tmp_path / "odd.png")["face_type"] == "full"
    with pytest.raises(BadAlignedImage, match=r"odd\.png.*raw_landmarks"):
        Faceset.open(tmp_path)


def test_reframing_to_another_type_equals_aligning_the_frame(tmp_path: Path) -> None:
    _, aligned = write_one(tmp_path / "a.png")
    through = compose(reframe_matrix(aligned, FaceType.HALF, 96), aligned.frame_to_aligned)
    direct = align_matrix(aligned.landmarks, FaceType.HALF, 96)
    np.testing.assert_allclose(through, direct, atol=1e-9)
