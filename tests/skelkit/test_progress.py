"""progress_bar: a bar for who looks at a terminal, lines for who reads a log."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from skelkit import progress
from skelkit.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **settings: object) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar(range(400), desc="working", **settings)) == list(range(400))  # type: ignore[arg-type]
    return stream.getvalue()


def test_a_log_gets_lines_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, io.StringIO(), shown=True)
    assert lines.endswith("\n")
    begin, end = lines.splitlines()
    assert begin.startswith("working:   0%")
    assert end.startswith("working: 100%")
    assert "\r" not in lines
    assert told(monkeypatch, io.StringIO(), shown=True, leave=False) == "", (
        "over before the first half minute"
    )


def test_long_work_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS", 0)
    lines = told(monkeypatch, io.StringIO(), shown=True, miniters=100)
    assert [line[:13] for line in lines.splitlines()] == [
        f"working: {n:3}%" for n in (0, 25, 50, 75, 100, 100)
    ]


def test_a_bar_within_a_bar_moves_no_cursor_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS", 0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for _ in progress_bar(range(2), desc="outer", shown=True):
        list(progress_bar(range(2), desc="inner", shown=True))
    assert "\x1b" not in sys.stderr.getvalue()
    assert all(line[:5] in ("outer", "inner") for line in sys.stderr.getvalue().splitlines())


def test_a_bar_that_does_not_stay_is_told_of_where_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0)
    lines = told(monkeypatch, io.StringIO(), shown=True, leave=False, miniters=100)
    assert [line[:13] for line in lines.splitlines()] == ["working:   0%", "working:  25%"], "two a minute"


def test_a_terminal_of_unknown_width_gets_a_bar() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    code = "from skelkit.progress import progress_bar; list(progress_bar([1], desc='working', shown=True))"
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs)
    os.close(theirs)
    assert done.returncode == 0
    assert b"working: 100%|" in os.read(ours, 10_000)
    os.close(ours)


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\rworking: 100%" in told(monkeypatch, Terminal(), shown=True)
    assert told(monkeypatch, Terminal(), shown=True, leave=False).endswith("\r")


def test_nothing_where_it_is_not_wanted_or_nobody_could_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, io.StringIO(), shown=False) == ""
    assert told(monkeypatch, Terminal(), shown=False) == ""
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress_bar(range(3), shown=True)) == [0, 1, 2]
