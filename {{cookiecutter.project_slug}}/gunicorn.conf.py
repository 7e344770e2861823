"""gunicorn's settings: `gunicorn wsgi:app` in this folder reads them by itself.

The number of workers follows from where the rate limits are counted: one process with
memory://, 2 x cores + 1 on a store that all of them share. WEB_CONCURRENCY overrides it.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from itertools import count
from typing import Any

from dotenv import load_dotenv
from gunicorn.http.wsgi import Response

load_dotenv()


def seconds(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.001 <= value <= 3600:
        raise SystemExit(f"{name}: {text!r} is no number of seconds from 0.001 to 3600, such as 15")
    return value


storage = (os.environ.get("FLASK_RATELIMIT_STORAGE_URI") or "memory://").strip('"')
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

bind = os.environ.get("BIND") or "127.0.0.1:8000"
workers = int(
    os.environ.get("WEB_CONCURRENCY") or (1 if storage.startswith("memory") else 2 * cores + 1)
)
worker_class = "gthread"  # a sync worker is stopped by one client that sends half a request
threads = 4
keepalive = 5  # seconds
reuse_port = workers > 1  # otherwise one worker may take every keep-alive connection
silence = seconds("SOCKET_TIMEOUT", 15)
control_socket_disable = True  # nobody uses it, and it would stand in the home directory
forwarded_allow_ips = ""  # whom to believe is decided in one place: TRUSTED_PROXIES
if os.path.isdir("/dev/shm"):  # noqa: S108 - gunicorn's own advice: a heartbeat in memory
    worker_tmp_dir = "/dev/shm"  # noqa: S108


# Each worker is told how many share its limits and which of them it is, so that the parts they
# admit while the store is away add up to the limit. On several machines set both: all workers
# together in FLASK_RATELIMIT_WORKERS, and in FLASK_RATELIMIT_WORKER the number of the first here.

first = os.environ.get("FLASK_RATELIMIT_WORKER")
if first is None and not os.environ.get("FLASK_RATELIMIT_WORKERS"):
    first = "0"


def on_starting(server: Any) -> None:
    """With --preload the application exists before anybody could tell it of its workers."""
    loaded, number = getattr(server.app, "callable", None), server.cfg.workers
    limits = getattr(loaded, "extensions", {}).get("rate_limiting")
    if limits is not None and limits.state == "memory" and number > 1:
        raise SystemExit(
            f"RATELIMIT_STORAGE_URI: 'memory://' with {number} workers admits {number} times each "
            "limit: write redis://host:6379, or serve with one worker"
        )


def pre_fork(server: Any, worker: Any) -> None:
    taken = {other.place for other in server.WORKERS.values()}
    worker.place = next(place for place in count() if place not in taken)


def post_fork(server: Any, worker: Any) -> None:
    for listener in worker.sockets:
        _hang_up_on_silence(listener)
    workers = os.environ.get("FLASK_RATELIMIT_WORKERS") or str(server.cfg.workers)
    settings = {"RATELIMIT_WORKERS": workers}
    if first is not None:
        settings["RATELIMIT_WORKER"] = str(int(first) + worker.place)
    os.environ.update({f"FLASK_{key}": value for key, value in settings.items()})
    loaded: Any = getattr(server.app, "callable", None)
    if hasattr(loaded, "config"):  # with --preload
        loaded.config.update(settings)


# gunicorn waits without end for the rest of a request, and for a client that takes no more of its
# answer: whoever vanishes there would hold a thread. The kernel ends the wait (BlockingIOError).
# A connection that is kept alive holds no thread and is not concerned.


def _hang_up_on_silence(listener: Any) -> None:
    accept, limit = listener.accept, struct.pack("ll", int(silence), int(silence % 1 * 1e6))

    def accept_with_limits() -> tuple[socket.socket, Any]:
        client, address = accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return client, address

    listener.accept = accept_with_limits


def _in_one_line(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], BlockingIOError):
        record.msg, record.args = "A client was silent for %g s: hung up", (silence,)
        record.exc_info = None
    return True


logging.getLogger("gunicorn.error").addFilter(_in_one_line)


def _without_server(self: Response) -> list[str]:
    return [line for line in _default_headers(self) if not line.startswith("Server:")]


_default_headers = Response.default_headers
Response.default_headers = _without_server
