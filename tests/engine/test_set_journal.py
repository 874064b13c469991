"""A change of a set is made wholly or not at all, and the way back leads to the same bytes."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import JournalError, ParameterError, SetInUse, SourceNotFound, WriteError
from facegraft.extract import ExtractParams, extract_faces
from facegraft.media.open import open_source
from facegraft.sets.journal import TRASH, operation
from facegraft.sets.lock import INSIDE
from facegraft.sets.stored import JOURNAL_FOLDER, LOG_NAME, forget_old, stored_operations
from facegraft.sets.undo import forget, operations, undo
from tests.drawn_faces import DiscDetector
from tests.synthetic import make_clip


def make_set(folder: Path, names: str = "abcd") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.png").write_bytes(name.encode())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the set that is not the journal's."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and INSIDE not in path.parts
    }


def test_files_change_names_in_every_permutation_and_back(tmp_path):
    names = [f"{n}.png" for n in "abcd"]
    for number, order in enumerate(itertools.permutations(names)):
        folder = make_set(tmp_path / str(number))
        before = contents(folder)
        with operation(folder, "shuffle") as op:
            op.rename(dict(zip(names, order, strict=True)))
        expected = {new: before[old] for old, new in zip(names, order, strict=True)}
        assert contents(folder) == expected
        if list(order) != names:
            assert undo(folder).notes == ()
        assert contents(folder) == before


def test_a_chain_of_names_moves_on_by_one(tmp_path):
    folder = make_set(tmp_path)
    with operation(folder, "move on") as op:
        op.rename({"a.png": "b.png", "b.png": "c.png", "c.png": "d.png", "d.png": "e.png"})
    assert contents(folder) == {"b.png": b"a", "c.png": b"b", "d.png": b"c", "e.png": b"d"}


def test_the_detour_of_a_ring_meets_no_file_that_moves_too(tmp_path):
    folder = make_set(tmp_path)
    (folder / "moving-b.png").write_bytes(b"m")
    before = contents(folder)
    with operation(folder, "swap") as op:
        op.rename({"a.png": "b.png", "b.png": "a.png", "moving-b.png": "x.png"})
    swapped = {"a.png": b"b", "b.png": b"a", "x.png": b"m", "c.png": b"c", "d.png": b"d"}
    assert contents(folder) == swapped
    undo(folder)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"a.png": "b.png"}, "b.png already"),
        ({"a.png": "x.png", "b.png": "x.png"}, "one name"),
        ({"z.png": "x.png"}, "no z.png"),
        ({"a.png": "../x.png"}, "no name of a file"),
        ({"a.png": "/x.png"}, "no name of a file"),
    ],
)
def test_a_rename_that_would_overwrite_or_leave_the_set_is_refused_untouched(
    tmp_path, names, reason
):
    folder = make_set(tmp_path / "set")
    before = contents(folder)
    with pytest.raises(ParameterError, match=reason):
        with operation(folder, "rename") as op:
            op.rename(names)
    assert contents(folder) == before
    assert operations(folder) == []


def test_operations_are_taken_back_one_by_one_from_the_last(tmp_path):
    folder = make_set(tmp_path)
    states = [contents(folder)]
    with operation(folder, "cull") as op:
        assert op.trash(["a.png", "b.png"]) == {"a.png": "_trash/a.png", "b.png": "_trash/b.png"}
    states.append(contents(folder))
    with operation(folder, "rewrite") as op:
        op.write("c.png", b"new c")
        op.write("new.png", b"new")
    assert contents(folder)["c.png"] == b"new c"
    assert [stored.title for stored in operations(folder)] == ["cull", "rewrite"]
    assert undo(folder).title == "rewrite"
    assert contents(folder) == states[1]
    assert undo(folder).title == "cull"
    assert contents(folder) == states[0]
    with pytest.raises(ParameterError, match="nothing to undo"):
        undo(folder)


def test_the_trash_keeps_two_files_of_one_name(tmp_path):
    folder = make_set(tmp_path)
    for content in (b"first", b"second"):
        (folder / "a.png").write_bytes(content)
        with operation(folder, "cull") as op:
            op.trash(["a.png"])
    assert (folder / TRASH / "a.png").read_bytes() == b"first"
    assert (folder / TRASH / "a-2.png").read_bytes() == b"second"


def test_an_error_takes_back_all_that_was_done_before_it(tmp_path):
    folder = make_set(tmp_path)
    before = contents(folder)
    with pytest.raises(RuntimeError):
        with operation(folder, "half") as op:
            op.rename({"a.png": "z.png", "b.png": "a.png"})
            op.write("c.png", b"new")
            op.write("c.png", b"newer")
            op.write("sub/e.png", b"e")
            op.trash(["d.png"])
            raise RuntimeError
    assert contents(folder) == before
    assert operations(folder) == []


def test_what_changes_nothing_is_not_noted(tmp_path):
    with operation(make_set(tmp_path), "nothing") as op:
        op.rename({"a.png": "a.png"})
    assert operations(tmp_path) == []


def test_a_file_changed_by_hand_since_goes_to_the_trash_when_undone(tmp_path):
    folder = make_set(tmp_path)
    with operation(folder, "rewrite") as op:
        op.write("a.png", b"ours")
        op.write("new.png", b"new")
    (folder / "a.png").write_bytes(b"by hand")
    (folder / "new.png").write_bytes(b"by hand too")
    notes = undo(folder).notes
    assert contents(folder)["a.png"] == b"a"
    assert contents(folder)["_trash/a.png"] == b"by hand"
    assert contents(folder)["new.png"] == b"by hand too"
    assert any("_trash/a.png" in note for note in notes)
    assert any("new.png stays" in note for note in notes)


def test_undo_never_overwrites_a_file_that_took_a_name_since(tmp_path):
    folder = make_set(tmp_path)
    with operation(folder, "rename") as op:
        op.rename({"a.png": "z.png"})
    (folder / "a.png").write_bytes(b"another")
    assert "there is another a.png" in undo(folder).notes[0]
    assert contents(folder)["a.png"] == b"another" and contents(folder)["z.png"] == b"a"


def test_a_half_written_log_line_is_a_change_that_was_not_made(tmp_path):
    folder = make_set(tmp_path)
    before = contents(folder)
    with operation(folder, "rewrite") as op:
        op.write("a.png", b"new")
    log = folder / INSIDE / JOURNAL_FOLDER / "000001" / LOG_NAME
    log.write_bytes(log.read_bytes().removesuffix(b'{"do": "done"}\n') + b'{"do": "move", "fr')
    assert not stored_operations(folder)[0].is_done
    assert undo(folder).notes == ("it had been interrupted",)
    assert contents(folder) == before


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"outside")
    folder = make_set(tmp_path / "set")
    (folder / "link.png").symlink_to(outside)
    with operation(folder, "rewrite") as op:
        op.write("link.png", b"new")
    assert outside.read_bytes() == b"outside"
    assert not (folder / "link.png").is_symlink()
    undo(folder)
    assert (folder / "link.png").readlink() == outside


def test_names_with_spaces_other_scripts_and_bytes_that_are_no_text_come_back(tmp_path):
    odd = ["two words.png", "лицо 顔 é.png", os.fsdecode(b"latin-\xe9.png")]
    for name in odd:
        try:
            (tmp_path / name).write_bytes(os.fsencode(name))
        except OSError:  # a file system that takes text only
            odd.remove(name)
    before = contents(tmp_path)
    with operation(tmp_path, "umbenennen – 顔") as op:
        op.rename({name: f"{n}.png" for n, name in enumerate(odd)})
        op.write("0.png", b"new")
        op.trash(["1.png"])
    assert operations(tmp_path)[0].title == "umbenennen – 顔"
    assert undo(tmp_path).notes == ()
    assert contents(tmp_path) == before


def test_the_oldest_operations_are_forgotten_beyond_the_limit_but_never_the_last(tmp_path):
    folder = make_set(tmp_path)
    for number in range(3):
        with operation(folder, f"rewrite {number}") as op:
            op.write("a.png", bytes(1000))
    assert forget_old(folder, most_bytes=2600) == 1
    assert [stored.title for stored in operations(folder)] == ["rewrite 1", "rewrite 2"]
    assert forget_old(folder, most_bytes=10) == 1
    assert [stored.title for stored in operations(folder)] == ["rewrite 2"]


def test_forgetting_frees_the_former_files_and_keeps_the_present_ones(tmp_path):
    folder = make_set(tmp_path)
    with operation(folder, "rewrite") as op:
        op.write("a.png", b"new")
    count, size = forget(folder)
    assert count == 1 and size > 0
    assert contents(folder)["a.png"] == b"new"
    assert list((folder / INSIDE / JOURNAL_FOLDER).iterdir()) == []


_HOLD = """
import sys, time
from pathlib import Path
from facegraft.sets.journal import operation
with operation(Path(sys.argv[1]), "long work") as op:
    op.rename({"a.png": "z.png"})
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_with_the_first_ones_name_and_a_kill_takes_its_work_back(
    tmp_path,
):
    folder = make_set(tmp_path)
    before = contents(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(SetInUse, match=f"changed by process {process.pid} on .* since"):
            with operation(folder, "second"):
                pass
    finally:
        process.kill()
        process.wait()
    assert "z.png" in contents(folder)
    with operation(folder, "second") as op:
        op.write("e.png", b"e")
    assert contents(folder) == {**before, "e.png": b"e"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_folder_is_named_and_left_as_it_is(tmp_path):
    folder = make_set(tmp_path / "set")
    before = contents(folder)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from facegraft.sets.journal import operation\n"
        "from facegraft.errors import WriteError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # permissions do not bind root
        "try:\n"
        "    with operation(Path(sys.argv[1]), 'x'): pass\n"
        "except WriteError as error: print(error)\n"
    )
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    folder.chmod(0o555)
    try:
        told = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True
        )
    finally:
        folder.chmod(0o755)
    assert "cannot write" in told.stdout and "Permission denied" in told.stdout, told.stderr
    assert contents(folder) == before


