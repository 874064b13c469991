"""A packed set is the folder in one ordinary ZIP file: same faces, same bytes, read in place."""

import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import (
    BadAlignedImage,
    BadPack,
    Cancelled,
    EmptyFaceset,
    FacesetError,
    ParameterError,
    SourceNotFound,
)
from facegraft.faces.faceset import (
    Faceset,
    aligned_bytes,
    encode_image,
    encode_mask,
    read_image,
    read_mask,
)
from facegraft.faces.metadata import read_bytes
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from facegraft.sets.pack import pack_faceset, unpack_faceset
from facegraft.sets.undo import undo
from facegraft.training.face_cache import load_square
from facegraft.training.folder_watch import list_changes
from tests.engine.set_faces import file_bytes, write_face, write_set


@pytest.fixture
def folder(tmp_path) -> Path:
    """PNG and JPEG, several sizes, one with a mask, and what else lies in a set."""
    folder = write_set(tmp_path / "my faces – 顔", 3)
    write_face(folder / "Ünï côde 7_0.jpg", size=64)
    face = Faceset.open(folder)[0]
    mask = np.zeros((96, 96), np.uint8)
    mask[20:50, 30:60] = 255
    picture = encode_image(read_image(face), ".png")
    face.path.write_bytes(aligned_bytes(face, picture, encode_mask(mask))[1])
    (folder / "notes.txt").write_text("not a face")
    (folder / "_trash").mkdir()
    (folder / "_trash" / "culled.png").write_bytes(b"")
    return folder


def test_a_pack_holds_the_faces_of_the_folder_and_nothing_else_and_any_unzip_opens_it(
    folder, tmp_path
):
    pack = tmp_path / "a pack.facepack"
    packed = pack_faceset(folder, pack)
    assert packed.face_count == 4 and packed.byte_count == pack.stat().st_size
    with zipfile.ZipFile(pack) as file:
        assert file.testzip() is None
        held = {name: file.read(name) for name in file.namelist()}
    assert held == {n: data for n, data in file_bytes(folder).items() if n != "notes.txt"}


def test_a_pack_is_read_in_place_as_the_folder_is(folder, tmp_path):
    pack = tmp_path / "faces.facepack"
    pack_faceset(folder, pack)
    from_folder, from_pack = Faceset.open(folder), Faceset.open(pack)
    assert from_pack.digest == from_folder.digest
    for one, other in zip(from_folder, from_pack, strict=True):
        assert other.path == pack / one.path.name
        assert one.path.read_bytes() == read_bytes(other.path)
        np.testing.assert_array_equal(read_image(one), read_image(other))
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        assert (read_mask(one) is None) == (read_mask(other) is None)
    np.testing.assert_array_equal(read_mask(from_folder[0]), read_mask(from_pack[0]))


def test_unpacking_gives_the_same_files_and_undo_takes_them_away(folder, tmp_path):
    pack, out = tmp_path / "faces.facepack", tmp_path / "new" / "out"
    pack_faceset(folder, pack)
    assert unpack_faceset(pack, out).face_count == 4
    expected = {n: data for n, data in file_bytes(folder).items() if n != "notes.txt"}
    assert file_bytes(out) == expected
    assert unpack_faceset(pack, out).present_count == 4
    (out / "00000_0.png").write_bytes(b"another")
    with pytest.raises(ParameterError, match="00000_0.png is there with other content"):
        unpack_faceset(pack, out)
    unpack_faceset(pack, out, overwrite=True)
    assert file_bytes(out) == expected
    undo(out)
    assert file_bytes(out) == {**expected, "00000_0.png": b"another"}
    undo(out)
    assert file_bytes(out) == {"00000_0.png": b"another"}


def test_equal_sets_make_equal_files(folder, tmp_path):
    packs = [tmp_path / "one.facepack", tmp_path / "two.facepack"]
    for pack in packs:
        pack_faceset(folder, pack)
        os.utime(folder / "00000_0.png", (1, 1))
    assert packs[0].read_bytes() == packs[1].read_bytes()


def test_a_pack_that_another_program_compressed_is_read_too(folder, tmp_path):
    pack = tmp_path / "zipped.facepack"
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as file:
        for path in folder.glob("*.*g"):
            file.write(path, path.name)
    for one, other in zip(Faceset.open(folder), Faceset.open(pack), strict=True):
        np.testing.assert_array_equal(read_image(one), read_image(other))


def test_many_threads_read_one_pack(folder, tmp_path):
    pack = tmp_path / "faces.facepack"
    pack_faceset(folder, pack)
    faces = list(Faceset.open(pack))
    expected = [read_image(face) for face in Faceset.open(folder)]
    wrong: list[str] = []

    def read(offset: int) -> None:
        for n in range(30):
            number = (n + offset) % len(faces)
            if not np.array_equal(read_image(faces[number]), expected[number]):
                wrong.append(faces[number].path.name)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_training_sees_when_its_pack_is_made_anew(folder, tmp_path):
    pack = tmp_path / "faces.facepack"
    pack_faceset(folder, pack)
    names = frozenset(face.path.name for face in Faceset.open(pack))
    first = list_changes(pack, names, {})
    assert not first.came and not first.gone
    (folder / "00001_0.png").unlink()
    write_face(folder / "new_0.png")
    pack_faceset(folder, pack, overwrite=True)
    second = list_changes(pack, names, first.stamps)
    assert [face.path.name for face in second.came] == ["new_0.png"]
    assert second.gone == {"00001_0.png"}


