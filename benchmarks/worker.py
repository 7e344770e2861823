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
from benchmarks.contenders import Settings, build
from benchmarks.wsgi_client import SCENARIOS, Client, call, environ_of


def serve(name: str, settings: dict[str, Any], checked: bool) -> None:
    settings["log"] = Path(settings["log"])
    app = build(name, Settings(**settings))
    if checked:
        check_wsgi(name, app, settings["log"])
    client = Client(app)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer = round_trips(app) if command == "trips" else getattr(client, command)(*arguments)
        print(json.dumps(answer), flush=True)


def round_trips(app: Any) -> float:
    """:returns: how often one request waits for Redis."""
    connection: Any = importlib.import_module("redis.connection").AbstractConnection
    sent = 0
    send = connection.send_packed_command

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal sent
        sent += 1
        return send(self, *args, **kwargs)

    connection.send_packed_command = counting
    for n in range(50):
        call(app, {**environ_of(SCENARIOS["plain"]), "REMOTE_ADDR": f"198.51.100.{n}"})
    connection.send_packed_command = send
    return sent / 50


if __name__ == "__main__":
    try:
        serve(**json.loads(sys.argv[1]))
    except NotDone as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
