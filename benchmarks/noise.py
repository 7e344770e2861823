"""Whether a machine was quiet while a run was measured, and what says that it was not.

Between the parts of a run nothing of ours runs. There the processors are watched for half a second,
and a loop of plain arithmetic is timed. What else they do then, others do; a loop that takes longer
than another one is a processor that was shared or slowed. Over the whole run, what the processors
did and our processes did not was done by others, too.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

WATCHED_SECONDS = 0.5
LOOPS = 5  # of which the median counts: the interpreter's own hiccups are not the machine's
LIMITS = {
    "others": 0.05,  # the part of all processors' time that others used while we paused
    "meanwhile": 0.10,  # the same over the whole run; the kernel's own threads are in it
    "steal": 0.01,  # what the hypervisor gave to others, over the whole run
    "spread": 1.10,  # the slowest pause's loop against the fastest one's
}


class Ticks(NamedTuple):
    """Of all processors together since the start, as Linux counts them."""

    total: int
    idle: int
    busy: int  # for processes
    steal: int


def ticks() -> Ticks | None:
    """:returns: None where there is no /proc/stat."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return None
    user, nice, system, idle, waiting, irq, softirq, steal = map(int, first.split()[1:9])
    total = user + nice + system + idle + waiting + irq + softirq + steal
    return Ticks(total, idle + waiting, user + nice + system, steal)


def own_ticks() -> float:
    """What this process has used, and those of its descendants that have ended."""
    used = os.times()
    seconds = used.user + used.system + used.children_user + used.children_system
    return seconds * os.sysconf("SC_CLK_TCK")


def loop_ms() -> float:
    """Milliseconds on the clock of some arithmetic that needs no memory."""
    start = time.perf_counter()
    number = 1
    for _ in range(200_000):
        number = number * 1103515245 + 12345 & 0x7FFFFFFF
    return (time.perf_counter() - start) * 1000


@dataclass
class Noise:
    """Made before a run; `pause()` before the first part, between two, and after the last."""

    start: Ticks | None = field(default_factory=ticks)
    own: float = field(default_factory=own_ticks)
    others: list[float] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)

    def pause(self) -> None:
        before = ticks()
        time.sleep(WATCHED_SECONDS)
        after = ticks()
        if before and after:
            passed = max(1, after.total - before.total)
            self.others.append(1 - (after.idle - before.idle) / passed)
        self.loops.append(median(loop_ms() for _ in range(LOOPS)))

    def found(self) -> dict[str, Any]:
        """What was seen; `too_noisy` names what was beyond its limit."""
        end = ticks()
        seen = {"spread": max(self.loops) / min(self.loops)}
        if self.others:
            seen["others"] = max(self.others)
        if self.start and end:
            passed = max(1, end.total - self.start.total)
            seen["steal"] = (end.steal - self.start.steal) / passed
            own = own_ticks() - self.own
            seen["meanwhile"] = max(0.0, end.busy - self.start.busy - own) / passed
        return {
            **{name: round(value, 3) for name, value in sorted(seen.items())},
            "too_noisy": sorted(name for name, value in seen.items() if value > LIMITS[name]),
        }


def verdict(noise: dict[str, Any]) -> str:
    """One line for a person: that the machine was quiet, or why the run is not to be trusted."""
    seen = ", ".join(
        f"{name} {noise[name]:.3f} (limit {limit})"
        for name, limit in LIMITS.items()
        if name in noise
    )
    if noise["too_noisy"]:
        return f"TOO NOISY ({', '.join(noise['too_noisy'])}): {seen}"
    return f"quiet: {seen}"
