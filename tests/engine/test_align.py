"""Face geometry against DeepFaceLab's published numbers, OpenCV and closed forms."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facegraft.faces.align import (
    align_matrix,
    compose,
    fit_similarity,
    invert,
    square_corners,
    transform_points,
    warp_image,
)
from facegraft.faces.landmarks import (
    ALIGNMENT_POINTS,
    HEAD_3D,
    MEAN_FACE,
    MIRROR,
    estimate_pose,
    eyes_mouth_mask,
    hull_mask,
    mirror_landmarks,
)
from facegraft.model_spec import FaceType

# crop side and centre in mean-face units, as measured from DeepFaceLab
FRAMING = {
    FaceType.HALF: (1.0, (0.5, 0.5)),
    FaceType.MID_FULL: (1.19092, (0.5, 0.5)),
    FaceType.FULL: (1.59662, (0.5, 0.5)),
    FaceType.WHOLE_FACE: (2.13137, (0.5, 0.43)),
}


def mean_landmarks(scale: float = 100.0, x: float = 200.0, y: float = 150.0) -> np.ndarray:
    """68 points whose alignment points are exactly the mean face, scaled and moved."""
    points = np.zeros((68, 2))
    points[:17] = np.column_stack([np.linspace(0, 1, 17), np.full(17, 0.9)])
    points[17:] = MEAN_FACE
    return (points * scale + (x, y)).astype(np.float32)


def posed_head(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The 3-D mean head seen from 1.2 m; degrees as `Pose` defines them."""
    turn = Rotation.from_euler("ZYX", [roll, -yaw, pitch], degrees=True)
    head = turn.apply(HEAD_3D)
    return (head[:, :2] / (head[:, 2:] + 1200) * 2400 + 256).astype(np.float32)


def test_a_similarity_is_recovered_exactly() -> None:
    points = np.random.default_rng(0).normal(size=(33, 2))
    angle, scale = 0.7, 3.0
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = points @ linear.T + (4, -5)
    np.testing.assert_allclose(
        fit_similarity(points, target), np.column_stack([linear, (4, -5)]), atol=1e-12
    )


def test_a_mirrored_target_gives_no_reflection() -> None:
    points = np.random.default_rng(1).normal(size=(33, 2))
    matrix = fit_similarity(points, points * (-1, 1))
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("face_type", FRAMING)
def test_framing_equals_deepfacelabs(face_type: FaceType) -> None:
    side, center = FRAMING[face_type]
    matrix = align_matrix(mean_landmarks(), face_type, 256)
    expected = ((MEAN_FACE - center) / side + 0.5) * 256
    aligned = transform_points(mean_landmarks().astype(np.float64), matrix)[17:]
    np.testing.assert_allclose(aligned, expected, atol=2e-3)


def test_a_heads_square_follows_a_turned_head_sideways() -> None:
    def center_x(yaw: float) -> float:
        return float(
            square_corners(align_matrix(posed_head(yaw), FaceType.HEAD, 1), 1)[:, 0].mean()
        )

    straight = align_matrix(mean_landmarks(), FaceType.HEAD, 1)
    assert 1 / np.sqrt(np.linalg.det(straight[:, :2])) / 100 == pytest.approx(2.9799, abs=1e-3)
    whole = square_corners(align_matrix(posed_head(30), FaceType.WHOLE_FACE, 1), 1)[:, 0].mean()
    assert center_x(30) != pytest.approx(whole, abs=2)


def test_scale_above_one_shows_the_face_larger() -> None:
    eyes = [36, 45]
    points = mean_landmarks().astype(np.float64)
    one = transform_points(points, align_matrix(points, FaceType.FULL, 256))[eyes]
    two = transform_points(points, align_matrix(points, FaceType.FULL, 256, scale=1.25))[eyes]
    assert np.ptp(two[:, 0]) == pytest.approx(1.25 * np.ptp(one[:, 0]))


