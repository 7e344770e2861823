"""Limits as a request is counted on them, and the outcome; limit_plans.py has the words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import flask_limiter
from limits import WindowStats

from .counters import Charge, Charges, State
from .declared_limits import RuntimeLimit

OUTCOMES = "rate_limiting.outcomes"  # in the environ: a list of them


class CountedLimit(NamedTuple):
    charge: Charge
    policy_name: str  # in the headers
    limit: RuntimeLimit
    source: str


class Outcome(NamedTuple):
    """Of counting a request in one step."""

    admitted: bool
    limits: Sequence[CountedLimit]
    states: list[State]  # of the limits
    policy_header: str  # RateLimit-Policy
    charges: Charges
    stamps: Sequence[float]  # of the buckets

    @property
    def refusing(self) -> list[tuple[CountedLimit, State]]:
        if self.admitted:
            return []
        both = zip(self.limits, self.states, strict=True)
        return [(one, state) for one, state in both if state[0] < one.charge[3]]


class RequestLimit(flask_limiter.RequestLimit):
    """As Flask-Limiter gives it, with what was counted instead of a question to a storage."""

    def __init__(self, limits: Any, one: CountedLimit, bucket: str, state: State, breached: bool):
        names = [bucket.partition("{")[2].rstrip("}"), one.charge[0].rpartition(":")[0][1:]]
        super().__init__(limits, one.limit.limit, names, breached, one.limit.shared)
        self._stats = WindowStats(time.time() + state[1], state[0])

    @property
    def window(self) -> WindowStats:
        return self._stats


def request_limits(limits: Any, outcome: Outcome) -> list[flask_limiter.RequestLimit]:
    """:param limits: what the limits belong to, for Flask-Limiter."""
    buckets = [bucket for bucket, charges in outcome.charges for _ in charges]
    refusing = [one for one, _ in outcome.refusing]
    return [
        RequestLimit(limits, one, bucket, state, one in refusing)
        for one, bucket, state in zip(outcome.limits, buckets, outcome.states, strict=True)
    ]
