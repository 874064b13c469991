"""What orders are made of: measures of pictures, chains, balanced choices, and what is kept."""

import cv2
import numpy as np
import pytest
from skimage.measure import blur_effect as skimage_blur_effect

from facegraft.errors import Cancelled
from facegraft.faces.faceset import Faceset
from facegraft.progress import Silent
from facegraft.sets import picture_measures
from facegraft.sets.measure_store import load_records
from facegraft.sets.measures import measure_pictures
from facegraft.sets.picture_measures import RECORD, VERSION, blur_effect, motion_effect
from facegraft.sets.select import select_balanced, share_out
from facegraft.sets.similarity import (
    chain,
    nearest,
    spread,
    total_distance,
    typical_likeness,
    unit_rows,
    unusual,
)
from facegraft.sets.sort import sort_faces
from tests.engine.sorting_faces import SIDE, blurred, moved, texture, turned, write_face

EVERYWHERE = np.ones((SIDE, SIDE), np.uint8)


@pytest.mark.parametrize("sigma", [0, 0.7, 1.5, 3, 6])
def test_the_blur_measure_is_that_of_scikit_image(sigma):
    gray = blurred(texture(3), sigma)[..., 0]
    expected = skimage_blur_effect(gray.astype(np.float64), h_size=11)
    assert blur_effect(gray, EVERYWHERE) == pytest.approx(expected, abs=0.02)


def test_contrast_and_exposure_do_not_change_the_sharpness():
    picture = blurred(texture(3), 1)[..., 0]
    pale = (picture * 0.4 + 120).astype(np.uint8)
    assert blur_effect(pale, EVERYWHERE) == pytest.approx(
        blur_effect(picture, EVERYWHERE), abs=0.02
    )


def test_only_pixels_that_count_are_measured():
    picture = texture(3)[..., 0]
    picture[:, SIDE // 2 :] = blurred(texture(3), 5)[:, SIDE // 2 :, 0]
    left = EVERYWHERE.copy()
    left[:, SIDE // 2 - 8 :] = 0
    assert blur_effect(picture, left) < blur_effect(picture, 1 - left) - 0.2


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 135, 160])
def test_motion_blur_is_seen_in_every_direction_and_grows_with_its_length(degrees):
    values = [motion_effect(moved(texture(2), n, degrees)[..., 0], EVERYWHERE) for n in (1, 4, 12)]
    assert values[0] < 0.15 < 0.25 < values[1] < values[2]


def test_a_picture_out_of_focus_is_not_taken_for_one_in_motion():
    for sigma in (0, 1, 3):
        assert motion_effect(blurred(texture(2), sigma)[..., 0], EVERYWHERE) < 0.12


def unit_noise(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    return unit_rows(np.abs(np.random.default_rng(seed).standard_normal((count, size))))


def byte_noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16)).astype(np.uint8)


def all_distances(rows: np.ndarray) -> np.ndarray:
    """(N, N), the plain way."""
    if rows.dtype == np.uint8:
        wide = rows.astype(np.int64)
        return np.abs(wide[:, None] - wide[None]).sum(axis=2).astype(np.float64)
    return 1 - rows.astype(np.float64) @ rows.T.astype(np.float64)


@pytest.mark.parametrize("rows", [unit_noise(150), byte_noise(150)], ids=["dot", "absolute"])
def test_a_chain_is_the_greedy_one_step_by_step(rows):
    distances = all_distances(rows)
    order = chain(rows)
    assert sorted(order) == list(range(150)) and order[0] == unusual(rows)
    for n in range(149):
        left = order[n + 1 :]
        # equal to what single precision tells apart
        assert distances[order[n], order[n + 1]] <= distances[order[n], left].min() + 1e-6


@pytest.mark.parametrize("rows", [unit_noise(80), byte_noise(80)], ids=["dot", "absolute"])
def test_the_nearest_are_those_of_the_whole_table(rows):
    expected = all_distances(rows)
    np.fill_diagonal(expected, np.inf)
    distances, places = nearest(rows, 5)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :5], atol=1e-6)
    assert all(n not in row for n, row in enumerate(places.tolist()))


def test_many_equal_pictures_are_neighbours_of_each_other_and_never_of_themselves():
    rows = np.zeros((40, 16), np.uint8)
    distances, places = nearest(rows, 5)
    assert not distances.any()
    assert all(n not in row for n, row in enumerate(places.tolist()))
    assert sorted(chain(rows)) == list(range(40))


@pytest.mark.parametrize("rows", [unit_noise(60), byte_noise(60)], ids=["dot", "absolute"])
def test_a_spread_takes_the_one_farthest_from_all_before(rows):
    distances = all_distances(rows)
    order = spread(rows, 20)
    for n in range(1, 20):
        to_chosen = distances[:, order[:n]].min(axis=1)
        assert to_chosen[order[n]] >= np.delete(to_chosen, order[:n]).max() - 1e-6


def test_the_sum_of_distances_is_that_of_the_whole_table():
    rows = unit_noise(70)
    expected = np.sqrt(np.maximum(all_distances(rows), 0)).sum(axis=1)
    np.testing.assert_allclose(total_distance(rows), expected, rtol=1e-3)


