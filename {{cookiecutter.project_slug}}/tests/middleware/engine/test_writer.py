"""What engine/writer.py promises: what is gathered is written soon, and before the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.middleware.engine import writer

PROGRAM = """
import os, signal, sys, time
sys.path.insert(0, FOLDER)
from engine import writer

class Kept:
    kept = []
    def flush(self):
        while self.kept:
            os.write(1, self.kept.pop(0) + b"\\n")
        return True
    def reset(self):
        self.kept = []

kept = Kept()
writer.register(kept)
writer.write_before_signals()
"""


def said(code: str) -> list[bytes]:
    folder = str(Path(str(writer.__file__)).parent.parent)
    program = PROGRAM.replace("FOLDER", repr(folder)) + code
    command = [sys.executable, "-c", program]
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=30).stdout.splitlines()


def test_what_is_gathered_is_written_a_moment_later() -> None:
    code = "kept.kept = [b'one', b'two']\nwriter.wake(kept)\ntime.sleep(0.5)\nos._exit(0)"
    assert said(code) == [b"one", b"two"]


def test_it_is_written_at_exit_and_at_sigterm() -> None:
    assert said("writer.GATHER_SECONDS = 100\nkept.kept = [b'one']\nwriter.wake(kept)") == [b"one"]
    code = "kept.kept = [b'one']\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()"
    assert said(code) == [b"one"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_writes_nothing_of_its_parents() -> None:
    code = (
        "writer.GATHER_SECONDS = 100\nkept.kept = [b'of the parent']\nwriter.wake(kept)\n"
        "pid = os.fork()\nkept.kept.append(b'of the child' if not pid else b'and more')\n"
        "pid and os.waitpid(pid, 0)"
    )
    assert said(code) == [b"of the parent", b"of the child", b"and more"]
