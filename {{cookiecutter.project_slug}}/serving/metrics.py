"""A folder in which all workers count for /metrics: made anew by the master, gone with it.

What a worker has counted stays there when it ends, by SIGTERM, by a reload or killed: the next one
goes on in its files, so that they do not pile up. What an earlier master has left behind never
counts.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus-client reads it

_names: dict[int, str] = {}  # of this worker in the names of its files, by its process


def share() -> None:
    """Before the application is loaded. A reload goes on with the same folder."""
    if _are_shared():
        os.environ[FOLDER] = _folder()
        _name_workers()


def _are_shared() -> bool:
    return bool(os.environ.get("FLASK_METRICS_TOKEN"))


@lru_cache
def _folder() -> str:
    in_memory = "/dev/shm"  # noqa: S108
    folder = tempfile.mkdtemp(
        prefix="metrics-", dir=in_memory if os.path.isdir(in_memory) else None
    )
    atexit.register(_remove, folder, os.getpid())
    return folder


@lru_cache
def _name_workers() -> None:
    """Let prometheus-client name files by the worker's number, which no other has meanwhile."""
    with contextlib.suppress(ImportError):  # the application says that it is missing
        from prometheus_client import values

        values.ValueClass = values.MultiProcessValue(_name)  # type: ignore[no-untyped-call]


def _name() -> str | int:
    return _names.get(os.getpid()) or os.getpid()


def _remove(folder: str, master: int) -> None:
    if os.getpid() == master:  # workers inherit what is registered
        shutil.rmtree(folder, ignore_errors=True)


def begin(user: int, group: int) -> None:
    """In the master, which --daemon has made another process by now."""
    if _are_shared():
        _give(user, group)
        atexit.register(_remove, _folder(), os.getpid())


def _give(user: int, group: int) -> None:
    """
    :param user: the workers', where the master is root. When a person logs out, systemd removes
        what has the same user in /dev/shm (RemoveIPC); without the folder no worker would start.
    """
    os.makedirs(_folder(), 0o700, exist_ok=True)
    os.chown(_folder(), user, group)


def worker_begins(number: int, user: int, group: int) -> None:
    _names[os.getpid()] = f"worker{number}"
    if _are_shared():
        _give(user, group)


def worker_ended(number: int) -> None:
    """Forget what it had in flight."""
    if _are_shared():
        for path in Path(_folder()).glob(f"gauge_live*_worker{number}.db"):
            path.unlink(missing_ok=True)
