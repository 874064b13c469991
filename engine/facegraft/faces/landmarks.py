"""The 68 iBUG points: their groups, the mean face, the hull mask, head pose and mirroring.

Points are (68, 2) float32 in pixels, x right, y down, (0, 0) the *corner* of the first pixel, so
a pixel's centre lies at +0.5 and scaling an image scales its points. "Right" is the person's right,
at image left, as the field names it. The mean face, the 3-D head and the hull's polygons are
DeepFaceLab's constants, so that facesets and models frame faces alike.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

JAW = slice(0, 17)
RIGHT_BROW = slice(17, 22)
LEFT_BROW = slice(22, 27)
NOSE = slice(27, 36)
RIGHT_EYE = slice(36, 42)
LEFT_EYE = slice(42, 48)
MOUTH = slice(48, 68)
INNER_LIPS = slice(60, 68)

# fmt: off
MEAN_FACE = np.array([  # points 17 to 67
    (0.000213256, 0.106454), (0.0752622, 0.038915), (0.18113, 0.0187482), (0.29077, 0.0344891),
    (0.393397, 0.0773906), (0.586856, 0.0773906), (0.689483, 0.0344891), (0.799124, 0.0187482),
    (0.904991, 0.038915), (0.98004, 0.106454), (0.490127, 0.203352), (0.490127, 0.307009),
    (0.490127, 0.409805), (0.490127, 0.515625), (0.36688, 0.587326), (0.426036, 0.609345),
    (0.490127, 0.628106), (0.554217, 0.609345), (0.613373, 0.587326), (0.121737, 0.216423),
    (0.187122, 0.178758), (0.265825, 0.179852), (0.334606, 0.231733), (0.260918, 0.245099),
    (0.182743, 0.244077), (0.645647, 0.231733), (0.714428, 0.179852), (0.793132, 0.178758),
    (0.858516, 0.216423), (0.79751, 0.244077), (0.719335, 0.245099), (0.254149, 0.780233),
    (0.340985, 0.745405), (0.428858, 0.727388), (0.490127, 0.742578), (0.551395, 0.727388),
    (0.639268, 0.745405), (0.726104, 0.780233), (0.642159, 0.864805), (0.556721, 0.902192),
    (0.490127, 0.909281), (0.423532, 0.902192), (0.338094, 0.864805), (0.290379, 0.784792),
    (0.428096, 0.778746), (0.490127, 0.785343), (0.552157, 0.778746), (0.689874, 0.784792),
    (0.553364, 0.824182), (0.490127, 0.831803), (0.42689, 0.824182),
], dtype=np.float64)

HEAD_3D = np.array([  # x right, y down, z away from the camera; millimetres
    (-73.393523, -29.801432, 47.667532), (-72.775014, -10.949766, 45.909403),
    (-70.533638, 7.929818, 44.842580), (-66.850058, 26.074280, 43.141114),
    (-59.790187, 42.564390, 38.635298), (-48.368973, 56.481080, 30.750622),
    (-34.121101, 67.246992, 18.456453), (-17.875411, 75.056892, 3.609035),
    (0.098749, 77.061286, -0.881698), (17.477031, 74.758448, 5.181201),
    (32.648966, 66.929021, 19.176563), (46.372358, 56.311389, 30.770570),
    (57.343480, 42.419126, 37.628629), (64.388482, 25.455880, 40.886309),
    (68.212038, 6.990805, 42.281449), (70.486405, -11.666193, 44.142567),
    (71.375822, -30.365191, 47.140426), (-61.119406, -49.361602, 14.254422),
    (-51.287588, -58.769795, 7.268147), (-37.804800, -61.996155, 0.442051),
    (-24.022754, -61.033399, -6.606501), (-11.635713, -56.686759, -11.967398),
    (12.056636, -57.391033, -12.051204), (25.106256, -61.902186, -7.315098),
    (38.338588, -62.777713, -1.022953), (51.191007, -59.302347, 5.349435),
    (60.053851, -50.190255, 11.615746), (0.653940, -42.193790, -13.380835),
    (0.804809, -30.993721, -21.150853), (0.992204, -19.944596, -29.284036),
    (1.226783, -8.414541, -36.948060), (-14.772472, 2.598255, -20.132003),
    (-7.180239, 4.751589, -23.536684), (0.555920, 6.562900, -25.944448),
    (8.272499, 4.661005, -23.695741), (15.214351, 2.643046, -20.858157),
    (-46.047290, -37.471411, 7.037989), (-37.674688, -42.730510, 3.021217),
    (-27.883856, -42.711517, 1.353629), (-19.648268, -36.754742, -0.111088),
    (-28.272965, -35.134493, -0.147273), (-38.082418, -34.919043, 1.476612),
    (19.265868, -37.032306, -0.665746), (27.894191, -43.342445, 0.247660),
    (37.437529, -43.110822, 1.696435), (45.170805, -38.086515, 4.894163),
    (38.196454, -35.532024, 0.282961), (28.764989, -35.484289, -1.172675),
    (-28.916267, 28.612716, -2.240310), (-17.533194, 22.172187, -15.934335),
    (-6.684590, 19.029051, -22.611355), (0.381001, 20.721118, -23.748437),
    (8.375443, 19.035460, -22.721995), (18.876618, 22.394109, -15.610679),
    (28.794412, 28.079924, -3.217393), (19.057574, 36.298248, -14.987997),
    (8.956375, 39.634575, -22.554245), (0.381549, 40.395647, -23.591626),
    (-7.428895, 39.836405, -22.406106), (-18.160634, 36.677899, -15.121907),
    (-24.377490, 28.677771, -4.785684), (-6.897633, 25.475976, -20.893742),
    (0.340663, 26.014269, -22.220479), (8.444722, 25.326198, -21.025520),
    (24.474473, 28.323008, -5.712776), (8.449166, 30.596216, -20.671489),
    (0.205322, 31.408738, -21.903670), (-7.198266, 30.844876, -20.328022),
], dtype=np.float64)
# fmt: on

# brows, nose, eyes and the two mouth corners: what stays put while a face speaks
ALIGNMENT_POINTS = np.array([*range(17, 49), 54])
POSE_POINTS = np.array([*range(0, 27), *range(30, 36)])

# point i of the mirrored face is point MIRROR[i] of the face
MIRROR = np.arange(68)
for _a, _b in (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (31, 35), (32, 34),
    (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
):  # fmt: skip
    MIRROR[_a], MIRROR[_b] = _b, _a

_HULLS = (
    [*range(0, 9), 17],
    [*range(8, 17), 26],
    [*range(17, 20), 8],
    [*range(24, 27), 8],
    [*range(19, 25), 8],
    [*range(17, 22), 27, *range(31, 36), 8],
    [*range(22, 27), 27, *range(31, 36), 8],
    [*range(27, 31), *range(31, 36)],
)
_SUBPIXEL_BITS = 4  # cv2 draws polygons at 1/16 px


@dataclass(frozen=True, slots=True)
class Pose:
    """Head rotation in degrees: yaw + turns the nose right, pitch + down, roll + clockwise."""

    yaw: float
    pitch: float
    roll: float


def mirror_landmarks(landmarks: np.ndarray, width: float) -> np.ndarray:
    """(68, 2) points of the horizontally flipped image of `width` px."""
    flipped = landmarks[MIRROR].copy()
    flipped[:, 0] = width - flipped[:, 0]
    return flipped


def raise_brows(landmarks: np.ndarray, amount: float = 1.0) -> np.ndarray:
    """(68, 2) points with the brows moved up by half their height over the eyes, times `amount`.

    Gives the hull some forehead, as DeepFaceLab's `eyebrows_expand_mod` does.
    """
    points = landmarks.astype(np.float64)
    outer_right = (points[36] + points[0]) / 2
    outer_left = (points[16] + points[45]) / 2
    under_right = np.stack([(points[36] + outer_right) / 2, *points[36:40]])
    under_left = np.stack([*points[42:46], (points[45] + outer_left) / 2])
    raised = points.copy()
    raised[RIGHT_BROW] += amount * 0.5 * (points[RIGHT_BROW] - under_right)
    raised[LEFT_BROW] += amount * 0.5 * (points[LEFT_BROW] - under_left)
    return raised


def hull_mask(
    landmarks: np.ndarray, height: int, width: int, brow_amount: float = 1.0
) -> np.ndarray:
    """(H, W) float32, 1 inside the face's outline from the points, 0 outside."""
    points = raise_brows(landmarks, brow_amount)
    mask = np.zeros((height, width), np.uint8)
    for indices in _HULLS:
        _fill_hull(mask, points[indices])
    return mask.astype(np.float32) * np.float32(1 / 255)