def test_a_pack_a_missing_folder_and_a_strange_log_are_refused_with_the_next_step(tmp_path):
    (tmp_path / "x.facepack").write_bytes(b"")
    with pytest.raises(ParameterError, match="faceset unpack"):
        with operation(tmp_path / "x.facepack", "x"):
            pass
    with pytest.raises(SourceNotFound, match="facegraft extract"):
        with operation(tmp_path / "none", "x"):
            pass
    folder = make_set(tmp_path / "set")
    with operation(folder, "x") as op:
        op.write("a.png", b"new")
    log = folder / INSIDE / JOURNAL_FOLDER / "000001" / LOG_NAME
    log.write_bytes(b'{"version": 99, "title": "", "since": ""}\n')
    with pytest.raises(JournalError, match="version 99"):
        undo(folder)


def test_a_folder_that_cannot_be_made_is_a_write_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError):
        with operation(tmp_path / "file" / "set", "x", create=True):
            pass


def test_extraction_into_a_set_that_is_being_changed_is_refused(tmp_path):
    make_clip(tmp_path / "clip.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2)
    with open_source(tmp_path / "clip.mp4") as source:
        with operation(make_set(tmp_path / "set"), "long work"):
            with pytest.raises(SetInUse, match="is being changed by process"):
                extract_faces(source, tmp_path / "set", ExtractParams(), DiscDetector())


def test_a_former_file_whose_log_line_a_power_cut_took_goes_to_the_trash(tmp_path):
    folder = make_set(tmp_path)
    with operation(folder, "rewrite") as op:
        op.write("a.png", b"new a")
        op.write("b.png", b"new b")
    log = folder / INSIDE / JOURNAL_FOLDER / "000001" / LOG_NAME
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]))  # the head and the first step
    undo(folder)
    assert contents(folder) == {
        "a.png": b"a", "b.png": b"new b", "c.png": b"c", "d.png": b"d", "_trash/000002.png": b"b",
    }  # fmt: skip
