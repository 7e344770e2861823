"""Rate limits that hold: exact over threads, workers and machines, whatever happens to the store.

Needs:  pip install "flask>=3.1,<4" "Flask-Limiter>=4.1.1,<5" "limits>=5.8,<6"
        and "redis>=6.4,<9" for a store that several processes share
Copy:   engine/ (limiting, limit_plans, limit_responses, counted, declared_limits, limiter_commands,
        counters, redis_counters, redis_scripts, redis_client, networks, pipeline, exchange,
        header_lists, settings, clients, marks, seen)
Add:    configure_rate_limiting(app)

Key                                Default         Meaning (unit)
---------------------------------- --------------- -------------------------------------------------
RATELIMIT_ENABLED                  True            False: no limits; if True, tests may change it
RATELIMIT_DEFAULT                  none            limits per bucket and route: "200 per hour;
                                                   50 per minute"; @limiter.limit replaces them
RATELIMIT_APPLICATION              none            limits per bucket over all routes
RATELIMIT_STORAGE_URI              "memory://"     one process; for more: redis:// rediss://
                                                   valkey:// redis+unix:// redis+cluster://h:7000
                                                   redis+sentinel://h:26379,.../service
RATELIMIT_STORAGE_OPTIONS          none            extra arguments of the Redis client (a mapping)
RATELIMIT_STORAGE_TIMEOUT          0.25            longest wait for the store, connecting included
                                                   (seconds)
RATELIMIT_WORKERS                  1               processes that share the store, all machines
                                                   together: each one's part while it is away
RATELIMIT_WORKER                   none            which of them this is, from 0: what cannot be
                                                   divided is then divided too (gunicorn.conf.py)
RATELIMIT_MEMORY_COUNTERS          100000          most counters in memory: one per bucket and limit
RATELIMIT_KEY_PREFIX               the app's name  keeps services on one store apart
RATELIMIT_KEY                      "address"       who is counted; "caller": the authenticated one,
                                                   else the address
RATELIMIT_KEY_FUNC                 none            a function: who is counted, not the address
RATELIMIT_CALLERS                  none            limits of each caller over all routes, in place
                                                   of RATELIMIT_DEFAULT and _APPLICATION
RATELIMIT_TIERS                    {}              the same by tier: {"gold": "10000 per hour"};
                                                   a tier that is not here counts as none
RATELIMIT_ALLOW                    []              networks that are not counted: a monitor's, a
                                                   load balancer's: 10.1.0.0/16,2001:db8::/64
RATELIMIT_STRATEGY                 "moving-window" the only one: no burst at the edge of a window
RATELIMIT_HEADERS_ENABLED          True            RateLimit and RateLimit-Policy on responses
RATELIMIT_HEADER_LIMIT             none            the name of a header for callers that want it:
                                                   X-RateLimit-Limit
RATELIMIT_HEADER_REMAINING         none            the same: X-RateLimit-Remaining
RATELIMIT_HEADER_RESET             none            the same: X-RateLimit-Reset (Unix time)
RATELIMIT_ON_BREACH_CALLBACK       none            a function, called with each limit that refuses;
                                                   the response that it returns is sent
RATELIMIT_DEFAULTS_PER_METHOD      False           default limits count each method for itself
RATELIMIT_DEFAULTS_COST            1               what a request costs, or a function
RATELIMIT_DEFAULTS_EXEMPT_WHEN     none            a function: no default limits if it says so
RATELIMIT_DEFAULTS_DEDUCT_WHEN     none            a function: whether a response is counted
RATELIMIT_APPLICATION_PER_METHOD   False           these four as above, for the application limits
RATELIMIT_APPLICATION_COST         1
RATELIMIT_APPLICATION_EXEMPT_WHEN  none
RATELIMIT_APPLICATION_DEDUCT_WHEN  none

`limiter` declares as Flask-Limiter's does: @limiter.limit("5 per minute"), @limiter.exempt,
shared_limit, limits of blueprints and the `flask limiter` commands. What is different: all limits
of a request are one atomic step (a refused request spends nothing), in one round trip; unknown
paths, 405 and redirects count too; a limit belongs to the function or blueprint that was decorated;
what `deduct_when` decides is counted first and handed back; a bad limit is refused at start; two
applications in one process have limits of their own. A bucket is an IPv4 address, an IPv6 /64, or
a caller of authentication.py: its own "limits" come before its tier's and RATELIMIT_CALLERS.

Standards: RFC 6585 (429), RFC 9110 10.2.3 (Retry-After), RFC 9457, draft-ietf-httpapi-
ratelimit-headers-10 (RateLimit), OWASP ASVS 5.0 2.4.1
Version: 2.0.0
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Config, Flask, request
from flask_limiter import ApplicationLimit, Limit

from .engine.counters import MemoryStore
from .engine.declared_limits import Limiter, check_cost, check_limits, expand
from .engine.limit_plans import STRATEGY, SourcedLimit, StoreKeys
from .engine.limit_responses import HeaderWriter, refusal_of
from .engine.limiter_commands import ShownLimiter
from .engine.limiting import Limits, LimitSettings, Store
from .engine.networks import read_networks
from .engine.pipeline import pipeline_of
from .engine.redis_client import open_store
from .engine.settings import (
    SettingError,
    read_boolean,
    read_choice,
    read_function,
    read_mapping,
    read_seconds,
    read_text,
    read_whole_number,
    refuse,
    refuse_secret,
)

LEGACY = {  # keys, and what is usually written there
    "RATELIMIT_HEADER_LIMIT": "X-RateLimit-Limit",
    "RATELIMIT_HEADER_REMAINING": "X-RateLimit-Remaining",
    "RATELIMIT_HEADER_RESET": "X-RateLimit-Reset",
}
NOT_OFFERED = {  # keys of Flask-Limiter, and what to do
    "RATELIMIT_FAIL_ON_FIRST_BREACH": "all limits of a request are one step",
    "RATELIMIT_HEADER_RETRY_AFTER": "the header is Retry-After",
    "RATELIMIT_HEADER_RETRY_AFTER_VALUE": "Retry-After is in seconds",
    "RATELIMIT_IN_MEMORY_FALLBACK": "a fallback is built in",
    "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": "a fallback is built in",
    "RATELIMIT_META": "write a second limit",
    "RATELIMIT_ON_META_BREACH_CALLBACK": "use RATELIMIT_ON_BREACH_CALLBACK",
    "RATELIMIT_REQUEST_IDENTIFIER": "use @limiter.limit(..., scope=...)",
    "RATELIMIT_SWALLOW_ERRORS": "no error of the store reaches a request",
}
MULTIPLIED = (
    "rate_limits_multiplied: several processes serve, and each counts for itself: set "
    "RATELIMIT_STORAGE_URI to redis://host:6379, or serve with one worker"
)
CONFIGURED = (  # the source of limits, their key, and how the keys of their options begin
    ("default", "RATELIMIT_DEFAULT", "RATELIMIT_DEFAULTS_"),
    ("application", "RATELIMIT_APPLICATION", "RATELIMIT_APPLICATION_"),
)

logger = logging.getLogger(__name__)


def request_key() -> str:
    """Stands for whom the application's configuration counts; by itself it names nobody."""
    return ""


