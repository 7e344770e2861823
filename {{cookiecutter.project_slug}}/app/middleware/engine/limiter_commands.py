"""`flask limiter config | limits | clear` of Flask-Limiter, over the limits of limiting.py.

The commands look for a Limiter in app.extensions["limiter"]: this one tells them how it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click
import flask_limiter
from flask import Flask
from flask_limiter import ExemptionScope, HeaderNames
from limits import WindowStats

from .counters import MemoryStore, Verdict
from .declared_limits import Limiter, RuntimeLimit, read_blueprint
from .limit_plans import STRATEGY, SourcedLimit, StoreKeys
from .limiting import Limits


class ShownLimiter(flask_limiter.Limiter):
    """What the commands read."""

    def __init__(
        self, app: Flask, limits: Limits, limiter: Limiter, keys: StoreKeys, uri: str, **shown: Any
    ) -> None:
        """:param uri: of the store, without its password.
        :param shown: what else `config` shows, by the names of Flask-Limiter's own arguments.
        """
        headers = {
            HeaderNames.RESET: "RateLimit (t)",
            HeaderNames.REMAINING: "RateLimit (r)",
            HeaderNames.RETRY_AFTER: "Retry-After",
        }
        super().__init__(
            limiter.key_func,
            header_name_mapping=headers,
            key_prefix=keys.prefix,
            strategy=STRATEGY,
            storage_uri=uri,
            retry_after="delta-seconds",
            fail_on_first_breach=False,
            **shown,
        )
        self.limit_manager: Any = ShownLimits(limits)
        self._shown = MovingWindow(limits, keys)
        app.extensions.setdefault("limiter", set()).add(self)

    @property
    def storage(self) -> Any:
        return self._shown

    limiter = storage


class MovingWindow:
    """The strategy and the storage, as the commands ask them."""

    def __init__(self, limits: Limits, keys: StoreKeys) -> None:
        self._limits, self._keys = limits, keys

    @property
    def storage(self) -> str:
        return type(self._limits.store).__name__

    def check(self) -> bool:
        """Whether the store responds now."""
        if isinstance(self._limits.store, MemoryStore):
            return True
        try:
            self._limits.store.probe()
        except Exception:
            return False
        return True

    def test(self, item: Any, key: str, scope: str) -> bool:
        return self._look(item, key, scope)[0]

    def get_window_stats(self, item: Any, key: str, scope: str) -> WindowStats:
        return WindowStats(0, self._look(item, key, scope)[1][0][0])

    def clear(self, item: Any, key: str, scope: str) -> None:
        self._refuse_if_elsewhere()
        self._limits.clear(key, scope)

    def _look(self, item: Any, key: str, scope: str) -> Verdict:
        if item is PER_REQUEST:
            return True, [(0, 0.0)], []
        self._refuse_if_elsewhere()
        charge = (self._keys.counter(item, scope), item.amount, item.get_expiry(), 1)
        bucket = self._keys.named(key)
        return self._limits.store.acquire([(bucket, [charge])], record=False)

    def _refuse_if_elsewhere(self) -> None:
        store = self._limits.store
        if isinstance(store, MemoryStore) and not store.longest:
            raise click.ClickException(
                "memory:// is the server's own, and this is another process: restart the server to "
                "clear its counters, or set RATELIMIT_STORAGE_URI to a store"
            )


class PerRequest(str):
    """In place of a limit whose text is from a function."""

    amount = "?"


PER_REQUEST: Any = PerRequest("per request")


class ShownLimits:
    """The limits of all routes, as the commands ask Flask-Limiter's manager for them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._own: list[RuntimeLimit] = []  # of the routes that were asked for
        configured = limits.settings.configured
        self.application_limits = _shown(configured, "application")
        self.default_limits = _shown(configured, "default")

    def blueprint_limits(self, app: Flask, name: str) -> list[RuntimeLimit]:
        return read_blueprint(app, name)[0]

    def decorated_limits(self, _: str) -> list[RuntimeLimit]:
        return self._own

    def resolve_limits(
        self, app: Flask, endpoint: str, *_: object
    ) -> tuple[list[RuntimeLimit], list[RuntimeLimit]]:
        """The default and application limits of an endpoint with all its methods, and its own."""
        methods = {m for rule in app.url_map.iter_rules(endpoint) for m in rule.methods or ()}
        limits = [
            one
            for method in sorted(methods - {"HEAD", "OPTIONS"})
            for one in self._limits.plan(endpoint, method).limits
        ]
        own = _shown(limits, "route")
        self._own += own
        return _shown(limits, "default", "application"), own

    def exemption_scope(self, app: Flask, endpoint: str, *_: object) -> ExemptionScope:
        is_limited = any(self.resolve_limits(app, endpoint))
        return ExemptionScope.NONE if is_limited else ExemptionScope.DEFAULT


def _shown(limits: Iterable[SourcedLimit], *sources: str) -> list[RuntimeLimit]:
    """Those from the sources, each once."""
    shown: list[RuntimeLimit] = []
    for limit in (one.limit for one in limits if one.source in sources):
        one = replace(limit, limit=PER_REQUEST) if callable(limit.limit) else limit
        if one not in shown:
            shown.append(one)
    return shown
