"""What the master and its workers tell each other: a piece of memory that all of them share.

It is made before the first fork, so it has to be imported by the master (gunicorn.conf.py does).
"""

from __future__ import annotations

import mmap

_WORKERS = 256
_NOBODY = 0xFFFF  # as a number of connections: no worker has this place

_memory = memoryview(mmap.mmap(-1, 2 * (_WORKERS + 1))).cast("H")
_connections, _draining = _memory[:_WORKERS], _memory[_WORKERS:]
_connections[:] = memoryview(bytes([0xFF]) * 2 * _WORKERS).cast("H")


def start_draining() -> None:
    _draining[0] = 1


def is_draining() -> bool:
    """Whether the service is about to stop: it serves, and its load balancer shall look away."""
    return _draining[0] == 1


def has_connections(worker: int, number: int) -> None:
    """A worker says how many connections it has.

    :param worker: its age, by which gunicorn numbers all workers that it ever started.
    """
    _connections[worker % _WORKERS] = min(number, _NOBODY - 1)


def takes_no_more(worker: int) -> None:
    _connections[worker % _WORKERS] = _NOBODY


def fewest_connections() -> int:
    """How many connections the worker has that has the fewest."""
    return min(_connections)
