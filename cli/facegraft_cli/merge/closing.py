"""What a merge says at its end, to people and to programs."""

from pathlib import Path
from typing import Any

from facegraft.merge.run import MergeReport

NAMES_SHOWN = 12  # frames without a face that the report names


def describe(report: MergeReport, out: Path) -> str:
    """The closing report, in sentences."""
    merged = report.frame_count - report.skipped_frames
    rate = merged / max(report.seconds, 1e-9)
    lines = [
        f"{report.face_count} faces merged in {merged} frames into {out} "
        f"({report.seconds:.1f} s, {rate:.1f} frames/s)"
    ]
    if report.skipped_frames:
        lines.append(f"{report.skipped_frames} frames were there already")
    names = report.frames_without_face
    if names:
        more = f", and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        lines.append(
            f"{len(names)} without a face passed through: {', '.join(names[:NAMES_SHOWN])}{more}"
        )
    return "\n".join(lines)


def to_values(report: MergeReport, out: Path) -> dict[str, Any]:
    """The same as JSON types."""
    return {
        "out": str(out),
        "frames": report.frame_count,
        "faces": report.face_count,
        "skipped": report.skipped_frames,
        "without_face": list(report.frames_without_face),
        "seconds": round(report.seconds, 3),
    }