limiter = Limiter(request_key)


def configure_rate_limiting(app: Flask) -> None:
    """Limit how often each one may ask, by the keys in the table above.

    :raises ValueError: if a key cannot be used; the message names it, its value and the remedy.
    """
    config = app.config
    config["RATELIMIT_ENABLED"] = read_boolean(config, "RATELIMIT_ENABLED", True)
    if not config["RATELIMIT_ENABLED"]:
        return
    for key, remedy in NOT_OFFERED.items():
        if config.get(key) is not None:
            raise SettingError(f"{key}: {remedy}: remove the key")
    read_choice(config, "RATELIMIT_STRATEGY", [STRATEGY])
    keys = StoreKeys(read_text(config, "RATELIMIT_KEY_PREFIX", app.name))
    store = make_store(config, keys)
    on_breach = read_function(config, "RATELIMIT_ON_BREACH_CALLBACK", "log_breach")
    limits = Limits(app, limiter, store, keys, read_limit_settings(config, on_breach))
    app.extensions["rate_limiting"] = limits
    allowed = read_networks(config, "RATELIMIT_ALLOW")
    unsaid = [MULTIPLIED] if isinstance(store, MemoryStore) else []

    @app.before_request
    def count_request() -> None:
        if limiter.enabled and config["RATELIMIT_ENABLED"]:
            asked = request._get_current_object()  # type: ignore[attr-defined]
            if unsaid and asked.environ.get("wsgi.multiprocess"):
                logger.error(unsaid.pop())
            if allowed is None or not allowed.has(asked.environ.get("REMOTE_ADDR")):
                limits.check(asked)

    has_headers = read_boolean(config, "RATELIMIT_HEADERS_ENABLED", True)
    legacy = [read_text(config, key, "", r"[A-Za-z0-9-]+", name) for key, name in LEGACY.items()]
    pipeline_of(app).on_headers(HeaderWriter(has_headers, legacy).add)
    uri = re.sub("//.*@", "//", config["RATELIMIT_STORAGE_URI"])
    ShownLimiter(app, limits, limiter, keys, uri, headers_enabled=has_headers, on_breach=on_breach)


