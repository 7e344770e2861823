"""The limits of one application: counts each request on all limits of its route, in one step."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import flask_limiter
from flask import Flask, Request, Response, after_this_request, current_app, request
from flask_limiter import ApplicationLimit
from werkzeug.exceptions import HTTPException

from .clients import LONGEST, is_automatic_preflight
from .counted import COUNTED, Counted, request_limits
from .counters import Charge, Charges, MemoryStore
from .declared_limits import Declared, Limiter, expand, parse_limits, watch
from .limit_plans import Found, Keys, Plan, Quota, Route, Rule, is_meant, route_of
from .redis_counters import SharedStore

if TYPE_CHECKING:
    from werkzeug.routing import Rule as RoutingRule

Store = MemoryStore | SharedStore

PLAN = "rate_limiting.plan"  # in the environ
WHO = "rate_limiting.who"  # in the environ: the bucket of the request, and that of its caller
HELD = "rate_limiting.held"  # in the environ: it waits for the view to be called


class Policy(NamedTuple):
    """What the configuration says.

    - everywhere: the application's limits and the default ones
    - refusal: makes the exception that refuses a request
    - key_func: a function that says who is counted, if it is not the address
    - by_caller: whether it is the authenticated caller, where there is one
    - callers, tiers: limits of callers that have none of their own; those of a tier, by its name
    """

    everywhere: Sequence[Found]
    refusal: Callable[[Limits, Counted], Exception]
    key_func: Callable[[], str] | None = None
    by_caller: bool = False
    callers: str = ""
    tiers: Mapping[str, str] = {}


class Limits:
    """app.extensions["rate_limiting"]: what other code may ask, and the way of a request.

    A request is counted before the view is known to be reached. Only where a limit of the view has
    functions (its text, key, cost, scope or exempt_when) it waits until the view is called: they
    may need what was found out on the way, who is logged in for example. If the view is not called
    after all, the limits without functions are counted before the response leaves.

    Limits of a caller's own are its budget over all routes, in place of the default and the
    application's limits. So who the caller is has to be asked first: authentication says it, and
    refuses in its turn, after the request was counted.
    """

    def __init__(
        self, app: Flask, limiter: Limiter, store: Store, keys: Keys, policy: Policy
    ) -> None:
        self.store = store
        self.policy = policy
        self._app: Any = weakref.proxy(app)
        self._limiter, self._keys = limiter, keys
        self._plans: dict[tuple[str | None, str, str | None], Plan] = {}
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

    def limits_of(
        self, rule: RoutingRule, method: str, own: str | None = None
    ) -> tuple[str, ...] | None:
        """The limits that a request of this method counts on, for example ("50 per 1 minute",).

        :param own: the limits of a caller that has its own.
        :returns: () if it is not limited; None if a function says what the limits are.
        """
        plan = self.plan(rule.endpoint, method, own)
        texts = [one.limit.limit for one in plan.found]
        if any(callable(text) for text in texts):
            return None
        return tuple(str(text) for text in sorted(texts, key=lambda item: item.get_expiry()))

    def reset(self) -> None:
        self.store.reset()

    def clear(self, key: str, scope: str | None = None) -> None:
        """Forget what was counted of somebody.

        :param key: an address, "caller:<name>", or what a key function returned.
        :param scope: an endpoint or a shared scope; None: all.
        """
        names = "" if scope is None else self._keys.scope(scope)
        self.store.clear(self._keys.named(key), names)

    @property
    def current_limits(self) -> list[flask_limiter.RequestLimit]:
        counted = request.environ.get(COUNTED, ())
        return [limit for one in counted for limit in request_limits(self, one)]

    # the way of a request

    def check(self, asked: Request) -> None:
        """Before the view, and before whoever comes later: count the request, or refuse it."""
        environ, routed = asked.environ, asked.url_rule
        for is_exempt in self._limiter.filters:
            if is_exempt():
                return
        if environ["REQUEST_METHOD"] == "OPTIONS" and is_automatic_preflight(asked):
            return
        bucket, of_caller, own = self._who(environ)
        plan = self.plan(routed.endpoint, asked.method, own) if routed else self.plan(None, "", own)
        environ[PLAN], environ[WHO] = plan, (bucket, of_caller)
        if plan.is_held:
            environ[HELD] = True
            after_this_request(self._settle)
        elif plan.fixed is None:
            self._charge(plan, plan.found)
        elif plan.fixed.charges:
            charges = [(bucket, plan.fixed.charges)]
            self._count(environ, plan.fixed.rules, charges, plan.fixed)

    def _who(self, environ: Any) -> tuple[str, str | None, str | None]:
        """The bucket of a request, that of its caller, and the caller's own limits."""
        address = (environ.get("REMOTE_ADDR") or "")[:LONGEST]
        if not self._asks_first:
            return self._keys.of_address(address), None, None
        policy, authentication = self.policy, self._app.extensions.get("authentication")
        caller = authentication.caller_of_request() if authentication else None
        who = policy.key_func() if policy.key_func else None
        bucket = self._keys.bucket(who) if who else self._keys.of_address(address)
        if caller is None:
            return bucket, None, None
        of_caller = self._keys.caller(caller.name)
        own = caller.limits or policy.tiers.get(caller.tier) or policy.callers or None
        return of_caller if policy.by_caller else bucket, of_caller, own

    @cached_property
    def _asks_first(self) -> bool:
        """Whether it matters who the caller is; known at the first request, in any order of the
        calls that configure."""
        policy, authentication = self.policy, self._app.extensions.get("authentication")
        if policy.by_caller or policy.key_func or policy.callers or policy.tiers:
            return True
        return bool(authentication and authentication.keys.limits)

    def plan(self, endpoint: str | None, method: str, own: str | None = None) -> Plan:
        """:param own: the limits of a caller that has its own."""
        plan = self._plans.get((endpoint, method, own))
        if plan is None:
            everywhere = self._limits_of_caller(own) if own else self.policy.everywhere
            route = route_of(self._limiter, self._app, endpoint, method, everywhere)
            plan = Plan(route, endpoint, method, self._limiter.key_func)
            if plan.is_held and not route.is_watched:  # Flask has the function as it was before
                view = self._app.view_functions[endpoint]
                self._app.view_functions[endpoint] = watch(view, None, route.declared)
            self._plans[endpoint, method, own] = plan
        return plan

    def _limits_of_caller(self, own: str) -> list[Found]:
        limit = ApplicationLimit(limit_provider=own)
        key_func = self._limiter.key_func if self.policy.by_caller else _caller_apart
        return [Found("caller", one) for one in expand(limit, key_func)]

    def around(self, declared: Declared | None, is_innermost: bool = True) -> None:
        """A decorated function is called, or a block entered; None: it is the view itself."""
        environ = request.environ
        plan = environ.get(PLAN)
        if plan is None:  # this request is not limited
            return
        if declared is None or any(declared is one for one in plan.declared):
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

    def _charge(self, plan: Plan, found: Sequence[Found]) -> None:
        environ = request.environ
        quota = plan.quota(found)
        if quota.rules:
            rules, charges = plan.charges(quota, self._keys, *environ[WHO])
            self._count(environ, rules, charges, quota)

    def _count(self, environ: Any, rules: Sequence[Rule], charges: Charges, quota: Quota) -> None:
        admitted, states, stamps = self.store.acquire(charges)
        counted = Counted(admitted, rules, states, quota.policies, charges, stamps)
        if COUNTED in environ:
            environ[COUNTED].append(counted)
        else:
            environ[COUNTED] = [counted]
        if not admitted:
            raise self.policy.refusal(self, counted)
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


def _caller_apart() -> str:
    """The key of a caller's own limits where others count by address."""
    return ""
