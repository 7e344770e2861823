"""What one Redis carries of our rate limits: `python -m benchmarks.store`, for docs/scaling.md.

Asks with redis-benchmark, two limits each time, for 10,000 clients; and counts bytes per counter.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

from redis import Redis

from tests.limited import load
from tests.parts import require
from tests.servers import redis

REQUESTS = 100_000
KEY = "flask-service:moving-window:1:{__rand_int__}:api.ping:"


def cpu_seconds(client: Any) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def ask(client: Any, port: int, script: str, connections: int) -> str:
    client.flushall()
    before = cpu_seconds(client)
    command = [require("redis-benchmark"), "-p", port, "-c", connections, "-n", REQUESTS, "-q"]
    command += ["-r", 10_000, "EVALSHA", script, 2, KEY + "50/60", KEY + "200/3600"]
    command += [1, 50, 60, 1, 200, 3600, 1]
    said = subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True
    )
    rate, median = re.findall(r"([\d.]+) requests per second.*?p50=([\d.]+)", said.stdout)[-1]
    cpu = (cpu_seconds(client) - before) / REQUESTS * 1e6
    return (
        f"{connections:4} connections: {float(rate):7.0f} /s, median {median} ms, CPU {cpu:.0f} us"
    )


def size(client: Any, times: int) -> str:
    client.flushall()
    before = client.info("memory")["used_memory"]
    pipe = client.pipeline(transaction=False)
    for number in range(10_000):
        key = (
            f"flask-service:moving-window:1:{{10.0.{number >> 8}.{number & 255}}}:api.ping:200/3600"
        )
        pipe.lpush(key, *(1_700_000_000_000_000 + n for n in range(times)))
        pipe.pexpire(key, 3_600_000)
    pipe.execute()
    each = (client.info("memory")["used_memory"] - before) / 10_000
    return f"{times:4} requests in a window: {each:.0f} bytes"


def main() -> None:
    with redis() as store, Redis(port=store.port) as client:
        script = client.script_load(load().SCRIPT)
        for connections in (1, 8, 64, 256):
            print(ask(client, store.port, script, connections))
        for times in (1, 10, 50, 200):
            print(size(client, times))


if __name__ == "__main__":
    main()
