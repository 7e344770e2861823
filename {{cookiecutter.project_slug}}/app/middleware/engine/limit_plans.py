"""What a request is counted on: the limits of a route, put together once as far as can be."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from flask import Flask
from flask_limiter import ExemptionScope
from limits import RateLimitItem

from .clients import bucket_of, normal_address
from .counters import Charge, Charges
from .declared_limits import (
    DECLARED,
    EXEMPTED,
    WATCHED,
    Declared,
    Limiter,
    RuntimeLimit,
    check_cost,
    parse_limits,
)

UNMATCHED = "__unmatched__"  # the one route that unknown paths, 405 and redirects share
STRATEGY = "moving-window"
KEY_VERSION = 2  # of what is stored under a key: a change of it never meets old data
MOST_QUOTAS = 256  # remembered per route; functions may give any number

logger = logging.getLogger(__name__)


class Keys:
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

    def named(self, key: str) -> str:
        """The bucket of an address, of "caller:<name>", or of what a key function returned."""
        if normal_address(key):
            return str(self.of_address(key))
        kind, _, name = key.partition("caller:")
        return self.bucket(key) if kind or not name else self.caller(name)

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


class Found(NamedTuple):
    kind: str  # "application", "default", "caller" or "route"
    limit: RuntimeLimit
    is_late: bool = False  # it may need what is known only where the function is called


class Route(NamedTuple):
    """What is declared for an endpoint and a method."""

    found: tuple[Found, ...]
    declared: tuple[Declared, ...]
    is_watched: bool  # on the way to the view a function asks for the limits that are late


def route_of(
    limiter: Limiter, app: Flask, endpoint: str | None, method: str, everywhere: Sequence[Found]
) -> Route:
    """Which limits apply, as Flask-Limiter combines them.

    :param endpoint: None for what no rule matches.
    :param everywhere: the application's limits and the default ones, or a caller's own in their
        place.
    """
    functions = list(_functions_of(app.view_functions.get(endpoint or ""), method))
    declared = tuple({id(d): d for f in functions for d in getattr(f, DECLARED, ())}.values())
    exemption = ExemptionScope.NONE
    for function in functions:
        exemption |= getattr(function, EXEMPTED, ExemptionScope.NONE)
    own = [] if exemption else [limit for one in declared for limit in one]
    found = [Found("route", limit, _is_late(limit, limiter)) for limit in own]
    blueprint = (endpoint or "").rpartition(".")[0]
    if blueprint:
        is_exempt = bool(
            exemption & ExemptionScope.DEFAULT
        )  # @limiter.exempt is on the view itself
        exemption |= limiter.limit_manager.exemption_scope(app, None, blueprint)
        if not is_exempt and not any(limit.override_defaults for limit in own):
            inherited = limiter.limit_manager.blueprint_limits(app, blueprint)
            found += [Found("route", limit, _is_late(limit, limiter)) for limit in inherited]
    has_defaults = not exemption & ExemptionScope.DEFAULT and (
        not any(one.limit.override_defaults for one in found)
        or not any(is_meant(one.limit, method) for one in found)
    )
    for one in everywhere:
        if one.kind == "default" and has_defaults:
            found.append(one)
        if one.kind != "default" and not exemption & ExemptionScope.APPLICATION:
            found.append(one)
    meant = tuple(one for one in found if is_meant(one.limit, method))
    return Route(meant, declared, any(hasattr(function, WATCHED) for function in functions))


def _functions_of(view: Any, method: str) -> Iterator[Any]:
    """The view, what it wraps, and what a class-based view calls for this method."""
    view_class = getattr(view, "view_class", None)
    handler = getattr(view_class, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(view_class, "get", None)
    for function in (view, getattr(view_class, "dispatch_request", None), handler):
        while function is not None:
            yield function
            function = getattr(function, "__wrapped__", None)


def is_meant(limit: RuntimeLimit, method: str) -> bool:
    """A HEAD does what a GET does, and so has its limits: else it would go round them."""
    asked = {method.lower(), "get"} if method == "HEAD" else {method.lower()}
    return limit.methods is None or not asked.isdisjoint(limit.methods)


def _is_late(limit: RuntimeLimit, limiter: Limiter) -> bool:
    return limit.key_func is not limiter.key_func or _has_functions(limit)


def _has_functions(limit: RuntimeLimit) -> bool:
    functions = (limit.limit, limit.cost, limit.scope, limit.exempt_when)
    return any(callable(one) for one in functions)


# what a request is charged there


class Rule(NamedTuple):
    """One limit as a request is counted on it."""

    charge: Charge
    policy: str  # its name in the headers
    limit: RuntimeLimit
    kind: str


class Quota(NamedTuple):
    """All limits of a request, by ascending window."""

    rules: tuple[Rule, ...]
    charges: tuple[Charge, ...]
    policies: str  # the RateLimit-Policy header
    has_conditions: bool  # some are only due for some responses


class Plan:
    """The limits of an endpoint and a method, compiled when they are first asked for."""

    def __init__(
        self, route: Route, endpoint: str | None, method: str, key_func: Callable[[], str]
    ) -> None:
        """:param key_func: of limits that have none of their own."""
        self.found, self.declared = route.found, route.declared
        self.endpoint, self._key_func = endpoint or UNMATCHED, key_func
        self.method = "GET" if method == "HEAD" else method
        self.early = tuple(one for one in route.found if not one.is_late)
        self.is_held = len(self.early) < len(self.found)
        self._quotas: dict[object, Quota] = {}
        self.fixed: Quota | None = None
        limits = [one.limit for one in self.found]
        if not any(_has_functions(one) or one.key_func is not key_func for one in limits):
            self.fixed = self.quota(self.found)

    def charges(
        self, quota: Quota, keys: Keys, bucket: str, of_caller: str | None
    ) -> tuple[Sequence[Rule], Charges]:
        """By bucket, and the rules in the same order.

        :param bucket: of limits that have no key function of their own.
        :param of_caller: the bucket of a caller's own limits.
        """
        buckets: dict[str, dict[str, Rule]] = {}
        for rule in quota.rules:
            mine = bucket
            if rule.kind == "caller" and of_caller:
                mine = of_caller
            elif rule.limit.key_func is not self._key_func and (who := rule.limit.key_func()):
                mine = keys.bucket(who)
            buckets.setdefault(mine, {}).setdefault(rule.charge[0], rule)
        rules = [rule for mine in buckets.values() for rule in mine.values()]
        charges = [(who, [rule.charge for rule in m.values()]) for who, m in buckets.items()]
        return rules, charges

    def _resolve(self, found: Sequence[Found]) -> tuple[Any, ...]:
        """Place among the found ones, limit or text, cost and scope of each."""
        resolved = []
        for place, (_, limit, _) in enumerate(found):
            if limit.exempt_when and limit.exempt_when():
                continue
            text: Any = limit.limit
            if callable(text):
                text = text()
            cost = limit.cost() if callable(limit.cost) else limit.cost
            if cost != 0:
                check_cost("cost of a limit", cost)
                scope = limit.scope_for(self.endpoint, self.method)
                resolved.append((place, text, cost, scope))
        return tuple(resolved)

    def quota(self, found: Sequence[Found]) -> Quota:
        """Ask the functions of the limits, and put together what they say."""
        resolved = self._resolve(found)
        known = (len(found), resolved)
        quota = self._quotas.get(known)
        if quota is None:
            if len(self._quotas) >= MOST_QUOTAS:
                self._quotas.clear()
            quota = self._quotas[known] = _put_together(found, resolved)
        return quota


def _put_together(found: Sequence[Found], resolved: Iterable[Any]) -> Quota:
    items = [
        (item, place, cost, scope)
        for place, text, cost, scope in resolved
        for item in _items(text, found[place])
    ]
    rules: dict[object, Rule] = {}
    taken: Counter[str] = Counter()
    for item, place, cost, scope in sorted(items, key=lambda one: one[0].get_expiry()):
        kind, limit, _ = found[place]
        name = Keys.counter(item, scope)
        known = rules.get((name, limit.key_func))
        if known is not None:  # one counter; what is due always is not less due for its twin
            if known.limit.deduct_when and not limit.deduct_when:
                rules[name, limit.key_func] = known._replace(limit=replace(limit, limit=item))
            continue
        taken[kind] += 1
        policy = kind if taken[kind] == 1 else f"{kind}-{taken[kind]}"
        charge = (name, item.amount, item.get_expiry(), cost)
        rules[name, limit.key_func] = Rule(charge, policy, replace(limit, limit=item), kind)
    policies = [f'"{rule.policy}";q={rule.charge[1]};w={rule.charge[2]}' for rule in rules.values()]
    charges = tuple(rule.charge for rule in rules.values())
    has_conditions = any(rule.limit.deduct_when for rule in rules.values())
    return Quota(tuple(rules.values()), charges, ", ".join(policies), has_conditions)


def _items(text: Any, found: Found) -> Sequence[RateLimitItem]:
    """A wrong text from a function is logged and left out, as by Flask-Limiter."""
    if isinstance(text, RateLimitItem):
        return [text]
    try:
        return parse_limits(text) if text else []
    except ValueError:
        logger.error("a limit is left out: its function returned %.100r", text)
        return []
