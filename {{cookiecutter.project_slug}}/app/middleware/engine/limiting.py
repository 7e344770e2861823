"""The limits of one application: counts each request on all limits of its route, in one step."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import flask_limiter
from flask import Flask, Request, Response, after_this_request, current_app, request
from limits import WindowStats
from werkzeug.exceptions import HTTPException

from .clients import is_automatic_preflight
from .counters import Charge, Charges, MemoryStore, State
from .declared_limits import Declared, Limiter, parse_limits, watch
from .limit_plans import Found, Keys, Plan, Quota, Route, Rule, is_meant, route_of
from .redis_counters import SharedStore

if TYPE_CHECKING:
    from werkzeug.routing import Rule as RoutingRule

Store = MemoryStore | SharedStore

PLAN = "rate_limiting.plan"  # in the environ
HELD = "rate_limiting.held"  # in the environ: it waits for the view to be called
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

    def __init__(self, limits: Limits, rule: Rule, bucket: str, state: State, breached: bool):
        names = [bucket.partition("{")[2].rstrip("}"), rule.charge[0].rpartition(":")[0][1:]]
        super().__init__(limits, rule.limit.limit, names, breached, rule.limit.shared)  # type: ignore[arg-type]
        self._stats = WindowStats(time.time() + state[1], state[0])

    @property
    def window(self) -> WindowStats:
        return self._stats


class Limits:
    """app.extensions["rate_limiting"]: what other code may ask, and the way of a request.

    A request is counted before the view is known to be reached. Only where a limit of the view has
    functions (its text, key, cost, scope or exempt_when) it waits until the view is called: they
    may need what was found out on the way, who is logged in for example. If the view is not called
    after all, the limits without functions are counted before the response leaves.
    """

    def __init__(
        self,
        app: Flask,
        limiter: Limiter,
        store: Store,
        keys: Keys,
        everywhere: Sequence[Found],
        refusal: Callable[[Limits, Counted], Exception],
        key_func: Callable[[], str] | None = None,
    ) -> None:
        """:param everywhere: the application's limits and the default ones.
        :param refusal: makes the exception that refuses a request.
        :param key_func: who is counted, if it is not the address.
        """
        self.store = store
        self.everywhere = everywhere
        self._app: Any = weakref.proxy(app)
        self._limiter, self._keys, self._refusal, self._key_func = limiter, keys, refusal, key_func
        self._plans: dict[tuple[str | None, str], Plan] = {}
        self._charges_of = lru_cache(256)(self._compile_charges)

    # what other code may ask

    @property
    def state(self) -> str:
        """Where the counts are: "memory", "shared", "fallback" (in memory while the store is away)
        or "unknown" (the store has not responded yet)."""
        if isinstance(self.store, MemoryStore):
            return "memory"
        self.store.watch()
        if self.store.down:
            return "fallback"
        return "shared" if self.store.replies else "unknown"

    @property
    def degraded(self) -> bool:
        return self.state == "fallback"

    def acquire(self, scope: str, limits: str, key: str, record: bool = True) -> float:
        """Count on limits that belong to no route.

        :param scope: what is limited, for example "authentication".
        :param limits: for example "20 per minute".
        :param key: who is limited.
        :returns: 0.0 if admitted, and counted; otherwise the seconds to wait.
        """
        charges = [(self._keys.bucket(key), self._charges_of(scope, limits))]
        admitted, states, _ = self.store.acquire(charges, record)
        return 0.0 if admitted else max(wait for remaining, wait in states if remaining < 1)

    def peek(self, scope: str, limits: str, key: str) -> float:
        """What acquire() would return, counting nothing."""
        return self.acquire(scope, limits, key, record=False)

    def release(self, scope: str, limits: str, key: str) -> None:
        """Hand back what acquire() has just counted: it was none of what is limited."""
        self.store.release(self._keys.bucket(key), self._charges_of(scope, limits))

    def _compile_charges(self, scope: str, limits: str) -> list[Charge]:
        items = parse_limits(limits)
        return [(self._keys.counter(i, scope), i.amount, i.get_expiry(), 1) for i in items]

    def limits_of(self, rule: RoutingRule, method: str) -> tuple[str, ...] | None:
        """The limits that a request of this method counts on, for example ("50 per 1 minute",).

        :returns: () if it is not limited; None if a function says what the limits are.
        """
        plan = self.plan(rule.endpoint, method)
        texts = [one.limit.limit for one in plan.found]
        if any(callable(text) for text in texts):
            return None
        return tuple(str(text) for text in sorted(texts, key=lambda item: item.get_expiry()))

    def reset(self) -> None:
        self.store.reset()

    def clear(self, key: str, scope: str | None = None) -> None:
        """Forget what was counted of somebody.

        :param scope: an endpoint or a shared scope; None: all.
        """
        names = "" if scope is None else self._keys.scope(scope)
        self.store.clear(self._keys.bucket(key), names)

    @property
    def current_limits(self) -> list[flask_limiter.RequestLimit]:
        counted = request.environ.get(COUNTED, ())
        return [limit for one in counted for limit in self.request_limits(one)]

    def request_limits(self, counted: Counted) -> list[flask_limiter.RequestLimit]:
        buckets = [bucket for bucket, charges in counted.charges for _ in charges]
        refusing = [rule for rule, _ in counted.refusing]
        return [
            RequestLimit(self, rule, bucket, state, rule in refusing)
            for rule, bucket, state in zip(counted.rules, buckets, counted.states, strict=True)
        ]

    # the way of a request

    def check(self, asked: Request) -> None:
        """Before the view, and before whoever comes later: count the request, or refuse it."""
        environ, routed = asked.environ, asked.url_rule
        for is_exempt in self._limiter.filters:
            if is_exempt():
                return
        if environ["REQUEST_METHOD"] == "OPTIONS" and is_automatic_preflight(asked):
            return
        plan = self.plan(routed.endpoint, asked.method) if routed else self.plan(None, "")
        environ[PLAN] = plan
        if plan.is_held:
            environ[HELD] = True
            after_this_request(self._settle)
        elif plan.fixed is None:
            self._charge(plan, plan.found)
        elif plan.fixed.charges:
            charges = [(self._bucket(environ), plan.fixed.charges)]
            self._count(environ, plan.fixed.rules, charges, plan.fixed)

    def plan(self, endpoint: str | None, method: str) -> Plan:
        plan = self._plans.get((endpoint, method))
        if plan is None:
            route = route_of(self._limiter, self._app, endpoint, method, self.everywhere)
            plan = Plan(route, endpoint, method, self._limiter.key_func)
            if plan.is_held and not route.is_watched:  # Flask has the function as it was before
                view = self._app.view_functions[endpoint]
                watched = watch(view, route.declared[0], route.declared)
                self._app.view_functions[endpoint] = watched
            self._plans[endpoint, method] = plan
        return plan

    def around(self, declared: Declared, is_innermost: bool = True) -> None:
        """A decorated function is called, or a block entered."""
        environ = request.environ
        plan = environ.get(PLAN)
        if plan is None:  # this request is not limited
            return
        if any(declared is one for one in plan.declared):
            if is_innermost and environ.pop(HELD, False):
                self._charge(plan, plan.found)
            return
        found = tuple(Found("route", limit) for limit in declared if is_meant(limit, plan.method))
        extra = Plan(Route(found, (), True), plan.endpoint, plan.method, self._limiter.key_func)
        self._charge(extra, found)

    def _settle(self, response: Response) -> Response:
        """The view was not called: somebody refused the request on the way."""
        plan = request.environ[PLAN]
        if request.environ.pop(HELD, False):
            try:
                self._charge(plan, plan.early)
            except HTTPException as refusal:
                return current_app.make_response(current_app.handle_user_exception(refusal))
        return response

    def _bucket(self, environ: Any) -> str:
        who = self._key_func() if self._key_func else None
        return self._keys.bucket(who) if who else self._keys.of_address(environ.get("REMOTE_ADDR"))

    def _charge(self, plan: Plan, found: Sequence[Found]) -> None:
        environ = request.environ
        quota = plan.quota(found)
        if quota.rules:
            rules, charges = plan.charges(quota, self._bucket(environ), self._keys)
            self._count(environ, rules, charges, quota)

    def _count(self, environ: Any, rules: Sequence[Rule], charges: Charges, quota: Quota) -> None:
        admitted, states, stamps = self.store.acquire(charges)
        counted = Counted(admitted, rules, states, quota.policies, charges, stamps)
        if COUNTED in environ:
            environ[COUNTED].append(counted)
        else:
            environ[COUNTED] = [counted]
        if not admitted:
            raise self._refusal(self, counted)
        if quota.has_conditions:
            after_this_request(partial(self._hand_back, counted))

    def _hand_back(self, counted: Counted, response: Response) -> Response:
        """What is only due for some responses was counted first, and is handed back for others."""
        rules = iter(enumerate(counted.rules))
        for (bucket, charges), stamp in zip(counted.charges, counted.stamps, strict=True):
            back = []
            for charge, (place, rule) in zip(charges, rules, strict=False):
                is_due = rule.limit.deduct_when
                if is_due and not is_due(response):
                    back.append(charge)
                    remaining, reset_in = counted.states[place]
                    counted.states[place] = remaining + charge[3], reset_in
            if back:
                self.store.release(bucket, back, stamp)
        return response
