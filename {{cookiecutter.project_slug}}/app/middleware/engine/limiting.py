"""The limits of one application: counts each request on all limits of its route, in one step."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import flask_limiter
from flask import Flask, Request, Response, after_this_request, current_app, request
from flask_limiter import ApplicationLimit
from werkzeug.exceptions import HTTPException

from .clients import LONGEST, is_automatic_preflight
from .counted import OUTCOMES, CountedLimit, Outcome, request_limits
from .counters import Charge, Charges, MemoryStore
from .declared_limits import Declaration, Limiter, expand, parse_limits, watch
from .limit_plans import CompiledLimits, Plan, SourcedLimit, StoreKeys, is_meant, plan_of
from .redis_counters import SharedStore
from .seen import Seen

if TYPE_CHECKING:
    from werkzeug.routing import Rule

Store = MemoryStore | SharedStore

PLAN = "rate_limiting.plan"  # in the environ
BUCKETS = "rate_limiting.buckets"  # in the environ: that of the request, and that of its caller
WAITS = "rate_limiting.waits"  # in the environ: it is counted when the view is called
# where no route matches; all others are one, for a client can invent any number of them
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

logger = logging.getLogger(__name__)


class LimitSettings(NamedTuple):
    """What the configuration says.

    - configured: the application's limits and the default ones
    - refusal: makes the exception that refuses a request
    - key_func: a function that says who is counted, if it is not the address
    - by_caller: whether it is the authenticated caller, where there is one
    - callers, tiers: limits of callers that have none of their own; those of a tier, by its name
    """

    configured: Sequence[SourcedLimit]
    refusal: Callable[[Limits, Outcome], Exception]
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
        self, app: Flask, limiter: Limiter, store: Store, keys: StoreKeys, settings: LimitSettings
    ) -> None:
        self.store = store
        self.settings = settings
        self._app: Any = weakref.proxy(app)
        self._limiter, self._keys = limiter, keys
        self._plans: dict[tuple[str | None, str, str | None], Plan] = {}
        self._unknown_tiers = Seen()
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

    def acquire(self, scope: str, limits: str, key: str, record: bool = True) -> float:
        """Count on limits that belong to no route.

        :param scope: what is limited, for example "authentication".
        :param limits: for example "20 per minute".
        :param key: who is limited.
        :param record: False: only look.
        :returns: 0.0 if admitted; otherwise the seconds to wait.
        """
        charges = [(self._keys.bucket(key), self._charges_of(scope, limits))]
        admitted, states, _ = self.store.acquire(charges, record)
        return 0.0 if admitted else max(wait for remaining, wait in states if remaining < 1)

    def release(self, scope: str, limits: str, key: str) -> None:
        """Hand back what acquire() has just counted: it was none of what is limited."""
        self.store.release(self._keys.bucket(key), self._charges_of(scope, limits))

    def _compile_charges(self, scope: str, limits: str) -> list[Charge]:
        items = parse_limits(limits)
        return [(self._keys.counter(i, scope), i.amount, i.get_expiry(), 1) for i in items]

    def limits_of(self, rule: Rule, method: str, own: str | None = None) -> tuple[str, ...] | None:
        """The limits that a request of this method counts on, for example ("50 per 1 minute",).

        :param own: the limits of a caller that has its own.
        :returns: () if it is not limited; None if a function says what the limits are.
        """
        plan = self.plan(rule.endpoint, method, own)
        texts = [one.limit.limit for one in plan.limits]
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
        outcomes = request.environ.get(OUTCOMES, ())
        return [limit for one in outcomes for limit in request_limits(self, one)]

    # the way of a request

    def check(self, asked: Request) -> None:
        """Before the view, and before whoever comes later: count the request, or refuse it."""
        environ, routed = asked.environ, asked.url_rule
        for is_exempt in self._limiter.filters:
            if is_exempt():
                return
        if environ["REQUEST_METHOD"] == "OPTIONS" and is_automatic_preflight(asked):
            return
        bucket, caller_bucket, own = self._who(environ)
        method = asked.method if routed or asked.method in METHODS else "OTHER"
        plan = self.plan(routed.endpoint if routed else None, method, own)
        environ[PLAN], environ[BUCKETS] = plan, (bucket, caller_bucket)
        if plan.waits_for_view:
            environ[WAITS] = True
            after_this_request(self._settle)
        elif plan.fixed is None:
            self._compile_and_count(plan, plan.limits)
        elif plan.fixed.charges:
            charges = [(bucket, plan.fixed.charges)]
            self._count(environ, plan.fixed.limits, charges, plan.fixed)

    def _who(self, environ: Any) -> tuple[str, str | None, str | None]:
        """The bucket of a request, that of its caller, and the caller's own limits."""
        address = (environ.get("REMOTE_ADDR") or "")[:LONGEST]
        if not self._asks_first:
            return self._keys.of_address(address), None, None
        settings, authentication = self.settings, self._app.extensions.get("authentication")
        caller = authentication.caller_of_request() if authentication else None
        who = settings.key_func() if settings.key_func else None
        bucket = self._keys.of_key(who) if who else self._keys.of_address(address)
        if caller is None:
            return bucket, None, None
        caller_bucket = self._keys.caller(caller.name)
        own = caller.limits or self._of_tier(caller.tier) or settings.callers or None
        return caller_bucket if settings.by_caller else bucket, caller_bucket, own

    def _of_tier(self, tier: str | None) -> str | None:
        """The limits of a tier; a token may name one that nobody has configured."""
        limits = self.settings.tiers.get(tier) if tier else None
        if tier and limits is None and self._unknown_tiers.is_new(tier):
            logger.warning("unknown_tier: RATELIMIT_TIERS lacks %.80r: limits are as without", tier)
        return limits

    @cached_property
    def _asks_first(self) -> bool:
        """Whether it matters who the caller is; known at the first request, in any order of the
        calls that configure."""
        settings, authentication = self.settings, self._app.extensions.get("authentication")
        if settings.by_caller or settings.key_func or settings.callers or settings.tiers:
            return True
        return bool(authentication and authentication.keys.limits)

    def plan(self, endpoint: str | None, method: str, own: str | None = None) -> Plan:
        """:param own: the limits of a caller that has its own."""
        plan = self._plans.get((endpoint, method, own))
        if plan is None:
            configured = self._limits_of_caller(own) if own else self.settings.configured
            plan = plan_of(self._limiter, self._app, endpoint, method, configured)
            if (
                plan.waits_for_view and not plan.is_watched
            ):  # Flask has the function as it was before
                view = self._app.view_functions[endpoint]
                self._app.view_functions[endpoint] = watch(view, None, plan.declarations)
            self._plans[endpoint, method, own] = plan
        return plan

    def _limits_of_caller(self, own: str) -> list[SourcedLimit]:
        limit = ApplicationLimit(limit_provider=own)
        key_func = self._limiter.key_func if self.settings.by_caller else _caller_apart
        return [SourcedLimit("caller", one) for one in expand(limit, key_func)]

    def before_call(
        self, declaration: Declaration | None, name: str, is_innermost: bool = True
    ) -> None:
        """A decorated function is called, or a block entered; None: it is the view itself.

        :param name: of what is called; without it an equal limit of the view would count twice.
        """
        environ = request.environ
        plan = environ.get(PLAN)
        if plan is None:  # this request is not limited
            return
        if declaration is None or any(declaration is one for one in plan.declarations):
            if is_innermost and environ.pop(WAITS, False):
                self._compile_and_count(plan, plan.limits)
            return
        limits = [SourcedLimit("route", one) for one in declaration if is_meant(one, plan.method)]
        scope = f"{plan.endpoint}:{name}"
        extra = Plan(limits, scope, plan.method, self._limiter.key_func)
        self._compile_and_count(extra, limits)

    def _settle(self, response: Response) -> Response:
        """The view was not called: somebody refused the request on the way."""
        plan = request.environ[PLAN]
        if request.environ.pop(WAITS, False):
            try:
                self._compile_and_count(plan, plan.without_view)
            except HTTPException as refusal:
                return current_app.make_response(current_app.handle_user_exception(refusal))
        return response

    def _compile_and_count(self, plan: Plan, limits: Sequence[SourcedLimit]) -> None:
        environ = request.environ
        compiled = plan.compile(limits)
        if compiled.limits:
            counted, charges = plan.charges(compiled, self._keys, *environ[BUCKETS])
            self._count(environ, counted, charges, compiled)

    def _count(
        self,
        environ: Any,
        limits: Sequence[CountedLimit],
        charges: Charges,
        compiled: CompiledLimits,
    ) -> None:
        """:param limits: in the order of the charges."""
        admitted, states, stamps = self.store.acquire(charges)
        outcome = Outcome(admitted, limits, states, compiled.policy_header, charges, stamps)
        if OUTCOMES in environ:
            environ[OUTCOMES].append(outcome)
        else:
            environ[OUTCOMES] = [outcome]
        if not admitted:
            raise self.settings.refusal(self, outcome)
        if compiled.has_deduct_when:
            after_this_request(partial(self._hand_back, outcome))

    def _hand_back(self, outcome: Outcome, response: Response) -> Response:
        """What is only due for some responses was counted first, and is handed back for others."""
        limits = iter(enumerate(outcome.limits))
        for (bucket, charges), stamp in zip(outcome.charges, outcome.stamps, strict=True):
            back = []
            for charge, (place, one) in zip(charges, limits, strict=False):
                is_due = one.limit.deduct_when
                if is_due and not is_due(response):
                    back.append(charge)
                    remaining, reset_in = outcome.states[place]
                    outcome.states[place] = remaining + charge[3], reset_in
            if back:
                self.store.release(bucket, back, stamp)
        return response


def _caller_apart() -> str:
    """The key of a caller's own limits where others count by address."""
    return ""
