"""Help section "Report": frames that somebody should look at, as a sheet and a list."""

from collections.abc import Sequence
from pathlib import Path

import click

from facegraft.media.images import write_image
from facegraft.media.source import FrameSource
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.sheets import suspicion_sheet
from facegraft.merge.clip.suspicious import find_suspicious, write_report
from facegraft.progress import Progress
from facegraft_cli.options import option_in, table_options, together

SECTION = "Report"
SHOWN = 5  # sentences; the rest is in the files

report_options = together(
    option_in(
        SECTION,
        "--report",
        type=click.Path(path_type=Path),
        help="Folder for suspicious.json and suspicious.png, a sheet of the frames to look at: "
        "jumps, doubtful faces, gaps. Written before the merge begins.",
    ),
    table_options(ClipParams, sections={"Report": SECTION}),
)


def report_suspicious(
    folder: Path,
    source: FrameSource,
    clip: ClipFaces,
    indices: Sequence[int],
    params: ClipParams,
    progress: Progress,
) -> None:
    """Write both files and say the first of what was found. Raises: WriteError, UnreadableMedia."""
    found = find_suspicious(clip, source, indices, params)
    write_report(folder / "suspicious.json", found, source.info.path.name)
    if not found:
        progress.note(f"no frame looks suspicious ({folder})")
        return
    sheet = folder / "suspicious.png"
    write_image(sheet, suspicion_sheet(source, clip, found, progress))
    for suspicion in found[:SHOWN]:
        progress.note(f"{suspicion.frame}: {suspicion.sentence}")
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    progress.note(f"look at {sheet}{more}")
