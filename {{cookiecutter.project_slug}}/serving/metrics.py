"""A folder in which all workers count for /metrics: made anew by the master, gone with it.

What a worker has counted stays there when it ends, by SIGTERM, by a reload or killed. What an
earlier master has left behind never counts.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus-client reads it


def share() -> None:
    """Before the application is loaded. A reload goes on with the same folder."""
    if os.environ.get("FLASK_METRICS_TOKEN"):
        os.environ[FOLDER] = _folder()


@lru_cache
def _folder() -> str:
    in_memory = "/dev/shm"  # noqa: S108
    folder = tempfile.mkdtemp(
        prefix="metrics-", dir=in_memory if os.path.isdir(in_memory) else None
    )
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: str, master: int) -> None:
    if os.getpid() == master:  # workers inherit what is registered
        shutil.rmtree(folder, ignore_errors=True)


def belongs_to(user: int, group: int) -> None:
    """The workers' user, where the master is root."""
    if os.environ.get("FLASK_METRICS_TOKEN"):
        os.chown(_folder(), user, group)
