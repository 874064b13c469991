"""The order of faces: passes, uniform yaw, changed lists, states, parts of a batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import CheckpointError
from facegraft.faces.face import AlignedFace, Face, Origin
from facegraft.faces.landmarks import Pose
from facegraft.model_spec import FaceType
from facegraft.training.sampling import Sampler, part_rows, random_seed, yaw_bins

ORIGIN = Origin("drawn", "0", 0, "0", 1, 1, "drawn")


def face(name: str, yaw: float = 0.0, digest: str = "") -> AlignedFace:
    points = Face(np.zeros((68, 2), np.float32), (0, 0, 1, 1), 1.0)
    pose = Pose(yaw, 0, 0)
    path = Path(f"{name}.png")
    return AlignedFace(path, points, FaceType.FULL, 64, np.eye(2, 3), pose, ORIGIN, digest or name)


def faces(count: int, first: int = 0) -> list[AlignedFace]:
    return [face(f"{i:04d}", yaw=i * 3.0 - 40) for i in range(first, first + count)]


def names(sampler: Sampler, draws: range) -> list[str]:
    return [s.faces[i].path.stem for draw in draws for s, i in sampler.picks(draw)]


def resumed(sampler: Sampler, draw: int, current: list[AlignedFace], yaw: bool = False) -> Sampler:
    state = json.loads(json.dumps(sampler.state(draw)))
    return Sampler(current, "src", 0, sampler.batch_size, yaw, state)


def test_unchanged_lists_keep_the_order_of_earlier_versions():
    """Every pass is numpy's permutation of (seed, side, "order", pass)."""
    sampler = Sampler(faces(7), "src", 5, 3)
    passes = [
        np.random.default_rng(random_seed(5, "src", "order", k)).permutation(7) for k in range(4)
    ]
    expected = np.concatenate(passes)[:27].tolist()
    assert expected == [i for draw in range(9) for _, i in sampler.picks(draw)]


def test_uniform_yaw_shows_every_turn_equally_often():
    """Ninety faces look ahead and two aside: of 3 bins each gets a third, their faces in turn."""
    crowd = [face(f"{i:04d}", yaw=0.0) for i in range(90)]
    crowd += [face("left", yaw=-50.0), face("right", yaw=50.0)]
    sampler = Sampler(crowd, "src", 0, 3, uniform_yaw=True)
    shown = names(sampler, range(90))
    assert (90, 90) == (shown.count("left"), shown.count("right"))
    ahead = [name for name in shown if name[0] == "0"]
    assert len(set(ahead)) == 90  # each exactly once in its own pass
    for k in range(0, len(shown), 3):  # a round visits each bin once
        assert {"left", "right"} < set(shown[k : k + 3])
    assert shown[3 * 40 : 3 * 41] == names(Sampler(crowd, "src", 0, 3, True), range(40, 41))


def test_yaw_bins_are_those_of_deepfacelab():
    """128 over -1.2 to 1.2 radians of the negative yaw; what is beyond lies in the outermost."""
    width = np.degrees(2.4 / 128)
    yaws = [0.1 * width, 0.9 * width, 1.1 * width, 90.0, 70.0, -90.0, -68.6]
    assert [[3, 4], [2], [0, 1], [5, 6]] == [bin.tolist() for bin in yaw_bins(yaws)]


@pytest.mark.parametrize("yaw", [False, True])
def test_a_changed_list_begins_with_the_next_pass(yaw):
    """What was handed out stays, the pass is finished with its own list, then come the others."""
    sampler = Sampler(faces(10), "src", 0, 4, yaw)
    before = names(sampler, range(2))  # positions 0 to 7
    sampler.decided = 8
    assert 10 == sampler.boundary
    new = sampler.change([*faces(8, first=2), *faces(3, first=20)])
    assert (10, 1) == (new.first, new.number)
    assert before == names(sampler, range(2))
    shown = names(sampler, range(6))
    assert set(shown[:10]) <= {f"{i:04d}" for i in range(10)}
    assert set(shown[10:]) <= {f"{i:04d}" for i in [*range(2, 10), 20, 21, 22]}
    if not yaw:
        assert 10 == len(set(shown[:10])) and 11 == len(set(shown[10:21]))


