"""wrk against one server, and what the server's processes used of the processor meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.entries import CONNECTIONS
from benchmarks.in_process import ROOT, Failed
from benchmarks.install import needed
from tests.servers import Server


@dataclass
class Load:
    """What wrk saw of one contender, round by round."""

    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def add(self, server: Server, seconds: int, connections: int) -> None:
        before = sum(processor_times(server).values())
        seen = load(server, seconds, connections)
        used = sum(processor_times(server).values()) - before
        self.cpu_us.append(used / seen["requests"] * 1e6)
        self.per_second.append(seen["requests"] / seen["seconds"])
        self.p50_ms.append(seen["p50_ms"])
        self.p99_ms.append(seen["p99_ms"])


def load(server: Server, seconds: int, connections: int = CONNECTIONS) -> dict[str, float]:
    """:raises Failed: if a request was refused or failed; it would have cost too little."""
    command = [needed("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    script = ROOT / "benchmarks" / "wrk.lua"
    done = subprocess.run(
        [*command, "-s", str(script), server.url], capture_output=True, text=True, check=True
    )
    seen: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if seen["failed"]:
        raise Failed(f"{seen['failed']} requests were not answered 200:\n{server.output()[-2000:]}")
    return seen


def processor_times(server: Server) -> dict[int, float]:
    """Seconds that each process of a server has used, as Linux tells them."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == server.process.pid:  # its process group
                ticks = int(fields[11]) + int(fields[12])
                found[int(stat.parent.name)] = ticks / os.sysconf("SC_CLK_TCK")
    return found


def ratio(mine: Sequence[float], other: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return median(a / b for a, b in zip(mine, other, strict=True))
