"""A real container engine: that of this machine, or one of our own (.ci/engine)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.parts import missing
from tests.servers import TEMPLATE

SCRIPT = TEMPLATE / ".ci" / "engine"


class Engine:
    """Runs docker; what a command prints is its result.

    :raises AssertionError: with what it printed, if a command fails.
    """

    def __init__(self) -> None:
        done = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, timeout=900)
        if done.returncode == 75:
            missing(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        found = (line.split("=", 1) for line in done.stdout.splitlines())
        self.env = {**os.environ, **{name: value for name, value in found}}

    def __call__(self, *arguments: str, cwd: Path | None = None, timeout: float = 300) -> str:
        done = self.run(*arguments, cwd=cwd, timeout=timeout)
        assert done.returncode == 0, (
            f"docker {arguments}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
        return done.stdout.strip()

    def run(
        self, *arguments: str, cwd: Path | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        docker = shutil.which("docker", path=self.env["PATH"])
        assert docker
        return subprocess.run(
            [docker, *arguments],
            cwd=cwd,
            env=self.env,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )

    def stop(self) -> None:
        subprocess.run([SCRIPT, "stop"], check=True, timeout=120)
