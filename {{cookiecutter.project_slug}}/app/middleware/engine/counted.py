"""What a request was counted on, for its headers, for a refusal and for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import flask_limiter
from limits import WindowStats

from .counters import Charges, State
from .limit_plans import Rule

COUNTED = "rate_limiting.counted"  # in the environ: a list of Counted


class Counted(NamedTuple):
    """What a request was counted on in one step."""

    admitted: bool
    rules: Sequence[Rule]
    states: list[State]  # of the rules
    policies: str  # the RateLimit-Policy header
    charges: Charges
    stamps: Sequence[float]  # of the buckets

    @property
    def refusing(self) -> list[tuple[Rule, State]]:
        both = [] if self.admitted else zip(self.rules, self.states, strict=True)
        return [(rule, state) for rule, state in both if state[0] < rule.charge[3]]


class RequestLimit(flask_limiter.RequestLimit):
    """As Flask-Limiter gives it, with what was counted instead of a question to a storage."""

    def __init__(self, limits: Any, rule: Rule, bucket: str, state: State, breached: bool):
        names = [bucket.partition("{")[2].rstrip("}"), rule.charge[0].rpartition(":")[0][1:]]
        super().__init__(limits, rule.limit.limit, names, breached, rule.limit.shared)
        self._stats = WindowStats(time.time() + state[1], state[0])

    @property
    def window(self) -> WindowStats:
        return self._stats


def request_limits(limits: Any, counted: Counted) -> list[flask_limiter.RequestLimit]:
    """:param limits: what the limits belong to, for Flask-Limiter."""
    buckets = [bucket for bucket, charges in counted.charges for _ in charges]
    refusing = [rule for rule, _ in counted.refusing]
    return [
        RequestLimit(limits, rule, bucket, state, rule in refusing)
        for rule, bucket, state in zip(counted.rules, buckets, counted.states, strict=True)
    ]
