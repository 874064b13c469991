"""What a log file and a terminal get to see."""

import io

import pytest
from rich.console import Console

from facegraft_cli import report
from facegraft_cli.report import TerminalProgress

LONG = "src 0.312 dst 0.298  5.4 GiB  saves in 12 min"


def test_a_log_gets_lines_with_rate_time_left_and_the_note(monkeypatch):
    """With a total of 100 and 40 of them done before: the rate is that of the last 10 alone."""
    monkeypatch.setattr(report, "LINE_EVERY_S", 0.0)
    now = 1000.0
    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    log = io.StringIO()
    progress = TerminalProgress(Console(file=log, soft_wrap=True))
    progress.start(1_100, "iterations", 1_040)
    now += 5
    progress.advance(10, LONG)
    (line,) = log.getvalue().splitlines()
    assert f"1,050/1,100 iterations  2.00/s  0:00:25 left  {LONG}" == line


def test_lines_of_a_log_come_now_and_then_only(monkeypatch):
    monkeypatch.setattr(report, "LINE_EVERY_S", 3600.0)
    log = io.StringIO()
    progress = TerminalProgress(Console(file=log))
    progress.start(None, "iterations")
    for _ in range(100):
        progress.advance()
    assert "" == log.getvalue()
    progress.note("one line worth keeping")
    assert "one line worth keeping\n" == log.getvalue()


@pytest.mark.parametrize(("note", "rows"), [("frame 12", 1), (LONG, 2)])
def test_a_long_note_stands_below_the_bar_within_80_columns(note, rows):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    progress = TerminalProgress(console)
    progress.start(500_000, "iterations", 123_400)
    progress.advance(1, note)
    console.print(*progress._bar.get_renderables(), sep="\n")
    lines = [line.rstrip() for line in screen.getvalue().splitlines() if line.strip()]
    assert rows == len(lines)
    assert "123,401/500,000 iterations" in lines[0] and lines[-1].endswith(note)
    assert all(len(line) <= 80 for line in lines)