@pytest.mark.parametrize("yaw", [False, True])
def test_a_state_goes_on_exactly_also_after_a_change(yaw):
    """Stopped before a change, in the pass before it begins, and long after."""
    old, current = faces(10), [*faces(8, first=2), *faces(3, first=20)]
    sampler = Sampler(old, "src", 0, 4, yaw)
    early = resumed(sampler, 1, old, yaw)
    assert names(sampler, range(1, 9)) == names(early, range(1, 9))
    sampler.decided = 8
    sampler.change(current)
    everyone = [*faces(10), *faces(3, first=20)]  # nothing was deleted yet, only announced
    for draw in (1, 2, 5):
        again = resumed(sampler, draw, everyone, yaw)
        assert names(sampler, range(draw, 30)) == names(again, range(draw, 30))
    late = resumed(sampler, 5, current, yaw)  # by then the pass is over the new list
    assert names(sampler, range(5, 30)) == names(late, range(5, 30))


def test_faces_deleted_while_stopped_are_stood_in_for_until_the_pass_ends():
    """All other positions stay what they would have been."""
    sampler = Sampler(faces(10), "src", 0, 4)
    left = [f for f in faces(10) if f.path.stem not in ("0003", "0009")]
    again = resumed(sampler, 1, left)
    stand_in = {"0003": "0004", "0009": "0000"}
    expected = [stand_in.get(name, name) for name in names(sampler, range(1, 2))]
    assert expected == names(again, range(1, 2))
    assert 10 == len(again.stretches[-1].faces)


def test_another_faceset_under_the_same_names_begins_a_new_pass_at_once():
    """Names say little: the pictures' digests tell that these are others."""
    sampler = Sampler(faces(10), "src", 0, 4)
    others = [face(f"{i:04d}", digest=f"other{i}") for i in range(6)]
    again = resumed(sampler, 3, others)
    stretch = again.stretches[0]
    assert (12, 2) == (stretch.first, stretch.number)  # position of draw 3; pass 1 ended early
    assert set(names(again, range(3, 6))) == {f.path.stem for f in others}


def test_another_batch_size_goes_on_at_its_own_position():
    """Positions count faces, so a smaller batch may even lie before the state's stretch."""
    sampler = Sampler(faces(10), "src", 0, 8)
    sampler.decided = 80
    sampler.change(faces(9, first=1))
    again = Sampler(faces(9, first=1), "src", 0, 2, state=sampler.state(11))
    assert 22 - 8 == again.decided  # the change may come as soon as it would have
    assert 9 == len(set(names(again, range(40, 60))))
    assert 2 == len(names(again, range(0, 1)))


def test_a_garbled_state_is_refused():
    """By name of what is missing."""
    with pytest.raises(CheckpointError, match="stretches"):
        Sampler(faces(3), "src", 0, 2, state={"draw": 3, "ahead": 0})
    stretch = {"pass": 0, "first": 0, "digest": "x", "faces": "no base64 zlib"}
    with pytest.raises(CheckpointError, match="sampler"):
        Sampler(faces(3), "src", 0, 2, state={"draw": 3, "ahead": 0, "stretches": [stretch]})


def test_parts_of_a_batch_are_the_whole_batch():
    """Also where it can not be divided evenly."""
    for size, count in ((8, 2), (8, 3), (5, 4)):
        rows = [list(range(size))[part_rows(size, (rank, count))] for rank in range(count)]
        assert list(range(size)) == sum(rows, [])
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_references_depend_on_seed_side_and_draw():
    """And are drawn from the whole list."""
    one, two = (Sampler(faces(20), "dst", seed, 4) for seed in (0, 1))
    drawn = [[i for _, i in one.references(d)] for d in range(50)]
    assert drawn[7] == [i for _, i in Sampler(faces(20), "dst", 0, 4).references(7)]
    assert drawn[7] != [i for _, i in two.references(7)]
    assert set(range(20)) == {i for numbers in drawn for i in numbers}


def test_a_state_is_small():
    """Ten thousand faces in a few ten kilobytes: it goes into every save."""
    many = [face(f"{i:06d}_0", digest=f"{hash((i, 1)) & 0xFFFF:04x}") for i in range(10_000)]
    assert len(json.dumps(Sampler(many, "src", 0, 8).state(0))) < 80_000
