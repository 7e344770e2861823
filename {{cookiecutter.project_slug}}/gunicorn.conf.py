"""gunicorn's settings: `gunicorn wsgi:app` in this folder reads them by itself.

The number of workers follows from where the rate limits are counted: one process with
memory://, 2 x cores + 1 on a store that all of them share, if the environment or .env names it
(FLASK_RATELIMIT_STORAGE_URI): app/config.py is not read here. WEB_CONCURRENCY overrides it.
What the settings do that are not gunicorn's own is in the folder serving/.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gunicorn.http.wsgi import Response

sys.path.insert(0, str(Path(__file__).parent))

from serving import master, metrics
from serving.master import child_exit, on_reload, on_starting, post_fork, pre_fork, when_ready  # noqa: F401
from serving.request import Bounds
from serving.settings import load_environment, number, whole
from serving.worker import PatientWorker

load_environment()
metrics.share()

cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

bind = os.environ.get("BIND") or "127.0.0.1:8000"
if os.environ.get("PORT") and not os.environ.get("BIND"):  # as platforms give it
    bind = f"0.0.0.0:{whole('PORT', 8000, 1, 65535, 'ports')}"
usual = 1 if master.counts_in_memory() else 2 * cores + 1
workers = whole("WEB_CONCURRENCY", usual, 1, 256, "workers")
worker_class = PatientWorker  # others are stopped by a few clients that send half a request
threads = 4
control_socket_disable = True  # nobody uses it, and it would stand in the home directory
forwarded_allow_ips = ""  # whom to believe is decided in one place: TRUSTED_PROXIES
if os.path.isdir("/dev/shm"):  # noqa: S108 - gunicorn's own advice: a heartbeat in memory
    worker_tmp_dir = "/dev/shm"  # noqa: S108

# seconds that an idle connection stays open: longer than a load balancer in front keeps it
keepalive = whole("KEEP_ALIVE", 5, 1, 3600, "seconds")
# seconds in which a stopping worker finishes what it has
graceful_timeout = whole("GRACEFUL_TIMEOUT", 30, 1, 3600, "seconds")
# seconds between SIGTERM and the end of service, in which /ready is 503
master.drain_seconds = number("DRAIN_TIMEOUT", 0, 0, 3600, "seconds")
# how slow a client may be: seconds for a whole head, then bytes of a body per second
PatientWorker.bounds = Bounds(
    number("SOCKET_TIMEOUT", 15, 0.001, 3600, "seconds"),
    number("SOCKET_RATE", 1000, 1, 1e9, "bytes per second"),
)


def without_server(self: Response) -> list[str]:
    return [line for line in default_headers(self) if not line.startswith("Server:")]


default_headers = Response.default_headers
Response.default_headers = without_server
