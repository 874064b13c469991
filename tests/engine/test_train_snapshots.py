"""Backups by age."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facegraft.errors import CheckpointError
from facegraft.training.checkpoint import load_checkpoint, save_checkpoint
from facegraft.training.snapshots import backup_due, list_backups, make_backup, too_many
from tests.engine.test_checkpoint import make

NOON = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)


def test_a_backup_is_a_whole_save_that_outlives_the_saves(tmp_path):
    with pytest.raises(CheckpointError, match="no save to back up yet"):
        make_backup(tmp_path, NOON)
    save = save_checkpoint(tmp_path, make(5))
    backup = make_backup(tmp_path, NOON)
    assert "20260310-120000Z_000001_00000005" == backup.name
    assert os.path.samefile(save / "net.safetensors", backup / "net.safetensors")  # costs no space
    for iteration in (6, 7):
        save_checkpoint(tmp_path, make(iteration), keep=1)
    assert not save.exists()
    found = load_checkpoint(backup, print)
    assert found is not None and 5 == found.iteration


def test_without_hard_links_the_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no hard links on this disk")

    save = save_checkpoint(tmp_path, make(5))
    monkeypatch.setattr(os, "link", refuse)
    backup = make_backup(tmp_path, NOON)
    assert not os.path.samefile(save / "net.safetensors", backup / "net.safetensors")
    assert load_checkpoint(backup, print) is not None


def test_the_first_is_due_after_so_many_hours_of_training_the_next_by_the_clock(tmp_path):
    assert not backup_due(tmp_path, 2, NOON)
    save_checkpoint(tmp_path, replace(make(1), seconds=2 * 3600 - 1))
    assert not backup_due(tmp_path, 2, NOON)
    save_checkpoint(tmp_path, replace(make(2), seconds=2 * 3600))
    assert backup_due(tmp_path, 2, NOON) and not backup_due(tmp_path, 0, NOON)
    make_backup(tmp_path, NOON)
    assert not backup_due(tmp_path, 2, NOON + timedelta(hours=1.9))
    make_backup(tmp_path, NOON + timedelta(hours=1), asked=True)  # changes nothing of the rhythm
    assert backup_due(tmp_path, 2, NOON + timedelta(hours=2))


def test_after_a_week_of_half_hours_a_day_of_hours_and_a_week_of_days_are_left():
    times, now = list[datetime](), NOON
    for half_hour in range(7 * 48):
        now = NOON + timedelta(minutes=30 * half_hour)
        times.append(now)
        gone = too_many(times, now)
        assert now not in gone
        times = [time for time in times if time not in gone]
    last_day = [time for time in times if now - time < timedelta(days=1)]
    older = [time for time in times if now - time >= timedelta(days=1)]
    assert 24 <= len(last_day) <= 25 and all(time.minute == 0 for time in last_day[:-1])
    assert [NOON.date() + timedelta(days=n) for n in range(7)] == [time.date() for time in older]


def test_those_asked_for_stay_and_the_others_are_thinned(tmp_path):
    save_checkpoint(tmp_path, make(5))
    for minutes in range(0, 60, 20):
        make_backup(tmp_path, NOON + timedelta(minutes=minutes))
        make_backup(tmp_path, NOON + timedelta(minutes=minutes + 1), asked=True)
    make_backup(tmp_path, NOON + timedelta(minutes=41), asked=True)  # the same second: once

    def times(backups: list[Path]) -> list[str]:
        return [backup.name[9:13] for backup in backups]

    backups = list_backups(tmp_path)
    asked = [backup for backup in backups if backup.name.endswith("_asked")]
    assert ["1201", "1221", "1241"] == times(asked)
    assert ["1200", "1240"] == times([backup for backup in backups if backup not in asked])
