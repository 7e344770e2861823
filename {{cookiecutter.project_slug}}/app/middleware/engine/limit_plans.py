"""How the requests of a route are counted: on which limits, put together once as far as can be.

The words, by an example. The application "shop" has RATELIMIT_DEFAULT="50 per minute" and

    @app.get("/tea")
    @limiter.limit("20 per hour;5 per minute")
    def tea(): ...

Declaration     what the decorator notes on the function: here two limits (declared_limits.py)
limit           "5 per minute", as Flask-Limiter has it; its text, cost, scope, key_func and
                exempt_when may be functions, which are asked at each request
SourcedLimit    a limit and its source, "route"; the "default" one gives way to it here
Plan            both limits, for the endpoint "tea" and GET: made at the first such request, kept
Charge          what a request costs on one counter: (":tea:5/60", 5, 60, 1), which is the counter's
                name, the amount, the window in seconds and the cost (counters.py)
CountedLimit    a limit with its Charge and its policy_name, "route"; the other's is "route-2"
CompiledLimits  both, and their header: "route";q=5;w=60, "route-2";q=20;w=3600
bucket          who is counted (the draft's partition key): shop:moving-window:2:{192.0.2.7}
                In a store a counter's key is the bucket and the counter's name.
Outcome         what came of counting: whether all limits admit, what remains of each (counted.py)
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from flask import Flask
from flask_limiter import ExemptionScope
from limits import RateLimitItem

from .clients import bucket_of, normal_address
from .counted import CountedLimit
from .counters import Charge, Charges
from .declared_limits import (
    WATCHED,
    Declaration,
    Limiter,
    RuntimeLimit,
    check_cost,
    functions_of,
    parse_limits,
    read_declarations,
)

UNMATCHED = "__unmatched__"  # the one route that unknown paths, 405 and redirects share
STRATEGY = "moving-window"
KEY_VERSION = 2  # of what is stored under a key: a change of it never meets old data
MOST_COMPILED = 256  # remembered per plan; functions may give any number

logger = logging.getLogger(__name__)


class StoreKeys:
    """The names of buckets and counters in a store."""

    def __init__(self, prefix: str) -> None:
        """:param prefix: keeps services on one store apart."""
        self.prefix = f"{_name_in_key(prefix)}:{STRATEGY}:{KEY_VERSION}:"
        self.of_address = lru_cache(8192)(lambda address: self.bucket(bucket_of(address)))

    def bucket(self, who: object) -> str:
        """In braces: one slot of a cluster for all counters of a bucket."""
        return self.prefix + "{" + _name_in_key(who) + "}"

    def caller(self, name: str) -> str:
        """The bucket of an authenticated caller, which no key function can name."""
        return self.prefix + "caller:{" + _name_in_key(name) + "}"

    def of_key(self, key: object) -> str:
        """The bucket of what a key function returned; an address has the one that it always has."""
        text = str(key)
        return str(self.of_address(text)) if normal_address(text) else self.bucket(text)

    def named(self, key: str) -> str:
        """The bucket of an address, of "caller:<name>", or of what a key function returned."""
        kind, _, name = key.partition("caller:")
        return self.of_key(key) if kind or not name else self.caller(name)

    @staticmethod
    def counter(item: RateLimitItem, scope: str) -> str:
        return f":{_name_in_key(scope)}:{item.amount}/{item.get_expiry()}"

    @staticmethod
    def scope(scope: str) -> str:
        """How the names of all counters of a scope start."""
        return f":{_name_in_key(scope)}:"


def _name_in_key(text: object) -> str:
    """Itself, or its hash if it could do harm: it may come from a request.

    One with braces would tear the keys of a bucket onto several nodes of a cluster, and what is not
    text a store would not take at all.
    """
    name = str(text)
    if len(name) <= 200 and name.isascii() and "{" not in name and "}" not in name:
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


# which limits a route has


class SourcedLimit(NamedTuple):
    source: str  # "application", "default", "caller" or "route" (a view or its blueprint)
    limit: RuntimeLimit
    waits_for_view: bool = False  # its functions may need what is known only where that is called


def plan_of(
    limiter: Limiter,
    app: Flask,
    endpoint: str | None,
    method: str,
    configured: Sequence[SourcedLimit],
) -> Plan:
    """Which limits apply, as Flask-Limiter combines them.

    :param endpoint: None for what no route matches.
    :param configured: the application's limits and the default ones, or a caller's own in their
        place.
    """
    functions = list(functions_of(app.view_functions.get(endpoint or ""), method))
    declarations, declared, exemption = read_declarations(functions, app, endpoint)
    meant = [limit for limit in declared if is_meant(limit, method)]
    is_replaced = bool(meant) and any(limit.override_defaults for limit in declared)
    has_defaults = not is_replaced and not exemption & ExemptionScope.DEFAULT
    has_others = not exemption & ExemptionScope.APPLICATION
    key_func = limiter.key_func
    limits = [SourcedLimit("route", one, _has_functions(one, key_func)) for one in meant]
    for one in configured:
        if has_defaults if one.source == "default" else has_others:
            limits.append(one)
    is_watched = any(hasattr(function, WATCHED) for function in functions)
    return Plan(limits, endpoint, method, key_func, declarations, is_watched)


def is_meant(limit: RuntimeLimit, method: str) -> bool:
    """A HEAD does what a GET does, and so has its limits: else it would go round them."""
    asked = {method.lower(), "get"} if method == "HEAD" else {method.lower()}
    return limit.methods is None or not asked.isdisjoint(limit.methods)


def _has_functions(limit: RuntimeLimit, key_func: Callable[[], str]) -> bool:
    """:param key_func: of limits that have none of their own."""
    functions = (limit.limit, limit.cost, limit.scope, limit.exempt_when)
    return limit.key_func is not key_func or any(callable(one) for one in functions)


# what a request is counted on


class CompiledLimits(NamedTuple):
    """Limits whose functions have been asked, by ascending window."""

    limits: tuple[CountedLimit, ...]
    charges: tuple[Charge, ...]
    policy_header: str  # RateLimit-Policy
    has_deduct_when: bool  # some are only due for some responses


class Plan:
    """The limits of an endpoint and a method, compiled once if none of them has a function."""

    def __init__(
        self,
        limits: Sequence[SourcedLimit],
        endpoint: str | None,
        method: str,
        key_func: Callable[[], str],
        declarations: tuple[Declaration, ...] = (),
        is_watched: bool = True,
    ) -> None:
        """:param key_func: of limits that have none of their own.
        :param is_watched: on the way to the view a function asks for the limits that wait for it.
        """
        self.limits, self.declarations, self.is_watched = tuple(limits), declarations, is_watched
        self.endpoint, self._key_func = endpoint or UNMATCHED, key_func
        self.method = "GET" if method == "HEAD" else method
        self.without_view = tuple(one for one in limits if not one.waits_for_view)
        self.waits_for_view = len(self.without_view) < len(limits)
        self._compiled: dict[object, CompiledLimits] = {}
        self.fixed: CompiledLimits | None = None
        if not any(_has_functions(one.limit, key_func) for one in limits):
            self.fixed = self.compile(self.limits)

    def charges(
        self, compiled: CompiledLimits, keys: StoreKeys, bucket: str, caller_bucket: str | None
    ) -> tuple[Sequence[CountedLimit], Charges]:
        """By bucket, and the limits in the same order.

        :param bucket: of limits that have no key function of their own.
        :param caller_bucket: of a caller's own limits.
        """
        buckets: dict[str, dict[str, CountedLimit]] = {}
        for one in compiled.limits:
            mine = bucket
            if one.source == "caller" and caller_bucket:
                mine = caller_bucket
            elif one.limit.key_func is not self._key_func and (who := one.limit.key_func()):
                mine = keys.of_key(who)
            buckets.setdefault(mine, {}).setdefault(one.charge[0], one)
        limits = [one for mine in buckets.values() for one in mine.values()]
        charges = [(who, [one.charge for one in m.values()]) for who, m in buckets.items()]
        return limits, charges

    def _ask(self, limits: Sequence[SourcedLimit]) -> tuple[Any, ...]:
        """Place among the limits, limit or text, cost and scope of each."""
        asked = []
        for place, (_, limit, _) in enumerate(limits):
            if limit.exempt_when and limit.exempt_when():
                continue
            text: Any = limit.limit
            if callable(text):
                text = text()
                if not isinstance(text, str | RateLimitItem):  # a list, say, has no hash
                    text = repr(text) if text else ""
            cost = limit.cost() if callable(limit.cost) else limit.cost
            if cost != 0:
                check_cost("cost of a limit", cost)
                scope = limit.scope_for(self.endpoint, self.method)
                asked.append((place, text, cost, scope))
        return tuple(asked)

    def compile(self, limits: Sequence[SourcedLimit]) -> CompiledLimits:
        """Ask the functions of the limits, and put together what they say."""
        asked = self._ask(limits)
        known = (len(limits), asked)
        compiled = self._compiled.get(known)
        if compiled is None:
            if len(self._compiled) >= MOST_COMPILED:
                self._compiled.clear()
            compiled = self._compiled[known] = _put_together(limits, asked)
        return compiled


def _put_together(limits: Sequence[SourcedLimit], asked: Iterable[Any]) -> CompiledLimits:
    items = [
        (item, place, cost, scope) for place, text, cost, scope in asked for item in _items(text)
    ]
    counted: dict[object, CountedLimit] = {}
    taken: Counter[str] = Counter()
    for item, place, cost, scope in sorted(items, key=lambda one: one[0].get_expiry()):
        source, limit, _ = limits[place]
        name = StoreKeys.counter(item, scope)
        known = counted.get((name, limit.key_func))
        if known is not None:  # one counter; what is due always is not less due for its twin
            if known.limit.deduct_when and not limit.deduct_when:
                counted[name, limit.key_func] = known._replace(limit=replace(limit, limit=item))
            continue
        taken[source] += 1
        policy_name = source if taken[source] == 1 else f"{source}-{taken[source]}"
        charge = (name, item.amount, item.get_expiry(), cost)
        one = CountedLimit(charge, policy_name, replace(limit, limit=item), source)
        counted[name, limit.key_func] = one
    policies = [f'"{c.policy_name}";q={c.charge[1]};w={c.charge[2]}' for c in counted.values()]
    charges = tuple(one.charge for one in counted.values())
    has_deduct_when = any(one.limit.deduct_when for one in counted.values())
    return CompiledLimits(tuple(counted.values()), charges, ", ".join(policies), has_deduct_when)


def _items(text: Any) -> Sequence[RateLimitItem]:
    """A wrong text from a function is logged and left out, as by Flask-Limiter."""
    if isinstance(text, RateLimitItem):
        return [text]
    try:
        return parse_limits(text) if text else []
    except ValueError:
        logger.error("a limit is left out: its function returned %.100r", text)
        return []