def read_limit_settings(config: Config, on_breach: Any) -> LimitSettings:
    """What is counted, and who."""
    configured = [one for names in CONFIGURED for one in read_limits(config, *names)]
    key_func = read_function(config, "RATELIMIT_KEY_FUNC", "current_user.get_id")
    by_caller = read_choice(config, "RATELIMIT_KEY", ["address", "caller"]) == "caller"
    if by_caller and key_func:
        refuse("RATELIMIT_KEY", "caller", "is not RATELIMIT_KEY_FUNC: remove one", "address")
    callers = read_text(config, "RATELIMIT_CALLERS", "", example="100 per hour")
    tiers = read_mapping(config, "RATELIMIT_TIERS", '{"gold": "10000 per hour"}')
    if callers:
        check_limits("RATELIMIT_CALLERS", callers)
    for tier, text in tiers.items():
        check_limits(f"RATELIMIT_TIERS {tier}", str(text))
    refusal = partial(refusal_of, on_breach)
    return LimitSettings(configured, refusal, key_func, by_caller, callers, tiers)


def read_limits(config: Config, source: str, key: str, prefix: str) -> Iterator[SourcedLimit]:
    text = config.get(key)
    if text is not None:
        check_limits(key, text)
    cost_key = f"{prefix}COST"
    cost = config.get(cost_key)
    if not callable(cost):
        check_cost(cost_key, cost := read_whole_number(config, cost_key, 1), text)
    form = ApplicationLimit if source == "application" else Limit
    limit = form(
        limit_provider=text or "",
        per_method=read_boolean(config, f"{prefix}PER_METHOD", False),
        cost=cost,
        exempt_when=read_function(config, f"{prefix}EXEMPT_WHEN", "is_internal"),
        deduct_when=read_function(config, f"{prefix}DEDUCT_WHEN", "is_failure"),
    )
    if text is not None:
        yield from (SourcedLimit(source, one) for one in expand(limit, limiter.key_func))


def make_store(config: Config, keys: StoreKeys) -> Store:
    """The store that RATELIMIT_STORAGE_URI names.

    :raises ValueError: if it is unknown, cannot be read, lacks its client library, or is memory
        while RATELIMIT_WORKERS says that several processes serve.
    """
    key = "RATELIMIT_STORAGE_URI"
    uri = config[key] = read_text(config, key, "memory://")
    memory = MemoryStore(read_whole_number(config, "RATELIMIT_MEMORY_COUNTERS", 100_000))
    workers, this_one = processes(config)
    if this_one is not None and this_one >= workers:
        problem = f"is not one of {workers} processes (RATELIMIT_WORKERS), which count from 0"
        refuse("RATELIMIT_WORKER", this_one, problem, workers - 1)
    seconds = read_seconds(config, "RATELIMIT_STORAGE_TIMEOUT", 0.25, 0.001, 10)
    own = read_mapping(config, "RATELIMIT_STORAGE_OPTIONS", '{"username": "limits"}')
    if uri.startswith("memory://"):
        if workers > 1:
            problem = f"with {workers} workers admits {workers} times each limit"
            refuse(key, uri, problem, "redis://host:6379, or one worker")
        return memory
    try:
        return open_store(uri, own, seconds, memory, keys.prefix, partial(processes, config))
    except TypeError as error:
        raise SettingError(f"RATELIMIT_STORAGE_OPTIONS: {error}: remove or correct it") from None
    except ValueError as error:
        refuse_secret(key, str(error), "redis://:password@host:6379/0, special characters as %40")


def processes(config: Config) -> tuple[int, int | None]:
    """How many share the store, and which of them this is; a server may say it after a fork."""
    this_one = read_whole_number(config, "RATELIMIT_WORKER", -1, 0, example=0)
    return read_whole_number(config, "RATELIMIT_WORKERS", 1), this_one if this_one >= 0 else None