def eyes_mouth_mask(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) float32 0..1, eyes and mouth with soft edges: where a face is read first."""
    mask = np.zeros((height, width), np.uint8)
    for part in (RIGHT_EYE, LEFT_EYE, INNER_LIPS):
        _fill_hull(mask, landmarks[part])
    grow = max(1, height // 32)
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow)))
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.8, height / 100))
    return np.clip(soft, 0, 1)


def _fill_hull(mask: np.ndarray, points: np.ndarray) -> None:
    hull = cv2.convexHull(points.astype(np.float32))
    # corner convention to cv2's pixel centres, then to fixed point
    fixed = np.rint((hull - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, (255,), cv2.LINE_AA, _SUBPIXEL_BITS)


def estimate_pose(landmarks: np.ndarray) -> Pose:
    """Head pose by fitting the 3-D mean head to the points (perspective n-point).

    `landmarks`: (68, 2) in any image space with square pixels; the focal length is taken as
    eight face sizes, a person at about 1.5 m.
    """
    points = landmarks[POSE_POINTS].astype(np.float64)
    center = points.mean(axis=0)
    focal = 8.0 * float(np.ptp(points, axis=0).max())
    camera = np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])
    ok, rotation_vector, _ = cv2.solvePnP(
        HEAD_3D[POSE_POINTS], points, camera, None, flags=cv2.SOLVEPNP_SQPNP
    )
    if not ok:
        return Pose(0.0, 0.0, 0.0)
    r = cv2.Rodrigues(rotation_vector)[0]
    pitch = math.degrees(math.atan2(r[2, 1], r[2, 2]))
    yaw = math.degrees(math.atan2(r[2, 0], math.hypot(r[0, 0], r[1, 0])))
    roll = math.degrees(math.atan2(r[1, 0], r[0, 0]))
    return Pose(yaw, pitch, roll)
