"""The report of a set as one page, (H, W, 3) uint8 RGB: poses, sharpness, sizes, words, faces."""

from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import read_image
from facegraft.sets.coverage import CELL, NEAR, PITCH_SPAN, YAW_SPAN, pose_map
from facegraft.sets.report import SHARPNESS_EDGES, SIZE_EDGES, Report, SetReport
from facegraft.sets.sheet_draw import (
    DST,
    INK,
    LACK,
    LINE,
    PALE,
    PAPER,
    SRC,
    draw_bars,
    draw_map,
    fitted,
    put_text,
    text_width,
    wrapped,
)

WIDTH = 1480  # px
_EDGE, _GAP = 40, 60
_COLUMN = (WIDTH - 2 * _EDGE - _GAP) // 2
_CELL = 17  # px of a cell of the pose map
_FACE = 112  # px
_FACES = WIDTH // (_FACE + 12)
_MOST_HEIGHT = 6000


def report_sheet(report: Report, advice: Sequence[str]) -> np.ndarray:
    """The page. Faces whose pictures do not read are left out of the strips."""
    page = np.full((_MOST_HEIGHT, WIDTH, 3), PAPER, np.uint8)
    y = _head(page, report)
    y = _maps(page, y, report)
    y = _histograms(page, y, report)
    y = _words(page, y, advice)
    y = _strips(page, y, report)
    return np.ascontiguousarray(page[: y + _EDGE // 2])


def _head(page: np.ndarray, report: Report) -> int:
    put_text(page, "Faceset report", (_EDGE, 58), 30, bold=True)
    y = 92
    sides = [("src", report.src, SRC)]
    if report.dst is not None:
        sides.append(("dst", report.dst, DST))
    for word, one, color in sides:
        cv2.rectangle(page, (_EDGE, y - 13), (_EDGE + 14, y + 1), color, -1)
        put_text(page, word, (_EDGE + 24, y), 17, bold=True)
        put_text(page, fitted(_counts(one), WIDTH - 180, 17), (_EDGE + 68, y), 17)
        y += 28
    return y + 14


def _counts(one: SetReport) -> str:
    sizes = "/".join(str(int(size)) for size in sorted(one.count("size")))
    kinds = "/".join(kind.replace("_", " ") for kind in sorted(one.face_types))
    sources = len(one.count("source"))
    parts = [
        f"{one.folder.name}: {len(one.faces)} faces of {sizes} px, {kinds}",
        f"{sources} source{'s' * (sources != 1)}",
        f"{len(one.duplicates)} near duplicates",
        f"{len(one.outliers)} outliers by {'identity' if one.by_network else 'colour'}",
    ]
    if one.measured.damaged:
        parts.append(f"{len(one.measured.damaged)} damaged")
    return ", ".join(parts)


def _maps(page: np.ndarray, y: int, report: Report) -> int:
    x = _EDGE + 30
    title = "Where src looks" if report.dst is not None else "Where the faces look"
    bottom = _map(page, (x, y), title, report.src.map, SRC, None)
    if report.dst is not None and report.coverage is not None:
        poses = report.dst.poses
        lacking = pose_map(poses[report.coverage.distances > NEAR]) > 0
        share = f"{100 * report.coverage.covered:.0f} %"
        title = f"Where dst looks; {share} has src within {NEAR:g}°"
        _map(page, (x + _COLUMN + _GAP, y), title, report.dst.map, DST, lacking)
        if lacking.any():
            right = x + _COLUMN + _GAP + report.dst.map.shape[1] * _CELL
            put_text(page, "red: no src nearby", (right, y + 16), 14, LACK, True, "right")
    return bottom


def _map(
    page: np.ndarray,
    at: tuple[int, int],
    title: str,
    counts: np.ndarray,
    color: tuple[int, int, int],
    lacking: np.ndarray | None,
) -> int:
    """A pose map with its title and axes; gives where it ends."""
    x, y = at
    put_text(page, title, (x, y + 16), 17, bold=True)
    top = y + 30
    draw_map(page, (x, top), _CELL, counts, color, lacking)
    width, height = counts.shape[1] * _CELL, counts.shape[0] * _CELL
    for yaw in range(-YAW_SPAN, YAW_SPAN + 1, 30):
        left = x + round((yaw + YAW_SPAN) / CELL * _CELL)
        cv2.line(page, (left, top), (left, top + height), LINE, 1)
        put_text(page, f"{yaw:+d}°" if yaw else "0°", (left, top + height + 19), 13, PALE,
                 align="middle")  # fmt: skip
    for pitch in range(-PITCH_SPAN, PITCH_SPAN + 1, 30):
        level = top + round((pitch + PITCH_SPAN) / CELL * _CELL)
        cv2.line(page, (x, level), (x + width, level), LINE, 1)
        put_text(page, f"{pitch:+d}°" if pitch else "0°", (x - 6, level + 5), 13, PALE,
                 align="right")  # fmt: skip
    put_text(page, "up", (x + 6, top + 18), 13, PALE)
    put_text(page, "down", (x + 6, top + height - 8), 13, PALE)
    base = top + height + 19
    put_text(page, "left", (x + width // 12, base), 13, PALE, align="middle")
    put_text(page, "right", (x + width - width // 12, base), 13, PALE, align="middle")
    return base + 40


def _histograms(page: np.ndarray, y: int, report: Report) -> int:
    sides = [(report.src, SRC)] + ([(report.dst, DST)] if report.dst is not None else [])
    size = (_COLUMN - 30, 150)
    charts = (
        ("Sharpness", "sharpness", SHARPNESS_EDGES,
         [(float(i), f"{SHARPNESS_EDGES[i]:.1f}") for i in range(0, len(SHARPNESS_EDGES), 4)]),
        ("Size of the face in its frame, px", "source_size", SIZE_EDGES,
         [(float(i), f"{int(e)}") for i, e in enumerate(SIZE_EDGES[:-1])]),
    )  # fmt: skip
    for n, (title, name, edges, labels) in enumerate(charts):
        x = _EDGE + 30 + n * (_COLUMN + _GAP)
        put_text(page, title, (x, y + 16), 17, bold=True)
        note_x = x + text_width(title, 17, True) + 16
        medians = []
        shares = []
        for one, color in sides:
            values = one.measured.values(name)
            counts = np.histogram(np.clip(values, edges[0], edges[-2]), bins=edges)[0]
            shares.append((counts / max(len(values), 1), color))
            median = float(np.median(values))
            medians.append(f"{median:.2f}" if name == "sharpness" else f"{median:.0f}")
        text = f"median {medians[0]}" if len(medians) == 1 else (
            f"median src {medians[0]}, dst {medians[1]}"
        )  # fmt: skip
        put_text(page, text, (note_x, y + 16), 14, PALE)
        draw_bars(page, (x, y + 30), size, shares, labels)
    return y + 30 + size[1] + 60


def _words(page: np.ndarray, y: int, advice: Sequence[str]) -> int:
    put_text(page, "Advice", (_EDGE, y + 16), 17, bold=True)
    y += 44
    for sentence in advice or ("Nothing stands out; this set can be trained with.",):
        cv2.circle(page, (_EDGE + 8, y - 5), 3, INK, -1, cv2.LINE_AA)
        for line in wrapped(sentence, WIDTH - 2 * _EDGE - 24, 16):
            put_text(page, line, (_EDGE + 24, y), 16)
            y += 24
        y += 8
    return y + 14


def _strips(page: np.ndarray, y: int, report: Report) -> int:
    if report.dst is not None and report.coverage is not None:
        far = np.argsort(-report.coverage.distances, kind="stable")
        far = [i for i in far if report.coverage.distances[i] > NEAR][:_FACES]
        items = [
            (report.dst.faces[i], f"{report.coverage.distances[i]:.0f}° from src") for i in far
        ]
        y = _strip(page, y, "dst faces farthest from any pose of src", items)
    sides = [("src", report.src)] + ([("dst", report.dst)] if report.dst is not None else [])
    for word, one in sides:
        like = dict(zip((f.path for f in one.faces), one.likeness.tolist(), strict=True))
        outliers = [(face, f"{like[face.path]:.2f} alike") for face in one.outliers[:_FACES]]
        by = "identity" if one.by_network else "colour"
        y = _strip(page, y, f"Outliers of {word}, by {by}", outliers)
        pairs = [
            (face, f"as {kept.path.stem}" if face is again else face.path.stem)
            for again, kept in one.duplicates[: _FACES // 2]
            for face in (kept, again)
        ]
        y = _strip(page, y, f"Near duplicates of {word}: {len(one.duplicates)}", pairs)
    softest = np.argsort(report.src.measured.values("sharpness"), kind="stable")[:_FACES]
    values = report.src.measured.values("sharpness")
    items = [(report.src.faces[i], f"{values[i]:.2f}") for i in softest]
    return _strip(page, y, "Softest of src", items)


def _strip(page: np.ndarray, y: int, title: str, items: Sequence[tuple[AlignedFace, str]]) -> int:
    """A row of faces with a word below each; nothing where there are none."""
    if not items:
        return y
    put_text(page, title, (_EDGE, y + 16), 17, bold=True)
    y += 30
    x = _EDGE
    for face, word in items:
        if x + _FACE > WIDTH - _EDGE:
            break
        try:
            image = read_image(face)
        except BadAlignedImage:
            continue
        way = cv2.INTER_AREA if face.size > _FACE else cv2.INTER_CUBIC
        page[y : y + _FACE, x : x + _FACE] = cv2.resize(image, (_FACE, _FACE), interpolation=way)
        put_text(page, fitted(word, _FACE, 13), (x, y + _FACE + 17), 13, PALE)
        x += _FACE + 12
    return y + _FACE + 44