def test_inverse_undoes_and_compose_chains() -> None:
    matrix = align_matrix(mean_landmarks(), FaceType.FULL, 256)
    np.testing.assert_allclose(compose(invert(matrix), matrix), np.eye(2, 3), atol=1e-9)


def test_an_integer_shift_moves_pixels_exactly() -> None:
    image = np.random.default_rng(2).random((20, 30, 3)).astype(np.float32)
    shift = np.array([[1.0, 0, 3], [0, 1.0, 2]])
    moved = warp_image(image, shift, 30, 20)
    np.testing.assert_allclose(moved[2:, 3:], image[:-2, :-3], atol=1e-6)


def test_doubling_equals_opencvs_resize() -> None:
    image = cv2.GaussianBlur(
        np.random.default_rng(3).random((32, 32)).astype(np.float32), (0, 0), 2
    )
    double = warp_image(image, np.eye(2, 3) * 2, 64, 64, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    expected = cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(double, expected, atol=2e-3)


def test_a_strong_reduction_averages_instead_of_skipping_pixels() -> None:
    noise = np.random.default_rng(4).random((256, 256)).astype(np.float32)
    small = warp_image(noise, np.eye(2, 3) / 8, 32, 32)
    np.testing.assert_allclose(
        small, cv2.resize(noise, (32, 32), interpolation=cv2.INTER_AREA), atol=0.02
    )


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (25, 0, 0), (-40, 10, 0), (5, -15, 12)]
)
def test_pose_is_recovered_from_the_projected_head(yaw: float, pitch: float, roll: float) -> None:
    pose = estimate_pose(posed_head(yaw, pitch, roll))
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), (yaw, pitch, roll), atol=1.5)


def test_positive_yaw_turns_the_nose_to_image_right_and_positive_pitch_down() -> None:
    straight = posed_head()
    assert posed_head(yaw=20)[30, 0] > straight[30, 0]
    assert posed_head(pitch=20)[30, 1] > straight[30, 1]
    eyes = posed_head(roll=20)[[36, 45], 1]
    assert eyes[1] > eyes[0]  # clockwise: the eye at image right sinks


def test_mirroring_twice_changes_nothing_and_swaps_sides() -> None:
    points = posed_head(20)
    np.testing.assert_allclose(
        mirror_landmarks(mirror_landmarks(points, 512), 512), points, atol=1e-4
    )
    assert MIRROR[36] == 45 and sorted(MIRROR) == list(range(68))
    assert estimate_pose(mirror_landmarks(points, 512)).yaw == pytest.approx(-20, abs=2)


def test_the_hull_holds_the_face_and_some_forehead_but_not_the_corner() -> None:
    points = posed_head()
    mask = hull_mask(points, 512, 512)
    inside = [tuple(points[i].astype(int)) for i in (30, 33, 51, 8 - 1)]
    assert all(mask[y, x] > 0.5 for x, y in inside[:3])
    brow_x, brow_y = points[19]
    assert mask[int(brow_y) - 3, int(brow_x)] > 0.5
    assert mask[5, 5] == 0
    flat = hull_mask(points, 512, 512, brow_amount=0.0)
    assert mask.sum() > flat.sum()


def test_the_hulls_area_equals_the_polygons_to_a_percent() -> None:
    points = posed_head()
    outline = cv2.convexHull(points[:17])
    jaw_only = cv2.contourArea(outline)
    assert hull_mask(points, 512, 512).sum() > 0.99 * jaw_only


def test_eyes_and_mouth_weigh_most_where_they_are() -> None:
    points = posed_head()
    mask = eyes_mouth_mask(points, 512, 512)
    x, y = points[36:42].mean(axis=0).astype(int)
    assert mask[y, x] > 0.95
    nose_x, nose_y = points[29].astype(int)
    assert mask[nose_y, nose_x] < 0.05


def test_the_alignment_points_are_the_fields_33() -> None:
    assert len(ALIGNMENT_POINTS) == 33 and set(ALIGNMENT_POINTS) == {*range(17, 49), 54}
