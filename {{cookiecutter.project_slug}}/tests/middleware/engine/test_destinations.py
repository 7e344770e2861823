"""What engine/destinations.py promises: found once, never waited for, followed after a rotation."""

from __future__ import annotations

import contextlib
import io
import os
import time
from pathlib import Path

import click
import pytest
from flask.cli import ScriptInfo

from app.middleware.engine import destinations


def test_a_file_that_has_been_moved_away_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    file = destinations.File(str(tmp_path / "log"))
    file.send(b"one\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    file.send(b"two\n")
    clock[0] += destinations.LOOK_SECONDS
    file.send(b"three\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "log").read_bytes() == b"three\n"


def test_a_file_that_has_been_emptied_is_written_from_its_beginning(tmp_path: Path) -> None:
    """As logrotate's copytruncate does."""
    file = destinations.File(str(tmp_path / "log"))
    file.send(b"one\n")
    os.truncate(tmp_path / "log", 0)
    file.send(b"two\n")
    assert (tmp_path / "log").read_bytes() == b"two\n"


def test_others_cannot_read_a_new_file(tmp_path: Path) -> None:
    destinations.File(str(tmp_path / "log"))
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        destinations.File(str(tmp_path / "none" / "log"))


@pytest.mark.parametrize("name", ["check", "run"])
def test_a_command_makes_no_file_before_it_has_a_line_and_the_server_does(
    tmp_path: Path, name: str
) -> None:
    with click.Context(click.Command(name), info_name=name, obj=ScriptInfo()):
        file = destinations.File(str(tmp_path / "log"))
        assert (tmp_path / "log").exists() is (name == "run")
        with pytest.raises(OSError, match="No such file"):
            destinations.File(str(tmp_path / "none" / "log"))
    file.send(b"one\n")
    assert (tmp_path / "log").read_bytes() == b"one\n"


def test_only_a_pipe_has_short_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert destinations.File(str(tmp_path / "pipe")).line_limit == 4096
    assert destinations.File(str(tmp_path / "log")).line_limit > 4096


def test_a_full_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    pipe = destinations.File(str(tmp_path / "pipe"))
    with contextlib.closing(os.fdopen(reader, "rb")), pytest.raises(BlockingIOError):
        for _ in range(1000):
            assert pipe.send(b"x" * 4096) == 4096


def test_a_captured_output_is_the_one_at_start_except_in_tests() -> None:
    first, second = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(first):
        kept, followed = (destinations.standard_output(is_test=test) for test in (False, True))
    assert isinstance(kept, destinations.Captured)
    assert isinstance(followed, destinations.Captured)
    with contextlib.redirect_stdout(second):
        kept.send(b"kept\n")
        followed.send(b"followed\n")
    assert (first.getvalue(), second.getvalue()) == ("kept\n", "followed\n")
