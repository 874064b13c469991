"""A report in plain words: what to do about a set, most important first, each with its numbers."""

import numpy as np

from facegraft.sets.coverage import NEAR
from facegraft.sets.report import CUT, SMALL_PX, SOFT, Report, SetReport

FEW = 400  # faces; fewer hold too few expressions of one person
_NAMED = 3  # names or poses in a sentence
_SLIGHT = 0.02  # share of a set that is not worth a sentence
_LIGHT = 0.12  # difference of mean luma that colour transfer has to bridge
_SOFTER = 0.05  # of sharpness, medians; what can be seen side by side
_DIRECTIONS = (  # column of the poses, sign, words
    (0, -1, "left", "right"),
    (0, 1, "right", "left"),
    (1, -1, "up", "down"),
    (1, 1, "down", "up"),
)


def advise(report: Report) -> tuple[str, ...]:
    """One sentence or two for each thing worth doing; none where all is well."""
    lines: list[str] = []
    if report.dst is not None:
        lines += _coverage_lines(report)
    lines += _set_lines(report.src, "src")
    if report.dst is not None:
        lines += _pair_lines(report.src, report.dst)
        lines += _set_lines(report.dst, "dst")
    return tuple(lines)


def _coverage_lines(report: Report) -> list[str]:
    assert report.dst is not None and report.coverage is not None
    src, dst = report.src.poses, report.dst.poses
    lines = []
    for axis, sign, word, opposite in _DIRECTIONS:
        limit = float((sign * src[:, axis]).max())
        if count := int((sign * dst[:, axis] > limit + NEAR).sum()):
            end = f"{abs(limit):.0f} degrees" + (f" {opposite}" if limit < -0.5 else "")
            lines.append(
                f"No src face looks further {word} than {end}; dst has {_such(count)}. Add src "
                "pictures that look there, or expect a stiff face."
            )
    inner = [gap for gap in report.coverage.gaps if not _is_outside(gap.yaw, gap.pitch, src)]
    if inner:
        places = "; ".join(
            f"yaw {_span(gap.yaw)}, pitch {_span(gap.pitch)} ({gap.count})"
            for gap in inner[:_NAMED]
        )
        more = f"; and {len(inner) - _NAMED} smaller places" if len(inner) > _NAMED else ""
        lines.append(
            f"dst has poses with no src face within {NEAR:g} degrees: {places}{more}. "
            "Add src pictures of these."
        )
    if not lines:
        lines.append(
            f"src covers the poses of dst: {100 * report.coverage.covered:.0f} % of its faces have "
            f"a src face within {NEAR:g} degrees."
        )
    return lines


def _set_lines(one: SetReport, side: str) -> list[str]:
    measured, total = one.measured, len(one.faces)
    lines = []
    if measured.damaged:
        lines.append(
            f"{_faces(len(measured.damaged))} of {side} can not be read "
            f"({_names([face.path.name for face, _ in measured.damaged])}). Extract them again."
        )
    if side == "src" and total < FEW:
        lines.append(
            f"src has {_faces(total)}; below {FEW} there are few expressions to learn from. Add "
            "clips of this person in other moods and poses."
        )
    if one.outliers:
        what = "not like the same person" if one.by_network else "far from the others in colour"
        lines.append(
            f"{_are(len(one.outliers), side)} {what} "
            f"({_names([face.path.name for face in one.outliers])}). Look at them: strangers, "
            "wrong detections, or a scene of its own?"
        )
    lines += _quality_lines(one, side)
    if len(one.face_types) > 1:
        kinds = ", ".join(f"{n} {kind}" for kind, n in one.face_types.most_common())
        lines.append(
            f"{side} mixes face types ({kinds}). Bring them to one with `facegraft faceset resize`."
        )
    return lines


def _quality_lines(one: SetReport, side: str) -> list[str]:
    measured, total = one.measured, len(one.faces)
    lines = []
    soft = int((measured.values("sharpness") < SOFT).sum())
    if side == "src" and soft > _SLIGHT * total:
        lines.append(
            f"{_are(soft, 'src')} soft (sharpness below {SOFT:g}). The model learns what it "
            f"sees; cull them with `facegraft faceset sort SRC --by blur --cull all --where "
            f'"sharpness<{SOFT:g}"`.'
        )
    small = int((measured.values("source_size") < SMALL_PX).sum())
    if side == "src" and small > _SLIGHT * total:
        lines.append(
            f"{_are(small, 'src')} smaller than {SMALL_PX} px in their frames: there is "
            "little detail to learn from. Look for closer shots."
        )
    repeated = len(one.duplicates)
    if repeated > 0.1 * total:
        lines.append(
            f"{_faces(repeated)} of {side}'s {total} repeat another one. They cost no "
            "quality, but weigh their pose more than others"
            + (
                f"; `facegraft faceset sort SRC --by final --count {total - repeated} --cull rest` "
                "balances them."
                if side == "src"
                else "."
            )
        )
    cut = int((measured.values("black") > CUT).sum())
    if side == "src" and cut > _SLIGHT * total:
        lines.append(
            f"{_are(cut, 'src')} cut by the edge of the frame (over {100 * CUT:.0f} % of the "
            'square is black); `--by black --cull all --where "black>0.2"` takes them out.'
        )
    return lines


def _pair_lines(src: SetReport, dst: SetReport) -> list[str]:
    lines = []
    light = [float(np.median(one.measured.values("brightness"))) for one in (src, dst)]
    if abs(light[0] - light[1]) > _LIGHT:
        word = "darker" if light[1] < light[0] else "brighter"
        lines.append(
            f"dst is much {word} than src (mean light {light[1]:.2f} against {light[0]:.2f}). "
            "Train with a colour transfer, so that the model meets dst's light."
        )
    sharp = [float(np.median(one.measured.values("sharpness"))) for one in (src, dst)]
    if sharp[0] < sharp[1] - _SOFTER:
        lines.append(
            f"src is softer than dst (median sharpness {sharp[0]:.2f} against {sharp[1]:.2f}); the "
            "swap will look softer than the plate. Look for sharper src."
        )
    return lines


def _is_outside(yaw: tuple[float, float], pitch: tuple[float, float], src: np.ndarray) -> bool:
    """Is such a gap one of those at the ends, which have a sentence already?"""
    low, high = src.min(axis=0) - NEAR, src.max(axis=0) + NEAR
    return yaw[0] < low[0] or yaw[1] > high[0] or pitch[0] < low[1] or pitch[1] > high[1]


def _span(ends: tuple[float, float]) -> str:
    low, high = (round(v) + 0 for v in ends)
    return f"{low:+d}" if low == high else f"{low:+d} to {high:+d}"


def _faces(count: int) -> str:
    return f"{count} face{'s' * (count != 1)}"


def _are(count: int, side: str) -> str:
    return f"{_faces(count)} of {side} {'is' if count == 1 else 'are'}"


def _such(count: int) -> str:
    return f"{count} such frame{'s' * (count != 1)}"


def _names(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
