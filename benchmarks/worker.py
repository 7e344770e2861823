"""One contender in one process: it waits, runs a block of requests when told, and waits again.

So nothing that a contender leaves behind (log handlers, timers, patched globals) costs another.
Reads one JSON command a line, and answers each with one JSON line.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.checks import NotDone, check_wsgi
from benchmarks.contenders import build
from benchmarks.duties import Settings
from benchmarks.wsgi_client import SCENARIOS, Client, call, environ_of

ASKED = 50  # requests


def serve(name: str, settings: dict[str, Any], checked: bool) -> None:
    settings["log"] = Path(settings["log"])
    app = build(name, Settings(**settings))
    if checked:
        check_wsgi(name, app, settings["log"])
    client = Client(app)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "trips":
            answer = round_trips(app, settings["storage"])
        else:
            answer = getattr(client, command)(*arguments)
        print(json.dumps(answer), flush=True)


def round_trips(app: Any, storage: str) -> float:
    """:returns: how often Redis is sent something for one request, as Redis counts it."""
    redis: Any = importlib.import_module("redis")
    store = redis.Redis.from_url(storage)
    before = store.info("stats")["total_reads_processed"]
    for n in range(ASKED):
        call(app, {**environ_of(SCENARIOS["plain"]), "REMOTE_ADDR": f"198.51.100.{n}"})
    after = store.info("stats")["total_reads_processed"]
    return float(after - before - 1) / ASKED  # less the second question itself


if __name__ == "__main__":
    try:
        serve(**json.loads(sys.argv[1]))
    except NotDone as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
