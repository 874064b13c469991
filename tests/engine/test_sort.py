"""Every order of `SORTS`, on sets whose right order is known by construction."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import BadAlignedImage, ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.sets.sort import DFL_NAMES, SORTS, sort_faces
from tests.engine.sorting_faces import SIDE, blurred, moved, texture, turned, write_face
from tests.engine.test_embedding import write_embedder

SHUFFLED = [3, 0, 4, 1, 2]  # the place in the right order of the face with each name


def names_by(folder: Path, key: str, **options) -> list[str]:
    order = sort_faces(Faceset.open(folder), key, **options)
    return [face.path.stem for face in order.faces]


def write_shuffled(folder: Path, pictures=None, **values) -> list[str]:
    """Five faces; what `pictures` and `values` list in the right order is written under shuffled
    names. Gives the names in the right order.
    """
    for name, place in enumerate(SHUFFLED):
        chosen = {key: listed[place] for key, listed in values.items()}
        picture = 128 if pictures is None else pictures[place]
        write_face(folder, f"{name}.png", picture, **chosen)
    return [str(SHUFFLED.index(place)) for place in range(5)]


PICTURES = {
    "blur": [blurred(texture(), s) for s in (0, 0.7, 1.2, 2, 4)],
    "motion-blur": [moved(texture(), n, 30) for n in (1, 3, 5, 8, 14)],
    "brightness": [230, 180, 120, 60, 20],
    # dark or pale does not count: blue, magenta-red, red, orange, green
    "hue": [(90, 90, 200), (200, 40, 90), (120, 60, 60), (250, 190, 150), (60, 200, 70)],
}
VALUES = {
    "yaw": {"landmarks": [turned(yaw) for yaw in (-50, -20, 0, 15, 45)]},
    "pitch": {"landmarks": [turned(0, pitch) for pitch in (-25, -10, 0, 10, 25)]},
    "source-size": {"size_px": [400.0, 300.0, 200.0, 100.0, 50.0]},
    "confidence": {"score": [0.99, 0.9, 0.8, 0.7, 0.6]},
    "origname": {"source": ["a 2.mp4", "a 2.mp4", "a 10.mp4", "b.mp4", "b.mp4"],
                 "frame": [7, 30, 1, 9, 10]},
}  # fmt: skip


@pytest.mark.parametrize("key", PICTURES)
def test_an_order_by_pictures_is_the_one_they_were_drawn_in(key, tmp_path):
    expected = write_shuffled(tmp_path, PICTURES[key])
    assert names_by(tmp_path, key) == expected
    assert names_by(tmp_path, key, reverse=True) == expected[::-1]


@pytest.mark.parametrize("key", VALUES)
def test_an_order_by_what_the_face_says_of_itself_is_the_one_it_was_given(key, tmp_path):
    expected = write_shuffled(tmp_path, **VALUES[key])
    assert names_by(tmp_path, key) == expected


def test_roll_goes_from_tilted_left_to_tilted_right(tmp_path):
    tilts = []
    for angle in np.radians([-40, -15, 0, 20, 50]):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        tilts.append(((turned() - 100) @ turn.T + 100).astype(np.float32))
    expected = write_shuffled(tmp_path, landmarks=tilts)
    assert names_by(tmp_path, "roll") == expected


def test_black_counts_the_square_beyond_the_frames_edge(tmp_path):
    pictures = []
    for width in (0, 20, 60, 100, 140):
        picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
        picture[:, :width] = 3  # as dark as a codec's black
        pictures.append(picture)
    expected = write_shuffled(tmp_path, pictures)
    order = sort_faces(Faceset.open(tmp_path), "black")
    assert [face.path.stem for face in order.faces] == expected
    assert order.values == pytest.approx([w / SIDE for w in (0, 20, 60, 100, 140)])


@pytest.mark.parametrize("key", ["hist", "absdiff"])
def test_a_chain_of_slowly_changing_pictures_runs_from_one_end_to_the_other(key, tmp_path):
    levels = np.array([20, 29, 39, 50, 62, 75, 89, 104, 120, 137, 155])  # steps grow to the bright
    places = np.random.default_rng(1).permutation(len(levels))
    for name, place in enumerate(places):
        # grain spreads each histogram over bins, so that neighbours share some
        grain = np.random.default_rng(place).normal(0, 12, (SIDE, SIDE, 1))
        picture = np.repeat(np.clip(levels[place] + grain, 0, 255).astype(np.uint8), 3, axis=2)
        write_face(tmp_path, f"{name:02d}.png", picture)
    order = [int(places[int(name)]) for name in names_by(tmp_path, key)]
    assert order in (sorted(order), sorted(order, reverse=True))


def test_the_histogram_most_unlike_all_others_comes_first(tmp_path):
    for name, level in {"a": 100, "b": 104, "odd": 230, "c": 96, "d": 102}.items():
        grain = np.random.default_rng(level).normal(0, 8, (SIDE, SIDE, 1))
        picture = np.repeat(np.clip(level + grain, 0, 255).astype(np.uint8), 3, axis=2)
        write_face(tmp_path, f"{name}.png", picture)
    assert names_by(tmp_path, "hist-dissim")[0] == "odd"


def test_the_dissimilar_order_takes_each_time_the_picture_farthest_from_all_before(tmp_path):
    levels = {"a": 0, "b": 10, "c": 100, "d": 130, "e": 255}
    for name, level in levels.items():
        write_face(tmp_path, f"{name}.png", level)
    # mean 99: e is farthest; then a (255 away); then d (125 to e); then c (30 to d); then b (10)
    assert names_by(tmp_path, "absdiff-dissim") == ["e", "a", "d", "c", "b"]


def test_one_face_per_frame_keeps_the_largest_of_each(tmp_path):
    for name, frame, size in (("a", 1, 50), ("b", 1, 90), ("c", 2, 40), ("d", 1, 60)):
        write_face(tmp_path, f"{name}.png", frame=frame, size_px=float(size))
    write_face(tmp_path, "e.png", frame=1, size_px=10.0, source="other.mp4")
    order = sort_faces(Faceset.open(tmp_path), "oneface")
    assert [face.path.stem for face in order.faces] == ["b", "c", "e", "a", "d"]
    assert order.kept == 3


def test_identity_puts_those_like_the_majority_first_and_strangers_last(tmp_path):
    network = write_embedder(tmp_path / "who.onnx")  # sees the mean colour
    faces = tmp_path / "faces"
    skins = {"a": (200, 120, 90), "b": (202, 120, 90), "c": (198, 120, 92), "d": (60, 200, 90),
             "e": (180, 130, 90)}  # fmt: skip
    for name, skin in skins.items():
        write_face(faces, f"{name}.png", skin)
    order = names_by(faces, "identity", network=network)
    assert set(order[:3]) == {"a", "b", "c"}
    assert order[3:] == ["e", "d"]
    assert names_by(faces, "identity", network=network) == order  # from what the set kept


def test_identity_without_a_network_says_what_to_give(tmp_path):
    write_face(tmp_path, "a.png")
    with pytest.raises(ParameterError, match="--embedding"):
        names_by(tmp_path, "identity")


def write_poses(folder: Path) -> None:
    """40 faces that look ahead, 3 to the left, 2 to the right, of falling sharpness."""
    pictures = [blurred(texture(n), 0.5 + n / 8) for n in range(8)]
    for n in range(40):
        write_face(folder, f"front{n:02d}.png", pictures[n % 8], turned(1.0), 100.0 + n, frame=n)
    for n in range(3):
        write_face(folder, f"left{n}.png", pictures[n], turned(-40), frame=50 + n)
    for n in range(2):
        write_face(folder, f"right{n}.png", pictures[n], turned(40), frame=60 + n)


@pytest.mark.parametrize("key", ["final", "final-fast"])
def test_a_final_choice_keeps_rare_poses_whole_and_fills_up_with_common_ones(key, tmp_path):
    write_poses(tmp_path)
    order = sort_faces(Faceset.open(tmp_path), key, count=12)
    chosen = [face.path.stem for face in order.faces[: order.kept]]
    assert len(chosen) == 12 and len(order.faces) == 45
    assert sorted(n for n in chosen if "front" not in n) == [
        "left0", "left1", "left2", "right0", "right1",
    ]  # fmt: skip
    assert chosen[:3] == ["left0", "left1", "left2"]  # in the order of yaw
    assert sum("front" in name for name in chosen) == 7


def test_the_final_choice_takes_sharp_faces_and_the_fast_one_large_ones(tmp_path):
    write_poses(tmp_path)
    faceset = Faceset.open(tmp_path)
    fronts = [
        face.path.stem
        for face in sort_faces(faceset, "final", count=7).faces[:7]
        if "front" in face.path.stem
    ]
    assert fronts and all(int(name[5:]) % 8 < 3 for name in fronts)  # among the sharpest third
    fast = sort_faces(faceset, "final-fast", count=7)
    sizes = [f.face.size_px for f in fast.faces[:7] if "front" in f.path.stem]
    assert min(sizes) >= 139 - 3 * len(sizes)


def test_count_says_how_many_of_an_order_are_chosen(tmp_path):
    write_shuffled(tmp_path, PICTURES["brightness"])
    assert sort_faces(Faceset.open(tmp_path), "brightness", count=2).kept == 2
    assert sort_faces(Faceset.open(tmp_path), "brightness", count=99).kept == 5


def test_faces_that_are_alike_keep_the_order_of_their_names(tmp_path):
    for name in "dbca":
        write_face(tmp_path, f"{name}.png")
    for key in SORTS:
        if key != "identity":
            names = names_by(tmp_path, key)
            assert sorted(names) == ["a", "b", "c", "d"], key
            if key not in ("hist", "absdiff", "absdiff-dissim", "oneface", "final", "final-fast"):
                assert names == ["a", "b", "c", "d"], key


@pytest.mark.parametrize("key", [key for key in SORTS if key != "identity"])
def test_every_order_of_one_and_of_two_faces_holds_them_all(key, tmp_path):
    write_face(tmp_path, "a.png", 100)
    assert names_by(tmp_path, key) == ["a"]
    write_face(tmp_path, "b.png", 200, frame=1)
    assert sorted(names_by(tmp_path, key)) == ["a", "b"]


def test_a_picture_that_does_not_read_comes_last_and_is_named(tmp_path):
    write_face(tmp_path, "good.png", texture())
    broken = write_face(tmp_path, "bad.png", texture(1))
    data = bytearray(broken.path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    broken.path.write_bytes(data)
    order = sort_faces(Faceset.open(tmp_path), "blur")
    assert [face.path.stem for face in order.faces] == ["good", "bad"]
    assert order.kept == 1 and "bad.png" in order.damaged[0]
    (tmp_path / "good.png").unlink()
    with pytest.raises(BadAlignedImage, match="bad.png"):
        sort_faces(Faceset.open(tmp_path), "blur")


def test_an_unknown_order_and_a_count_of_none_are_refused(tmp_path):
    write_face(tmp_path, "a.png")
    with pytest.raises(ParameterError, match="no order 'size'; there are blur"):
        names_by(tmp_path, "size")
    with pytest.raises(ParameterError, match="at least 1"):
        names_by(tmp_path, "blur", count=0)


def test_names_that_deepfacelab_gave_orders_are_understood():
    assert set(DFL_NAMES.values()) <= set(SORTS)
