"""The real parts that some tests run against, and what to say when one is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "redis-benchmark": "redis-tools",
    "nginx": "nginx-light",
    "wrk": "wrk",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "node": "nodejs",
    "npm": "npm",
    "git": "git",
    "openssl": "openssl",
    "tmux": "tmux",
    "promtool": "prometheus",
    "prometheus": "prometheus",
}


def require(program: str) -> Path:
    """Find a program on the PATH.

    :returns: its path. Where it is missing the test is skipped with what to install; under
        REQUIRE_ALL_PARTS=1, as in CI, it fails instead.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found:
        return Path(found)
    missing(f"{program} is not installed: apt-get install {PACKAGES.get(program, program)}")


def missing(message: str) -> NoReturn:
    """Skip the test with what to install; under REQUIRE_ALL_PARTS=1, as in CI, fail it."""
    if os.environ.get("REQUIRE_ALL_PARTS") == "1":
        pytest.fail(message)
    pytest.skip(message)
