"""What gunicorn's master does besides: numbers its workers, drains, and scales without a fault.

gunicorn calls these functions by their names; gunicorn.conf.py imports them. Signals to the master:

TERM        drains for DRAIN_TIMEOUT seconds (/ready is 503, everything is served), then stops;
            a second one ends the draining
HUP         new workers with new code and settings, then the old ones stop: nothing is lost
TTIN, TTOU  one worker more or less. On a shared store all of them are replaced, as each has to
            know how many share its limits; on memory:// one more is refused
"""

from __future__ import annotations

import os
import signal
from itertools import count
from typing import Any

from serving import metrics, shared
from serving.listeners import let_nobody_new_in

drain_seconds = 0.0


def counts_in_memory() -> bool:
    """Whether each process has limits of its own, as far as the environment says.

    The master never loads app/config.py: after a HUP it would still have the old one.
    """
    storage = os.environ.get("FLASK_RATELIMIT_STORAGE_URI") or "memory://"
    return storage.strip('"').startswith("memory")


def on_starting(server: Any) -> None:
    """With --preload the application exists before anybody could tell it of its workers."""
    metrics.begin(server.cfg.uid, server.cfg.gid)
    loaded, number = getattr(server.app, "callable", None), server.cfg.workers
    limits = getattr(loaded, "extensions", {}).get("rate_limiting")
    if limits is not None and limits.state == "memory" and number > 1:
        raise SystemExit(
            f"RATELIMIT_STORAGE_URI: 'memory://' with {number} workers admits {number} times each "
            "limit: write redis://host:6379, or serve with one worker"
        )


def is_alone(server: Any) -> bool:
    """Whether its listening sockets are nobody else's: neither systemd's nor of another master."""
    return not (server.systemd or server.reexec_pid or server.master_pid)


def when_ready(server: Any) -> None:
    server.generation = 0
    stop = server.handle_term

    def handle_term() -> None:
        if shared.is_draining() or not drain_seconds:
            shared.start_draining()
            if is_alone(server):
                let_nobody_new_in(listener.sock for listener in server.LISTENERS)
            stop()
        shared.start_draining()
        server.log.info("Draining for %g s: /ready is 503, everything is served", drain_seconds)
        signal.signal(signal.SIGALRM, lambda *_: server.signal(signal.SIGTERM, None))
        signal.setitimer(signal.ITIMER_REAL, drain_seconds)

    def handle_ttin() -> None:
        if counts_in_memory():
            server.log.warning(
                "TTIN refused: FLASK_RATELIMIT_STORAGE_URI names no store, and on memory:// each "
                "worker admits the whole of every limit: set it, for example to "
                "redis://localhost:6379, and restart"
            )
            return
        _replace_all(server, server.num_workers + 1)

    def handle_ttou() -> None:
        if server.num_workers > 1:
            _replace_all(server, server.num_workers - 1)

    server.handle_term, server.handle_ttin, server.handle_ttou = (
        handle_term,
        handle_ttin,
        handle_ttou,
    )


def _replace_all(server: Any, number: int) -> None:
    """New workers that know how many there are, then the old ones stop: as HUP does it."""
    server.generation += 1
    server.num_workers = number
    for _ in range(number):
        server.spawn_worker()
    server.manage_workers()


def on_reload(server: Any) -> None:
    server.generation += 1


def pre_fork(server: Any, worker: Any) -> None:
    """Number it: among all workers, and its place among those of its generation."""
    worker.generation = server.generation
    others = list(server.WORKERS.values())
    worker.number = _free([other.number for other in others])
    worker.place = _free([o.place for o in others if o.generation == worker.generation])


def _free(taken: list[int]) -> int:
    return next(number for number in count() if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """Tell a worker how many share its limits and which of them it is.

    So the parts that they admit while the store is away add up to the limit. On several machines
    set both: all workers together in FLASK_RATELIMIT_WORKERS, and in FLASK_RATELIMIT_WORKER the
    number of the first here.
    """
    metrics.worker_begins(worker.number, server.cfg.uid, server.cfg.gid)
    everywhere = os.environ.get("FLASK_RATELIMIT_WORKERS")
    first = os.environ.get("FLASK_RATELIMIT_WORKER") or (None if everywhere else "0")
    settings = {"RATELIMIT_WORKERS": everywhere or str(server.num_workers)}
    if first is not None:
        settings["RATELIMIT_WORKER"] = str(int(first) + worker.place)
    os.environ.update({f"FLASK_{key}": value for key, value in settings.items()})
    loaded: Any = getattr(server.app, "callable", None)
    if hasattr(loaded, "config"):  # with --preload
        loaded.config.update(settings)


def child_exit(server: Any, worker: Any) -> None:
    shared.takes_no_more(worker.age)
    metrics.worker_ended(worker.number)
