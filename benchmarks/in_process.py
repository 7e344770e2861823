"""Runs groups of contenders in turns, so that each pair sees the same machine at the same time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.wsgi_client import CLIENTS

REQUESTS = 200  # a block: some 10 ms of bare Flask
ROOT = Path(__file__).resolve().parent.parent
SERVICE = ROOT / "{{cookiecutter.project_slug}}"
BUILD = ROOT / "build"


class Failed(Exception):
    """A contender stopped; the message is what it said."""


class Seat(NamedTuple):
    """Who takes a turn: a contender with its settings, under a label of its own."""

    label: str
    contender: str
    settings: dict[str, Any]
    service: Path = SERVICE  # the folder whose `app` is imported


@dataclass
class Worker:
    label: str
    process: subprocess.Popen[str]

    def ask(self, *command: Any) -> Any:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"{self.label} ended: see above"}
        if isinstance(answer, dict):
            raise Failed(answer["error"])
        return answer


def python_environment(service: Path = SERVICE) -> dict[str, str]:
    """Without settings of the surroundings, and without .pyc files in the template.

    :param service: the folder whose `app` is imported.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "APP_", "PYTHON"))}
    path = os.pathsep.join([str(ROOT), str(service)])
    return {**kept, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(BUILD / "pycache")}


@contextlib.contextmanager
def workers(python: Path, logs: Path, seats: Sequence[Seat], check: bool) -> Iterator[list[Worker]]:
    """One process for each seat, ready to be asked.

    :param check: that each does its work, before it is measured.
    """
    running: list[Worker] = []
    try:
        for label, name, settings, service in seats:
            log = logs / f"{label.replace(' ', '-').replace(':', '')}.log"
            log.unlink(missing_ok=True)
            argument = {"name": name, "settings": {**settings, "log": str(log)}, "checked": check}
            process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", json.dumps(argument)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=python_environment(service),
                cwd=logs,
                text=True,
            )
            running.append(Worker(label, process))
            running[-1].answer()
        yield running
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.communicate()


@dataclass
class Samples:
    """Microseconds per request of each contender, round by round."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def extend(self, others: Samples) -> None:
        for label, found in others.rounds.items():
            self.rounds.setdefault(label, []).extend(found)

    def add(self, label: str, seconds: float) -> None:
        self.rounds.setdefault(label, []).append(seconds * 1e6)

    def median(self, label: str) -> float:
        return median(self.rounds[label])

    def ratio(self, label: str, to: str) -> float:
        """The median of the ratios of the rounds, not the ratio of two medians."""
        return median(mine / other for mine, other in self.pairs(label, to))

    def difference(self, label: str, to: str) -> float:
        return median(mine - other for mine, other in self.pairs(label, to))

    def pairs(self, label: str, to: str) -> Iterator[tuple[float, float]]:
        return zip(self.rounds[label], self.rounds[to], strict=True)


def in_turns(
    group: Sequence[Worker],
    scenarios: Sequence[str],
    rounds: int,
    requests: int = REQUESTS,
    waits: bool = False,
) -> dict[str, Samples]:
    """A B C, B C A, C A B ...: one block each per round and scenario.

    Nobody runs twice in a row: who did would find its own data in the processor's caches. Bare
    Flask sits out where requests are refused: it refuses nobody.

    :param waits: time on the clock, for contenders that wait for a store. Otherwise the process's
        own processor time, which is the same on an idle machine and does not count its neighbours.
    :returns: samples by scenario.
    """
    samples = {scenario: Samples() for scenario in scenarios}
    turns = deque(group)
    for number in range(-1, rounds):  # round -1 warms up: each client has been seen once
        for scenario in scenarios:
            turns.rotate(-1)
            for worker in turns:
                if worker.label == "bare" and scenario == "429":
                    continue
                wall, own = worker.ask("block", scenario, requests if number >= 0 else CLIENTS)
                if number >= 0:
                    samples[scenario].add(worker.label, wall if waits else own)
    return samples