def test_strangers_have_no_say_in_who_the_set_shows():
    rng = np.random.default_rng(0)
    person, stranger = np.eye(8)[0], np.eye(8)[1]
    rows = unit_rows(np.vstack([person + 0.05 * rng.standard_normal((12, 8)),
                                stranger + 0.05 * rng.standard_normal((8, 8))]))  # fmt: skip
    likeness = typical_likeness(rows)
    assert likeness[:12].min() > 0.95 and likeness[12:].max() < 0.3


@pytest.mark.parametrize(
    ("held", "total", "expected"),
    [
        ([10, 10, 10], 9, [3, 3, 3]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([2, 1, 50], 20, [2, 1, 17]),
        ([5, 5], 99, [5, 5]),
        ([4, 4, 4], 4, [1, 1, 2]),  # what does not divide goes to the favoured
        ([4, 4, 4], 0, [0, 0, 0]),
    ],
)
def test_shares_are_as_even_as_what_is_held_allows(held, total, expected):
    shares = share_out(np.array(held), total, np.array([0.1, 0.2, 0.3])[: len(held)])
    assert shares.tolist() == expected


def test_a_balanced_choice_has_every_pose_and_no_pose_twice_as_often():
    yaw = np.repeat([-32.0, -2.0, 33.0], [100, 1000, 100])
    pitch = np.tile([-8.0, 7.0], 600)
    quality = np.random.default_rng(0).random(1200)
    chosen = select_balanced(yaw, pitch, quality, 60)
    assert len(set(chosen.tolist())) == 60
    cells = {(y, p): ((yaw[chosen] == y) & (pitch[chosen] == p)).sum() for y in set(yaw)
             for p in set(pitch)}  # fmt: skip
    assert set(cells.values()) == {10}
    best = np.sort(quality[(yaw == -2) & (pitch == 7)])[-10:]
    taken = quality[chosen][(yaw[chosen] == -2) & (pitch[chosen] == 7)]
    np.testing.assert_array_equal(np.sort(taken), best)


def test_faces_are_measured_once_and_again_when_their_landmarks_move(tmp_path, monkeypatch):
    for n in range(4):
        write_face(tmp_path, f"{n}.png", texture(n))
    first = measure_pictures(Faceset.open(tmp_path))
    looked_at = []
    look = picture_measures.measure_picture
    monkeypatch.setattr(
        "facegraft.sets.measures.measure_picture",
        lambda face: looked_at.append(face.path.name) or look(face),
    )
    second = measure_pictures(Faceset.open(tmp_path))
    np.testing.assert_array_equal(first.pictures, second.pictures)
    assert not looked_at
    write_face(tmp_path, "2.png", texture(2), landmarks=turned(10))
    (tmp_path / "1.png").rename(tmp_path / "9.png")  # a new name changes nothing
    third = measure_pictures(Faceset.open(tmp_path))
    assert looked_at == ["2.png"]
    assert third.pictures[3] == first.pictures[1]


def test_measures_that_are_damaged_or_of_another_version_are_made_again(tmp_path):
    write_face(tmp_path, "a.png", texture())
    first = measure_pictures(Faceset.open(tmp_path))
    stored = tmp_path / "_facegraft" / "measures" / f"pictures-{VERSION}.npy"
    assert len(load_records(tmp_path, f"pictures-{VERSION}", RECORD)) == 1
    for content in (b"", b"no numbers", stored.read_bytes()[:200]):
        stored.write_bytes(content)
        again = measure_pictures(Faceset.open(tmp_path))
        np.testing.assert_array_equal(first.pictures, again.pictures)
    np.save(stored, np.zeros(3, [("key", "S32"), ("other", "f4")]))
    np.testing.assert_array_equal(first.pictures, measure_pictures(Faceset.open(tmp_path)).pictures)


def test_measures_hold_for_a_picture_that_is_stored_larger(tmp_path):
    for name, factor in (("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 4)):
        large = cv2.resize(texture(5, 3), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        write_face(tmp_path, name, large)
    values = measure_pictures(Faceset.open(tmp_path)).values("sharpness")
    assert np.ptp(values) < 0.05


class StopsAfter(Silent):
    """The user stops when so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count

    @property
    def cancelled(self) -> bool:  # type: ignore[override]
        return self.left <= 0


@pytest.mark.parametrize("work", [chain, total_distance])
def test_comparing_all_pairs_stops_when_asked(work):
    rows = unit_noise(50)
    with pytest.raises(Cancelled):
        work(rows, progress=StopsAfter(0))
    assert len(work(rows, progress=StopsAfter(1000))) == 50


def test_measuring_stops_when_asked_and_the_set_is_as_it_was(tmp_path):
    for n in range(5):
        write_face(tmp_path, f"{n}.png", texture(n))
    with pytest.raises(Cancelled):
        sort_faces(Faceset.open(tmp_path), "blur", progress=StopsAfter(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.png" for n in range(5)]


def test_a_set_where_nothing_can_be_written_is_measured_all_the_same(tmp_path, caplog):
    write_face(tmp_path, "a.png", texture())
    (tmp_path / "_facegraft").write_text("in the way")
    assert len(measure_pictures(Faceset.open(tmp_path)).faces) == 1
    assert "measures are not kept" in caplog.text
