"""Orders become lists, names, links and trash, and nothing is lost on the way."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.errors import ParameterError, WriteError
from facegraft.faces.faceset import Faceset
from facegraft.sets.copy_faces import copy_faces
from facegraft.sets.pack import pack_faceset
from facegraft.sets.sort import Order, sort_faces
from facegraft.sets.sort_files import (
    LinkAs,
    change_set,
    culled_faces,
    default_order_path,
    link_order,
    write_order,
)
from facegraft.sets.undo import undo
from tests.engine.sorting_faces import write_face

NAMES = ["c.png", "a b.png", "é.png", "d.png"]  # brightest first


@pytest.fixture
def ordered(tmp_path) -> Order:
    for name, level in zip(NAMES, (220, 160, 100, 40), strict=True):
        write_face(tmp_path / "faces", name, level)
    return sort_faces(Faceset.open(tmp_path / "faces"), "brightness", count=3)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_order_file_lists_place_name_choice_and_value(ordered, tmp_path):
    write_order(tmp_path / "order.csv", ordered)
    with open(tmp_path / "order.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == NAMES
    assert [row["chosen"] for row in rows] == ["1", "1", "1", "0"]
    assert [float(row["value"]) for row in rows] == pytest.approx(
        [level / 255 for level in (220, 160, 100, 40)], abs=1e-4
    )


def test_an_order_replaces_an_order_but_no_other_file(ordered, tmp_path):
    write_order(tmp_path / "order.csv", ordered)
    write_order(tmp_path / "order.csv", ordered)
    (tmp_path / "notes.csv").write_text("mine")
    with pytest.raises(ParameterError, match="is no order file"):
        write_order(tmp_path / "notes.csv", ordered)
    assert (tmp_path / "notes.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("cull", "matches", "expected"),
    [
        ("1", None, NAMES[3:]),
        ("2", None, NAMES[2:]),
        ("99", None, NAMES),
        ("0", None, []),
        ("50%", None, NAMES[2:]),
        ("rest", None, NAMES[3:]),
        ("all", {"a b.png"}, ["a b.png"]),
        ("1", {"c.png", "a b.png"}, ["a b.png"]),
        ("rest", {"c.png"}, []),
    ],
)
def test_a_cull_takes_what_it_says(ordered, cull, matches, expected):
    assert [face.path.name for face in culled_faces(ordered, cull, matches)] == expected


@pytest.mark.parametrize("cull", ["all", "-1", "101%", "some", "", "1.5", "nan%"])
def test_a_cull_that_makes_no_sense_is_refused(ordered, cull):
    with pytest.raises(ParameterError, match="cull"):
        culled_faces(ordered, cull, None)


def test_culled_faces_lie_in_the_trash_and_the_others_are_numbered_and_undo_restores(ordered):
    folder = ordered.faces[0].path.parent
    before = contents(folder)
    change_set(folder, ordered, ordered.faces[3:], rename=True)
    assert names_in(folder) == {"00000.png", "00001.png", "00002.png"}
    assert (folder / "00001.png").read_bytes() == before["a b.png"]
    assert contents(folder / "_trash") == {"d.png": before["d.png"]}
    undo(folder)
    assert contents(folder) == before


def test_numbers_may_stand_in_the_set_already_in_another_order(tmp_path):
    for name, level in (("00000.png", 10), ("00001.png", 90), ("00002.png", 50)):
        write_face(tmp_path, name, level)
    before = contents(tmp_path)
    order = sort_faces(Faceset.open(tmp_path), "brightness")
    change_set(tmp_path, order, (), rename=True)
    after = contents(tmp_path)
    assert [after[f"0000{n}.png"] for n in range(3)] == [
        before["00001.png"], before["00002.png"], before["00000.png"],
    ]  # fmt: skip


KILLED = """
import os, signal, sys
from pathlib import Path
from facegraft.faces.faceset import Faceset
from facegraft.sets.sort import sort_faces
from facegraft.sets.sort_files import change_set
folder, moves = Path(sys.argv[1]), int(sys.argv[2])
order = sort_faces(Faceset.open(folder), "brightness")
rename = os.rename
def counted(*arguments):
    global moves
    if moves == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    moves -= 1
    rename(*arguments)
os.rename = counted
change_set(folder, order, order.faces[3:], True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize("moves", [0, 1, 3])
def test_a_kill_in_the_middle_of_a_sort_loses_nothing(ordered, moves):
    folder = ordered.faces[0].path.parent
    before = contents(folder)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(moves)], timeout=300)
    assert ended.returncode == -signal.SIGKILL
    trash = folder / "_trash"
    found = [*contents(folder).values(), *(contents(trash).values() if trash.exists() else ())]
    assert sorted(found) == sorted(before.values())
    undo(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("kind", LinkAs)
def test_the_chosen_faces_are_linked_in_order(ordered, tmp_path, kind):
    target = tmp_path / "linked"
    assert link_order(target, ordered, kind) == 3
    assert sorted(names_in(target)) == [f"0000{n}_{NAMES[n]}" for n in range(3)]
    linked = target / f"00001_{NAMES[1]}"
    assert linked.read_bytes() == ordered.faces[1].path.read_bytes()
    assert linked.is_symlink() == (kind is LinkAs.SYMLINK)
    if kind is LinkAs.HARDLINK:
        assert os.path.samefile(linked, ordered.faces[1].path)
    assert len(Faceset.open(target)) == 3


def test_links_go_into_new_or_empty_folders_only(ordered, tmp_path):
    target = tmp_path / "linked"
    target.mkdir()
    link_order(target, ordered)
    with pytest.raises(ParameterError, match="there already"):
        link_order(target, ordered)
    assert not list(tmp_path.glob(".linked*"))


def test_a_link_that_fails_leaves_no_folder(ordered, tmp_path):
    ordered.faces[2].path.unlink()
    with pytest.raises(WriteError, match="--link-as copy"):
        link_order(tmp_path / "linked", ordered, LinkAs.HARDLINK)
    assert not (tmp_path / "linked").exists() and not list(tmp_path.glob(".linked*"))


def test_a_packed_set_is_sorted_and_copied_from_but_not_changed(ordered, tmp_path):
    folder = ordered.faces[0].path.parent
    pack = tmp_path / "faces.facepack"
    pack_faceset(folder, pack)
    order = sort_faces(Faceset.open(pack), "brightness", count=3)
    assert [face.path.name for face in order.faces] == NAMES
    assert default_order_path(pack, "brightness") == tmp_path / "faces-by-brightness.csv"
    with pytest.raises(ParameterError, match="--link-as copy"):
        link_order(tmp_path / "linked", order)
    assert link_order(tmp_path / "copied", order, LinkAs.COPY) == 3
    with pytest.raises(ParameterError, match="unpack"):
        change_set(pack, order, order.faces[3:], rename=False)


def test_faces_are_copied_once_and_replace_others_only_when_told(ordered, tmp_path):
    target = tmp_path / "copies"
    assert copy_faces(ordered.faces[:2], target, "two") == 2
    assert copy_faces(ordered.faces[:3], target, "three") == 1
    write_face(target, "d.png", 7)
    other = (target / "d.png").read_bytes()
    with pytest.raises(ParameterError, match="--overwrite"):
        copy_faces(ordered.faces, target, "all")
    assert (target / "d.png").read_bytes() == other
    assert copy_faces(ordered.faces, target, "all", overwrite=True) == 1
    undo(target)
    assert (target / "d.png").read_bytes() == other
    with pytest.raises(ParameterError, match="no face matches"):
        copy_faces((), target, "none")
