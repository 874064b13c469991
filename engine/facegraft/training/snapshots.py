"""Backups of a run: RUN/backups/DATE-TIMEZ_NUMBER_ITERATION, each a save of its own.

The files are hard links to those of the save, which never change, so a backup costs disk space only
once the save itself is gone; where a disk has no hard links they are copied. One an hour is kept
for a day, then one a day; those that someone asked for end in `_asked` and stay.
"""

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from facegraft.errors import CheckpointError
from facegraft.training.saves import (
    list_saves,
    new_folder,
    next_save,
    read_header,
    remove_folder,
)

BACKUPS_FOLDER = "backups"
ASKED_SUFFIX = "_asked"
_TIME = "%Y%m%d-%H%M%SZ"
_TIME_LENGTH = len("20260131-235959Z")
HOURLY_FOR = timedelta(days=1)


def list_backups(run_folder: Path) -> list[Path]:
    """Folders of the backups, oldest first."""
    folder = run_folder / BACKUPS_FOLDER
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _time_of(path) is not None)


def backup_due(run_folder: Path, hours: float, now: datetime) -> bool:
    """Whether the last automatic backup is `hours` old (0: never due).

    The first is due once the last save has been trained for that long.
    """
    if hours <= 0:
        return False
    times = _automatic(run_folder)
    if times:
        return now - times[-1] >= timedelta(hours=hours)
    saves = list_saves(run_folder)
    return bool(saves) and read_header(saves[-1])["seconds"] >= hours * 3600


def make_backup(run_folder: Path, now: datetime, asked: bool = False) -> Path:
    """Back up the last save, and remove backups that are too many by age; the new one's folder.

    `now` has a time zone. Raises: CheckpointError without a save, WriteError.
    """
    saves = list_saves(run_folder)
    if not saves:
        raise CheckpointError(f"{run_folder} has no save to back up yet")
    name = f"{now.astimezone(UTC).strftime(_TIME)}_{saves[-1].name}"
    path = run_folder / BACKUPS_FOLDER / (name + ASKED_SUFFIX * asked)
    if path.exists():  # asked for twice within a second
        return path
    with new_folder(path) as folder:
        link_files(saves[-1], folder)
    for old in too_many(_automatic(run_folder), now):
        for backup in list_backups(run_folder):
            if _time_of(backup) == old and not backup.name.endswith(ASKED_SUFFIX):
                remove_folder(backup)
    return path


def restore_backup(run_folder: Path, backup: Path) -> Path:
    """Make `backup`, or any other save's folder, the run's last save, which training goes on from.

    The saves after it stay until they are old. Raises: CheckpointError, FutureVersion, WriteError.
    """
    path = next_save(run_folder, read_header(backup)["iteration"])
    with new_folder(path) as folder:
        link_files(backup, folder)
    return path


def link_files(save: Path, folder: Path) -> None:
    """The files of `save` under the same names in `folder`, as hard links where the disk can."""
    for file in save.iterdir():
        try:
            os.link(file, folder / file.name)
        except OSError:
            shutil.copyfile(file, folder / file.name)


def too_many(times: Sequence[datetime], now: datetime) -> list[datetime]:
    """Which of the backups made at `times`, oldest first, are to go.

    The first of every hour of the last day stays, the first of every day before, and the last one.
    """
    seen: set[tuple[int, ...]] = set()
    gone = []
    for time in times[:-1]:
        bucket = time.timetuple()[: 4 if now - time < HOURLY_FOR else 3]
        if bucket in seen:
            gone.append(time)
        seen.add(bucket)
    return gone


def _automatic(run_folder: Path) -> list[datetime]:
    times = [_time_of(p) for p in list_backups(run_folder) if not p.name.endswith(ASKED_SUFFIX)]
    return [time for time in times if time is not None]


def _time_of(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name[:_TIME_LENGTH], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
