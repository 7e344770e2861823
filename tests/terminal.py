"""A real terminal (tmux): a command runs in it, lines are typed, and the screen is read."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.parts import require

SECONDS = 30.0


class Terminal:
    """A screen of 100 columns and 40 rows. After the command its exit status: [status 0]."""

    def __init__(self) -> None:
        self._tmux = [str(require("tmux")), "-L", f"tests-{uuid.uuid4().hex}", "-f", "/dev/null"]

    def start(self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> None:
        line = shlex.join(map(str, command))
        shell = ["sh", "-c", f"{line}; echo '[status '$?']'; read -r wait"]
        size = ["-x", "100", "-y", "40"]
        subprocess.run(
            [*self._tmux, "new-session", "-d", *size, "-c", str(cwd), shlex.join(shell)],
            env={**env, "TERM": "xterm", "COLUMNS": ""},
            check=True,
        )

    def _do(self, *command: str) -> str:
        done = subprocess.run([*self._tmux, *command], check=True, capture_output=True, text=True)
        return done.stdout

    def screen(self) -> list[str]:
        """The lines that are not empty."""
        return [
            line.rstrip() for line in self._do("capture-pane", "-p").splitlines() if line.strip()
        ]

    def wait(self, pattern: str) -> list[str]:
        """Wait until the end of the screen matches.

        :raises AssertionError: with the screen, if it does not within 30 s.
        """
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern + r"\Z", "\n".join(screen := self.screen())):
            assert time.monotonic() < deadline, "\n".join(screen)
            time.sleep(0.03)
        return screen

    def type(self, line: str) -> None:
        self._do("send-keys", "-l", line)
        self._do("send-keys", "Enter")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)


@contextlib.contextmanager
def terminal(
    command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run a command in a terminal, and end both."""
    one = Terminal()
    try:
        one.start(command, cwd, env)
        yield one
    finally:
        one.close()
