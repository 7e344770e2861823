"""What a limited request is told: 429 and its problem details, and the headers of every response.

Standards: RFC 6585 (429), RFC 9110 10.2.3 (Retry-After), RFC 9457, draft-ietf-httpapi-
ratelimit-headers-10 (RateLimit)
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from flask import Response, request
from flask_limiter import RateLimitExceeded

from .counted import OUTCOMES, CountedLimit, Outcome, request_limits
from .counters import State
from .declared_limits import RuntimeLimit
from .header_lists import Headers, has_header

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
RETRY_AFTER = "rate_limiting.retry_after"  # in the environ of a refused request: seconds, or None


class TooManyRequests(RateLimitExceeded):
    """429 with Retry-After, as problem+json where the application renders no errors itself."""

    def __init__(
        self, limit: RuntimeLimit, policies: list[str], wait: int | None, response: Response | None
    ) -> None:
        """:param wait: seconds; None where no wait helps, since the request costs too much."""
        super().__init__(limit, response)
        self.retry_after = wait
        self.problem = {"type": QUOTA_EXCEEDED, "violated-policies": policies}
        remedy = f"retry in {wait} s" if wait else "this request costs more than that"
        self.description = f"Too many requests ({self.description}): {remedy}."

    def get_headers(self, *_: Any) -> list[tuple[str, str]]:
        headers = [("Content-Type", "application/problem+json")]
        return headers + ([("Retry-After", str(self.retry_after))] if self.retry_after else [])

    def get_body(self, *_: Any) -> str:
        title = {"title": self.name, "status": 429, "detail": self.description}
        return json.dumps(self.problem | title)


def refusal_of(on_breach: Any, limits: Any, outcome: Outcome) -> TooManyRequests:
    """The exception that refuses a request.

    :param on_breach: a function that is called with each limit that refuses, or None.
    """
    refusing = outcome.refusing
    response = None
    if on_breach or any(one.limit.on_breach for one, _ in refusing):
        response = _call_back(on_breach, limits, outcome)
    policies = [one.policy_name for one, _ in refusing]
    amounts_and_costs = [(one.charge[1], one.charge[3]) for one, _ in refusing]
    wait = None
    if all(cost <= amount for amount, cost in amounts_and_costs):
        wait = max(1, ceil(max(reset_in for _, (_, reset_in) in refusing)))
    environ = request.environ
    environ[RETRY_AFTER] = wait
    environ["security_event"] = {"event": "rate_limited", "policies": policies}
    return TooManyRequests(refusing[0][0].limit, policies, wait, response)


def _call_back(on_breach: Any, limits: Any, outcome: Outcome) -> Response | None:
    """The response that one of the functions wants to be sent, if any does."""
    response = None
    for limit, one in zip(request_limits(limits, outcome), outcome.limits, strict=True):
        for callback in dict.fromkeys([on_breach, one.limit.on_breach]) if limit.breached else ():
            made = callback(limit) if callback else None
            response = made if isinstance(made, Response) else response
    return response


class HeaderWriter:
    """Completes the headers of each response whose request was counted."""

    def __init__(self, is_enabled: bool, legacy: Sequence[str]) -> None:
        """:param is_enabled: whether RateLimit and RateLimit-Policy are written.
        :param legacy: names of headers for the amount, what remains, and the Unix time of the
            reset; "" for none.
        """
        self._is_enabled, self._legacy = is_enabled, legacy if any(legacy) else ()
        self._is_wanted = bool(is_enabled or self._legacy)

    def add(self, environ: WSGIEnvironment, status: str, headers: Headers) -> None:
        outcomes: list[Outcome] | None = environ.get(OUTCOMES)
        if not outcomes:
            return
        if self._is_wanted:
            self._add_rate_limit(outcomes, headers)
        wait = environ.get(RETRY_AFTER) if status.startswith("429") else None
        if wait and not has_header(headers, "retry-after"):
            headers.append(("Retry-After", str(wait)))  # an owner's error handler left it out

    def _add_rate_limit(self, outcomes: list[Outcome], headers: Headers) -> None:
        limit, (remaining, reset_in) = _most_pressing(outcomes)
        seconds = ceil(reset_in) or 1
        if self._is_enabled:
            policies = ", ".join([one.policy_header for one in outcomes])
            if ("RateLimit-Policy", policies) in headers:  # of an application inside of this one
                return
            headers.append(("RateLimit-Policy", policies))
            headers.append(("RateLimit", f'"{limit.policy_name}";r={remaining};t={seconds}'))
        if self._legacy:
            values = limit.charge[1], remaining, int(time.time()) + seconds
            headers += [(n, str(v)) for n, v in zip(self._legacy, values, strict=True) if n]


def _most_pressing(outcomes: list[Outcome]) -> tuple[CountedLimit, State]:
    """The limit on which Retry-After waits; of an admitted request the one of which least is left,
    and of several such the one that takes longest."""
    if refusing := outcomes[-1].refusing:
        return max(refusing, key=lambda pair: pair[1][1])
    limit, state = outcomes[0].limits[0], outcomes[0].states[0]
    for one in outcomes:
        for other, its in zip(one.limits, one.states, strict=True):
            if its[0] < state[0] or (its[0] == state[0] and its[1] > state[1]):
                limit, state = other, its
    return limit, state