def test_a_pack_is_not_replaced_unasked_and_has_its_suffix(folder, tmp_path):
    pack = tmp_path / "faces.facepack"
    pack.write_bytes(b"mine")
    with pytest.raises(ParameterError, match="--overwrite"):
        pack_faceset(folder, pack)
    assert pack.read_bytes() == b"mine"
    with pytest.raises(ParameterError, match="NAME.facepack"):
        pack_faceset(folder, tmp_path / "faces.zip")


def test_a_half_written_image_is_named_or_left_out(folder, tmp_path):
    whole = (folder / "00001_0.png").read_bytes()
    (folder / "00001_0.png").write_bytes(whole[: len(whole) // 2])
    pack = tmp_path / "faces.facepack"
    with pytest.raises(BadAlignedImage, match="00001_0.png is cut short"):
        pack_faceset(folder, pack)
    assert list(tmp_path.iterdir()) == [folder]
    packed = pack_faceset(folder, pack, skip_bad=True)
    assert packed.face_count == 3 and "00001_0.png" in packed.skipped[0]


def test_a_stopped_packing_leaves_no_file(folder, tmp_path):
    class Stopped(Silent):
        cancelled = True

    with pytest.raises(Cancelled):
        pack_faceset(folder, tmp_path / "faces.facepack", Stopped())
    assert list(tmp_path.iterdir()) == [folder]


def test_damage_is_told_by_the_checksum_and_a_cut_pack_by_its_missing_end(folder, tmp_path):
    pack = tmp_path / "faces.facepack"
    pack_faceset(folder, pack)
    data = bytearray(pack.read_bytes())
    at = data.find(b"IDAT") + 40
    data[at] ^= 255
    (tmp_path / "damaged.facepack").write_bytes(data)
    with pytest.raises(BadAlignedImage, match="00000_0.png is damaged"):
        read_bytes(tmp_path / "damaged.facepack" / "00000_0.png")
    (tmp_path / "cut.facepack").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadPack, match="cut short"):
        Faceset.open(tmp_path / "cut.facepack")


def test_what_is_no_set_is_refused_with_the_next_step(tmp_path):
    with pytest.raises(SourceNotFound, match="facegraft extract"):
        Faceset.open(tmp_path / "none.facepack")
    (tmp_path / "text.facepack").write_text("hello")
    with pytest.raises(BadPack, match="no packed faceset"):
        Faceset.open(tmp_path / "text.facepack")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyFaceset, match="nothing to pack"):
        pack_faceset(tmp_path / "empty", tmp_path / "empty.facepack")


def test_names_that_lead_out_of_the_folder_are_no_faces(tmp_path):
    folder = write_set(tmp_path / "set", 1)
    data = (folder / "00000_0.png").read_bytes()
    pack = tmp_path / "evil.facepack"
    with zipfile.ZipFile(pack, "w") as file:
        for name in ("../out.png", "/tmp/out.png", "sub/in.png", "good.png", ".hidden.png"):
            file.writestr(name, data)
    unpacked = unpack_faceset(pack, tmp_path / "out")
    assert set(file_bytes(tmp_path / "out")) == {"good.png"} and len(unpacked.skipped) == 4
    assert not (tmp_path / "out.png").exists()


def test_every_bad_file_of_a_set_is_named_at_once(tmp_path):
    folder = write_set(tmp_path / "set", 6)
    for n in range(5):
        (folder / f"{n:05d}_0.png").write_bytes(b"" if n else b"\x89PNG\r\n\x1a\n half")
    (folder / "broken link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(FacesetError) as told:
        Faceset.open(folder)
    lines = str(told.value).splitlines()
    assert len(lines) == 4 and lines[-1] == "and 3 more"
    assert "00000_0.png" in lines[0] and "00001_0.png is empty" in lines[1]


def test_a_set_of_links_is_read_like_its_files(tmp_path):
    folder = write_set(tmp_path / "set", 3)
    links = tmp_path / "links"
    links.mkdir()
    for path in folder.iterdir():
        (links / path.name).symlink_to(path)
    (tmp_path / "linked folder").symlink_to(links)
    assert Faceset.open(tmp_path / "linked folder").digest == Faceset.open(folder).digest
    pack_faceset(links, tmp_path / "links.facepack")
    assert Faceset.open(tmp_path / "links.facepack").digest == Faceset.open(folder).digest


def test_training_cuts_the_same_squares_from_a_pack(folder, tmp_path):
    pack = tmp_path / "faces.facepack"
    pack_faceset(folder, pack)
    for one, other in zip(Faceset.open(folder), Faceset.open(pack), strict=True):
        np.testing.assert_array_equal(
            load_square(one, FaceType.FULL, 64, 8), load_square(other, FaceType.FULL, 64, 8)
        )
