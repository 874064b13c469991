"""Files as DeepFaceLab writes them, made here from its formats and with its own pixel rules.

Nothing of the engine's DeepFaceLab code is used: these are the reference that it is tested with.
Points count from pixel centres, crops are one `cv2.warpAffine` with the matrix of the points.
"""

import pickle
import struct
import sys
import types
from enum import IntEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.faces.align import fit_similarity
from facegraft.faces.landmarks import ALIGNMENT_POINTS, HEAD_3D, MEAN_FACE

FRAME_W, FRAME_H = 640, 480  # px
CROP = {"full_face": (1.59662, 0.5), "whole_face": (2.13137, 0.43), "half_face": (1.0, 0.5)}
# ^ side of the crop and height of its centre, in units of the mean face


def dfl_landmarks(x: float = 310.25, y: float = 236.5, size: float = 1.6, roll: float = 0.2):
    """(68, 2) float64, centres of pixels: the mean head seen from the front, turned by `roll`."""
    cos, sin = np.cos(roll), np.sin(roll)
    return HEAD_3D[:, :2] @ np.array([[cos, sin], [-sin, cos]]) * size + (x, y)


def dfl_matrix(landmarks: np.ndarray, face_type: str, size: int) -> np.ndarray:
    """(2, 3): corners of the square go to 0 and `size`, counted from pixel centres."""
    to_mean = fit_similarity(landmarks[ALIGNMENT_POINTS], MEAN_FACE[ALIGNMENT_POINTS - 17])
    side, center_y = CROP[face_type]
    matrix = to_mean * (size / side)
    matrix[:, 2] += size / 2 - np.array([0.5, center_y]) * size / side
    return matrix


def frame_with_dots(landmarks: np.ndarray) -> np.ndarray:
    """(480, 640, 3) uint8 BGR: a soft white dot on every point, and nothing else."""
    frame = np.zeros((FRAME_H, FRAME_W, 3), np.float32)
    rows, columns = np.mgrid[:FRAME_H, :FRAME_W]  # index i is the centre of pixel i
    for x, y in landmarks:
        near = np.s_[max(0, int(y) - 9) : int(y) + 10, max(0, int(x) - 9) : int(x) + 10]
        dot = np.exp(-((columns[near] - x) ** 2 + (rows[near] - y) ** 2) / (2 * 1.5**2))
        frame[near] = np.maximum(frame[near], 255 * dot[..., None].astype(np.float32))
    return frame.round().astype(np.uint8)


def dfl_values(
    face_type: str = "whole_face", size: int = 256, name: str = "00007.png", **more: Any
) -> dict[str, Any]:
    """The dict of a face at `dfl_landmarks()`; `more` is added or replaces."""
    source = dfl_landmarks()
    matrix = dfl_matrix(source, face_type, size)
    landmarks = source @ matrix[:, :2].T + matrix[:, 2]
    return {
        "face_type": face_type,
        "landmarks": landmarks.tolist(),
        "source_filename": name,
        "source_rect": np.array([200, 120, 420, 380]),
        "source_landmarks": source.tolist(),
        "image_to_face_mat": matrix,
        **more,
    }


def dfl_picture(values: dict[str, Any], size: int = 256) -> bytes:
    """The crop of the frame with dots as a plain JPEG file."""
    frame = frame_with_dots(np.array(values["source_landmarks"]))
    crop = cv2.warpAffine(frame, np.array(values["image_to_face_mat"]), (size, size))
    return cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes()


def dfl_jpeg(picture: bytes, values: Any, protocol: int = 4) -> bytes:
    """The picture with the dict in APP15, behind the APP0 that OpenCV writes."""
    assert picture[2:4] == b"\xff\xe0"
    end = 4 + struct.unpack(">H", picture[4:6])[0]
    payload = pickle.dumps(values, protocol)
    segment = b"\xff\xef" + struct.pack(">H", len(payload) + 2) + payload
    return picture[:end] + segment + picture[end:]


def write_dfl_faceset(folder: Path, count: int, **more: Any) -> list[Path]:
    """00001_0.jpg and so on, all with the same face."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, count + 1):
        values = dfl_values(name=f"{number:05d}.png", **more)
        path = folder / f"{number:05d}_0.jpg"
        path.write_bytes(dfl_jpeg(dfl_picture(values), values))
        paths.append(path)
    return paths


def read_app15(data: bytes) -> dict[str, Any]:
    """The dict of a JPEG with Python's own reader: for files that a test has just made."""
    at = 2
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if data[at + 1] == 0xEF:
            return pickle.loads(data[at + 4 : at + 2 + length])
        at += 2 + length
    raise AssertionError("no APP15")


class SampleType(IntEnum):
    FACE = 1


class FaceType(IntEnum):
    FULL = 2
    WHOLE_FACE = 4


def as_dfl_module(monkeypatch) -> None:
    """Give the two enumerations the module names that DeepFaceLab's pickles use."""
    for kind, name in ((SampleType, "samplelib.Sample"), (FaceType, "facelib.FaceType")):
        module = types.ModuleType(name)
        setattr(module, kind.__name__, kind)
        package = name.partition(".")[0]
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(kind, "__module__", name)


def dfl_pak(files: list[tuple[str, str | None, bytes]], monkeypatch) -> bytes:
    """A faceset.pak of (file name, person, JPEG) as DeepFaceLab packs it, last offset absolute."""
    as_dfl_module(monkeypatch)
    index = pickle.dumps(
        [
            {
                "sample_type": SampleType.FACE,
                "filename": name,
                "face_type": FaceType.WHOLE_FACE,
                "shape": (256, 256, 3),
                "landmarks": np.zeros((68, 2)).tolist(),
                "seg_ie_polys": {"polys": [{"type": 1, "pts": np.zeros((3, 2), np.float32)}]},
                "xseg_mask": None,
                "xseg_mask_compressed": np.zeros(4, np.uint8),
                "eyebrows_expand_mod": 1.0,
                "source_filename": "00001.png",
                "person_name": person,
            }
            for name, person, _ in files
        ],
        4,
    )
    offsets, body = [0], b""
    for _, _, data in files:
        body += data
        offsets.append(len(body))
    head = struct.pack("<QQ", 1, len(index)) + index
    offsets[-1] += len(head) + 8 * len(offsets)  # as the original has it
    return head + struct.pack(f"<{len(offsets)}Q", *offsets) + body
