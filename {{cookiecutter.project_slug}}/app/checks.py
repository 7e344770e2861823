"""`flask check`: every route and every risk, for a person; production refuses to start on an error.

    flask --app wsgi check           # production, as wsgi.py loads it; exit status 1 on an error
    flask --app wsgi check --json    # the same for a program

Key              Default  Meaning (unit)
---------------  -------  --------------------------------------------------------------------
PRODUCTION       False    check at start as well: refuse on errors, log the warnings in one line;
                          True in ProductionConfig, which wsgi.py loads
CHECKS_SILENCED  []       identifiers of risks that are accepted: ["W002"], or W002,W005

A check is a function that yields findings; the lists at its end say which run where: add your own
there. What they know of the middleware they read from the configured application, so that a
deleted file breaks nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from flask import Flask, current_app, request
from flask.cli import ScriptInfo, with_appcontext
from werkzeug.routing import Rule

from app.config import config_by_name

NEW_KEY = "python -c 'import secrets; print(secrets.token_hex())'"
PLACEHOLDER = re.compile(r"change.?me|replace.?me|placeholder|your.?secret|(.)\1{7}", re.I)
BARE_SUFFIX = re.compile(r"\.[^.]+|\.(ac|co|com|edu|gov|net|org)\.[a-z]{2}")
ANY_SCRIPT = re.compile(  # sources from which a page takes whatever an attacker chooses
    r"'unsafe-(inline|eval|hashes)'|(https?|wss?|data|blob|filesystem):|"
    r"http://\S+|(https?://)?\*(:\S*)?(/\S*)?"
)
RATE = re.compile(r"(\d+) ?(?:per|/) ?(second|minute|hour|day)")
MINUTES = {"second": 1 / 60, "minute": 1, "hour": 60, "day": 1440}
SERVERS = {  # who serves, by what only a running server has imported
    "gunicorn.arbiter": "gunicorn",
    "granian.server": "Granian",
    "waitress.server": "waitress",
    "uwsgi": "uWSGI",
    "mod_wsgi": "mod_wsgi",
}
EXAMPLE_HOST = re.compile(r"(^|\.)example(\.(com|org|net))?$")
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
# The keys of every table in app/, whether its file is there or not.
KNOWN = """
    API_KEYS API_KEY_FAILURES BLOCKED_USER_AGENTS CHECKS_SILENCED CORS_ALLOW_HEADERS
    CORS_EXPOSE_HEADERS CORS_MAX_AGE CORS_METHODS CORS_ORIGINS CORS_PATH
    CORS_SUPPORTS_CREDENTIALS JWT_ALGORITHMS JWT_AUDIENCE JWT_ISSUER JWT_JWKS JWT_JWKS_MAX_AGE
    JWT_LEEWAY LOG_FILE LOG_FORMAT LOG_LEVEL MAX_CONTENT_LENGTH MAX_FORM_MEMORY_SIZE
    MAX_FORM_PARTS PRODUCTION RATELIMIT_APPLICATION RATELIMIT_DEFAULT RATELIMIT_ENABLED
    RATELIMIT_HEADERS_ENABLED RATELIMIT_KEY_PREFIX RATELIMIT_MEMORY_COUNTERS
    RATELIMIT_STORAGE_OPTIONS RATELIMIT_STORAGE_TIMEOUT RATELIMIT_STORAGE_URI RATELIMIT_STRATEGY
    RATELIMIT_WORKER RATELIMIT_WORKERS REQUEST_CONTENT_TYPES SECURITY_CSP_API SECURITY_CSP_PAGE
    SECURITY_HEADERS SECURITY_LOG_FILE SESSION_COOKIE_NAME TRUSTED_HOSTS TRUSTED_PROXIES
"""
LEVELS = {"E": "error", "W": "warning", "I": "info"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One risk: what is wrong, why it matters and what to do."""

    code: str  # E001: error, W001: warning, I001: info
    reason: str
    remedy: str

    @property
    def level(self) -> str:
        return LEVELS[self.code[0]]

    def as_dict(self) -> dict[str, str]:
        return {"id": self.code, "level": self.level, "reason": self.reason, "remedy": self.remedy}


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one path, and what stands before its view."""

    method: str
    path: str
    endpoint: str
    limits: tuple[str, ...] | None  # None: decided per request, or there is no rate limiting
    body_limit: int | None  # bytes
    cors: bool
    scopes: frozenset[str] | None  # None: @public; empty: any caller with a credential

    def callers(self, has_authentication: bool) -> str:
        if not has_authentication:
            return "anybody"
        if self.scopes is None:
            return "public"
        return " ".join(sorted(self.scopes)) or "any key"


class Service:
    """What the checks ask about a configured application."""

    def __init__(self, app: Flask, environ: Mapping[str, str] | None = None) -> None:
        self.app = app
        self.config = app.config
        self.environ = os.environ if environ is None else environ

    @property
    def is_production(self) -> bool:
        return bool(self.config.get("PRODUCTION"))

    @property
    def server(self) -> str | None:
        """The production server in whose process this runs, if it is one that is known."""
        return next((name for module, name in SERVERS.items() if module in sys.modules), None)

    @property
    def has_authentication(self) -> bool:
        return "authentication" in self.app.extensions

    @property
    def limits(self) -> Any:
        return self.app.extensions.get("rate_limiting")

    @cached_property
    def configured(self) -> set[str]:
        """The files of app/middleware that have put a layer, a hook or an extension in place."""
        found: list[Any] = list(self.app.extensions.values())
        layer: Any = self.app.wsgi_app
        while layer is not None:
            found.append(layer)
            layer = getattr(layer, "wsgi_app", None)
        for hooks in (self.app.before_request_funcs, self.app.after_request_funcs):
            found += [hook for group in hooks.values() for hook in group]
        own = {getattr(part, "__module__", "") for part in found}
        return {name.rpartition(".")[2] for name in own if ".middleware." in name}

    @cached_property
    def routes(self) -> list[Route]:
        rules = sorted(self.app.url_map.iter_rules(), key=lambda rule: rule.rule)
        return [
            self._route(rule, method)
            for rule in rules
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]

    def _route(self, rule: Rule, method: str) -> Route:
        view = self.app.view_functions[rule.endpoint]
        own_limit = self._ask("validation", "own_limit", view, method)
        body = own_limit or self.config["MAX_CONTENT_LENGTH"]
        cors_path = self.config.get("CORS_PATH") if "cors" in self.configured else None
        return Route(
            method=method,
            path=rule.rule,
            endpoint=rule.endpoint,
            limits=self._limits(rule, method),
            body_limit=body if method in CHANGING else None,
            cors=bool(cors_path and self.origins and rule.rule.startswith(cors_path)),
            scopes=self._ask("authentication", "required_scopes", view, method),
        )

    def _limits(self, rule: Rule, method: str) -> tuple[str, ...] | None:
        if self.limits is None:
            return None
        with self.app.test_request_context(method=method):
            request.url_rule = rule
            plan = self.limits._compile()
        if plan is None:
            return None
        return tuple(str(rule.limit.limit).replace(" 1 ", " ") for rule in plan.rules)

    def _ask(self, name: str, function: str, view: Callable[..., Any], method: str) -> Any:
        """What a middleware file says of a view; None where the file has been deleted."""
        try:
            module = importlib.import_module(f"app.middleware.{name}")
        except ImportError:
            return None
        ask = getattr(module, function, None)  # the file may be an older one
        return ask(view, method) if ask else None

    @property
    def origins(self) -> list[str]:
        """CORS_ORIGINS as text; configure_cors has compiled the wildcards."""
        return [
            re.sub(r"\[a-z.*?\]\{1,63\}", "*", origin.pattern.replace("\\", "")).strip("AZ")
            if isinstance(origin, re.Pattern)
            else origin
            for origin in self.config.get("CORS_ORIGINS") or []
        ]

    @property
    def believes(self) -> str:
        """Who the clients are, as the service sees it."""
        hops = self.config.get("TRUSTED_PROXIES") or 0
        if not hops or "proxy" not in self.configured:
            return "the address that connects; X-Forwarded-* is ignored (TRUSTED_PROXIES=0)"
        entry = "last entry" if hops == 1 else f"entry {hops} from the end"
        return f"the {entry} of X-Forwarded-For, as for -Proto and -Host (TRUSTED_PROXIES={hops})"


# The checks. A number is never given to another risk.

Check = Callable[[Service], Iterator[Finding]]


def secret_key(service: Service) -> Iterator[Finding]:
    remedy = f"set FLASK_SECRET_KEY to at least 32 characters: {NEW_KEY}"
    fallbacks = service.config.get("SECRET_KEY_FALLBACKS") or []
    if not isinstance(fallbacks, list | tuple):  # Flask would take each character for a key
        remedy_for_list = "set FLASK_SECRET_KEY_FALLBACKS='[\"<the key before>\"]'"
        yield Finding("E002", "SECRET_KEY_FALLBACKS is not a list of keys", remedy_for_list)
        fallbacks = []
    keys = {"SECRET_KEY": service.config["SECRET_KEY"]}
    keys |= {f"SECRET_KEY_FALLBACKS[{n}]": key for n, key in enumerate(fallbacks)}
    open_to_all = (config_by_name.get(name) for name in ("development", "testing"))
    published = [getattr(config, "SECRET_KEY", None) for config in open_to_all]
    for name, key in keys.items():
        text = key.decode("latin-1") if isinstance(key, bytes) else str(key or "")
        if not text:
            yield Finding("E001", f"{name} is not set", remedy)
        elif len(text) < 32:
            yield Finding("E002", f"{name} has {len(text)} characters, which can be tried", remedy)
        elif not isinstance(key, str | bytes):
            if isinstance(key, int | float):
                yield Finding("E002", f"{name} is read as a number", "add a letter to it")
            else:
                reason = f"{name} is read as a {type(key).__name__}, not as text"
                yield Finding("E002", reason, remedy)
        elif text in published or PLACEHOLDER.search(text):
            yield Finding("E003", f"{name} is one that others know, or a placeholder", remedy)


def debug_and_testing(service: Service) -> Iterator[Finding]:
    if service.config["DEBUG"] or service.app.debug:
        reason = "DEBUG is on: the debugger runs any code that a visitor types"
        yield Finding("E004", reason, "remove FLASK_DEBUG")
    if service.config["TESTING"]:
        reason = "TESTING is on: exceptions reach the server instead of the error handlers"
        yield Finding("E005", reason, "remove FLASK_TESTING")
    if service.config["PROPAGATE_EXCEPTIONS"]:
        reason = "PROPAGATE_EXCEPTIONS is on: an exception ends in the server, without an answer"
        yield Finding("W001", reason, "remove FLASK_PROPAGATE_EXCEPTIONS")


def origins(service: Service) -> Iterator[Finding]:
    if "cors" not in service.configured:
        return
    for origin in service.origins:
        parts = urlsplit(origin)
        host = parts.hostname or ""
        if is_local(host):
            reason = f"CORS_ORIGINS: {origin} lets any program on a visitor's machine read answers"
            yield Finding("W002", reason, "name the origins of your pages in FLASK_CORS_ORIGINS")
        elif parts.scheme == "http":
            reason = f"CORS_ORIGINS: {origin} can be changed by anybody on the way to the browser"
            yield Finding("E006", reason, f"write https://{host}")
        elif EXAMPLE_HOST.search(host):
            reason = f"CORS_ORIGINS: {origin} is an example"
            yield Finding("W003", reason, "name the origins of your pages in FLASK_CORS_ORIGINS")
        if "*" in origin and service.config.get("CORS_SUPPORTS_CREDENTIALS") in (True, "true"):
            reason = f"CORS_ORIGINS: {origin} trusts every page on any subdomain with the cookies"
            remedy = "name the subdomains, or set FLASK_CORS_SUPPORTS_CREDENTIALS=false"
            yield Finding("W004", reason, remedy)


def no_limits(service: Service) -> Iterator[Finding]:
    if service.limits is None:
        remedy = "remove FLASK_RATELIMIT_ENABLED, or call configure_rate_limiting(app)"
        yield Finding("W005", "nothing limits how often a client may ask", remedy)
        return
    unlimited = [r for r in service.routes if r.limits == ()]
    if unlimited and len(unlimited) == len(service.routes):
        remedy = 'set FLASK_RATELIMIT_DEFAULT="200 per hour;50 per minute"'
        yield Finding("W005", "no route has a limit", remedy)
        return
    for route in unlimited:
        if route.method in CHANGING:
            reason = f"{route.method} {route.path} changes something and has no limit"
            yield Finding("W006", reason, "remove @limiter.exempt, or give it a limit of its own")
    safe = sorted({r.path for r in unlimited if r.method not in CHANGING})
    if safe:
        reason = f"exempt from limits: {', '.join(safe)}"
        yield Finding("I001", reason, "keep their answers cheap, or remove @limiter.exempt")


def workers_and_memory(service: Service) -> Iterator[Finding]:
    """What the servers are told; what RATELIMIT_WORKERS says rate_limiting.py checks itself."""
    if service.limits is None:
        return
    told = int(service.config.get("RATELIMIT_WORKERS") or 1)
    uri = str(service.config.get("RATELIMIT_STORAGE_URI") or "memory://")
    for name in ("WEB_CONCURRENCY", "GRANIAN_WORKERS"):
        value = service.environ.get(name, "")
        if not value.isdecimal() or int(value) <= told:
            continue
        if uri.startswith("memory:"):
            reason = f"{name}={value}: each worker admits the whole limit from a memory of its own"
            yield Finding("E007", reason, "set FLASK_RATELIMIT_STORAGE_URI=redis://host:6379")
        else:
            reason = f"{name}={value}, RATELIMIT_WORKERS={told}: without the store too much passes"
            yield Finding("W007", reason, f"set FLASK_RATELIMIT_WORKERS={value}")


def store_in_clear(service: Service) -> Iterator[Finding]:
    uri = str(service.config.get("RATELIMIT_STORAGE_URI") or "memory://")
    if service.limits is None or uri.startswith("memory:"):
        return
    parts = urlsplit(uri)
    host = parts.hostname or ""
    missing = [] if parts.scheme.startswith(("rediss", "valkeys")) else ["TLS"]
    options = service.config.get("RATELIMIT_STORAGE_OPTIONS") or {}
    missing += [] if parts.password or "password" in options else ["a password"]
    if missing and host and not is_local(host):
        reason = f"RATELIMIT_STORAGE_URI: {host} is asked without {' and '.join(missing)}"
        yield Finding("W008", reason, "write rediss://:password@host:6379, or keep it on loopback")


def hosts_and_bodies(service: Service) -> Iterator[Finding]:
    if not service.config["TRUSTED_HOSTS"]:
        reason = "TRUSTED_HOSTS is not set: links that the service builds may name any host"
        yield Finding("W009", reason, "set FLASK_TRUSTED_HOSTS=api.your-domain")
    if not service.config["MAX_CONTENT_LENGTH"]:
        reason = "MAX_CONTENT_LENGTH is not set: one request may fill the memory"
        yield Finding("W010", reason, "set FLASK_MAX_CONTENT_LENGTH=1048576 (bytes)")


def broad_hosts(service: Service) -> Iterator[Finding]:
    for host in service.config["TRUSTED_HOSTS"] or ():
        if BARE_SUFFIX.fullmatch(host):
            reason = f"TRUSTED_HOSTS: {host} is every name that anybody can register below it"
        elif "." not in host and not is_local(host):
            reason = f"TRUSTED_HOSTS: {host} is a name that each network gives to what it likes"
        else:
            continue
        yield Finding("W020", reason, "name the domain: FLASK_TRUSTED_HOSTS=api.your-domain")


def session_cookie(service: Service) -> Iterator[Finding]:
    config = service.config
    if not config["SESSION_COOKIE_SECURE"]:
        reason = "SESSION_COOKIE_SECURE is off: the session travels over http as well"
        yield Finding("W018", reason, "set FLASK_SESSION_COOKIE_SECURE=true")
    if not config["SESSION_COOKIE_HTTPONLY"]:
        reason = "SESSION_COOKIE_HTTPONLY is off: scripts can read the session"
        yield Finding("E008", reason, "set FLASK_SESSION_COOKIE_HTTPONLY=true")
    if str(config["SESSION_COOKIE_SAMESITE"]).title() not in ("Lax", "Strict"):
        reason = "SESSION_COOKIE_SAMESITE is not set: other sites' forms act as the visitor"
        yield Finding("W011", reason, "set FLASK_SESSION_COOKIE_SAMESITE=Lax")


def callers(service: Service) -> Iterator[Finding]:
    if not service.has_authentication:
        scoped = sorted({r.path for r in service.routes if r.scopes})
        if scoped:
            reason = f"API_KEYS is empty, so anybody may use {', '.join(scoped)}"
            yield Finding("W012", reason, "make a key, and set FLASK_API_KEYS: flask api-key NAME")
        others = [r for r in service.routes if r.method in CHANGING and not r.scopes]
        if others:
            names = ", ".join(f"{r.method} {r.path}" for r in others)
            reason = f"authentication is off, so anybody may change something: {names}"
            remedy = "make a key, and set FLASK_API_KEYS; if something else asks, silence W021"
            yield Finding("W021", reason, remedy)
        return
    rate = RATE.search(str(service.config.get("API_KEY_FAILURES") or ""))
    if rate and int(rate[1]) / MINUTES[rate[2]] > 1000:
        reason = f"API_KEY_FAILURES: {rate[0]} lets an address try keys as fast as it can"
        yield Finding("W019", reason, 'set FLASK_API_KEY_FAILURES="20 per minute"')


def public_writes(service: Service) -> Iterator[Finding]:
    for route in service.routes if service.has_authentication else ():
        if route.scopes is None and route.method in CHANGING:
            reason = f"{route.method} {route.path} changes something and is @public"
            yield Finding("W013", reason, "remove @public from the view")


def outside_production(service: Service) -> Iterator[Finding]:
    """A server for the world with a configuration for one's own machine."""
    if service.is_production:
        return
    if "FLASK_PRODUCTION" in service.environ:
        reason = "FLASK_PRODUCTION switches off what production checks"
        yield Finding("W022", reason, "remove FLASK_PRODUCTION, and silence single risks")
    elif service.server:
        reason = f"{service.server} serves a configuration that is not for production"
        yield Finding("W022", reason, "remove APP_CONFIG, or set it to production")


def misspelt_names(service: Service) -> Iterator[Finding]:
    """A FLASK_ variable that nothing reads, and that is nearly the name of one.

    None is near FLASK_APP and FLASK_RUN_*, which are for the command and are no keys.
    """
    own = {key for config in config_by_name.values() for key in dir(config) if key.isupper()}
    known = own.union(KNOWN.split(), Flask.default_config)
    for name in sorted(service.environ):
        key = name.removeprefix("FLASK_").partition("__")[0]  # FLASK_A__B is key B of A
        if not name.startswith("FLASK_") or key in known:
            continue
        if near := difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.85):
            reason = f"FLASK_{key} is not known; did you mean FLASK_{near[0]}?"
            remedy = "write that, or name your own key in app/config.py"
            yield Finding("W025", reason, remedy)


def logs(service: Service) -> Iterator[Finding]:
    if "logging" not in service.configured:
        return
    if service.config.get("LOG_FORMAT") == "text":
        reason = "LOG_FORMAT is text: lines for people, which no log store can search"
        yield Finding("W014", reason, "remove FLASK_LOG_FORMAT")
    if str(service.config.get("LOG_LEVEL")).upper() == "DEBUG":
        reason = "LOG_LEVEL is DEBUG: libraries write addresses, queries and credentials"
        yield Finding("W023", reason, "remove FLASK_LOG_LEVEL")
    if not service.config.get("SECURITY_LOG_FILE"):
        reason = "SECURITY_LOG_FILE is not set: refusals stand among the other lines only"
        remedy = (
            "set FLASK_SECURITY_LOG_FILE=- (standard output), or a file that this user may write"
        )
        yield Finding("I002", reason, remedy)


def security_headers(service: Service) -> Iterator[Finding]:
    headers = service.config.get("SECURITY_HEADERS") or {}
    for name, value in dict(headers).items() if isinstance(headers, Mapping) else ():
        age = re.search(r"max-age=\"?(\d+)", str(value))
        if name.lower() == "strict-transport-security" and int(age[1] if age else 0) < 2_592_000:
            reason = "SECURITY_HEADERS: browsers are hardly or not told to insist on https"
            yield Finding("W015", reason, "remove Strict-Transport-Security from SECURITY_HEADERS")
        elif is_weaker(name.lower(), str(value or "").lower()):
            reason = f"SECURITY_HEADERS: {name}: {value or 'nothing'} protects less"
            yield Finding("W024", reason, f"remove {name} from SECURITY_HEADERS")
    for key in ("SECURITY_CSP_PAGE", "SECURITY_CSP_API"):
        policy = service.config.get(key)
        if policy is not None and lets_scripts_in(str(policy)):
            reason = f"{key}: {policy!r} lets injected scripts run"
            yield Finding("W016", reason, f"remove {key}, or name what the pages need")


def is_weaker(name: str, value: str) -> bool:
    """Whether a header is less than one of those that each answer needs."""
    needed = {
        "x-content-type-options": r"nosniff",
        "x-frame-options": r"deny|sameorigin",
        "referrer-policy": r"(?!.*unsafe-url).+",
        "cache-control": r"(?!.*public).+",
        "cross-origin-opener-policy": r"(?!unsafe-none).+",
        "cross-origin-resource-policy": r"(?!cross-origin).+",
    }
    return name in needed and not re.fullmatch(needed[name], value)


def lets_scripts_in(policy: str) -> bool:
    directives: dict[str, list[str]] = {}
    for part in policy.lower().split(";"):
        name, _, value = part.strip().partition(" ")
        directives[name] = value.split()
    fallback = directives.get("script-src", directives.get("default-src", ["*"]))
    for name in ("script-src-elem", "script-src-attr"):
        sources = directives.get(name, fallback)
        if "'strict-dynamic'" in sources:  # browsers that know it pass over hosts and schemes
            sources = [source for source in sources if source == "'unsafe-eval'"]
        if any(map(ANY_SCRIPT.fullmatch, sources)):
            return True
    return False


def proxies(service: Service) -> Iterator[Finding]:
    if "proxy" not in service.configured:
        return
    hops = service.config.get("TRUSTED_PROXIES")
    if hops:
        reason = f"TRUSTED_PROXIES is {hops}: who gets past them can claim any address"
        yield Finding("I004", reason, "let nothing but your proxies connect to its port")
    else:
        reason = "TRUSTED_PROXIES is 0: behind a proxy all clients have its address and one limit"
        yield Finding("I003", reason, "set FLASK_TRUSTED_PROXIES to how many of yours there are")


def forgotten_lines(service: Service) -> Iterator[Finding]:
    """A middleware whose file is there and whose line in create_app() is not does nothing."""
    expected = {"proxy", "logging", "cors", "rate_limiting", "security"}
    if service.config.get("RATELIMIT_ENABLED") is False:
        expected.discard("rate_limiting")
    on_demand = {
        "BLOCKED_USER_AGENTS": "user_agents",
        "API_KEYS": "authentication",
        "JWT_JWKS": "authentication",
        "MAX_CONTENT_LENGTH": "validation",
        "REQUEST_CONTENT_TYPES": "validation",
    }
    expected |= {name for key, name in on_demand.items() if service.config.get(key)}
    folder = Path(service.app.root_path, "middleware")
    for name in sorted(expected - service.configured):
        if (folder / f"{name}.py").exists():
            reason = f"app/middleware/{name}.py is not called from create_app()"
            yield Finding("W017", reason, "put its line back, or delete the file")


def is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1", "0.0.0.0") or host.endswith(".localhost")  # noqa: S104


EVERYWHERE: list[Check] = [forgotten_lines, public_writes, outside_production, misspelt_names]
AT_START: list[Check] = [outside_production, misspelt_names]  # where it is not production
IN_PRODUCTION: list[Check] = [
    secret_key,
    debug_and_testing,
    origins,
    no_limits,
    workers_and_memory,
    store_in_clear,
    hosts_and_bodies,
    broad_hosts,
    session_cookie,
    callers,
    logs,
    security_headers,
    proxies,
]


def findings(service: Service, checks: Iterable[Check] | None = None) -> list[Finding]:
    """All risks but those in CHECKS_SILENCED, errors first."""
    if checks is None:
        checks = EVERYWHERE + (IN_PRODUCTION if service.is_production else [])
    silent = silenced(service.config.get("CHECKS_SILENCED"))
    found = [f for check in checks for f in check(service) if f.code not in silent]
    return sorted(found, key=lambda f: (list(LEVELS).index(f.code[0]), f.code))


def silenced(value: object) -> list[str]:
    if value is None or value == "":
        return []
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple | set | frozenset):
        raise ValueError(f"CHECKS_SILENCED: {value!r} is not a list; write W002,W005")
    codes = [str(code).strip() for code in listed]
    for code in codes:
        if not re.fullmatch("[EWI][0-9]{3}", code):
            raise ValueError(f"CHECKS_SILENCED: {code!r} is no identifier; write W002,W005")
    return codes


# At start, and `flask check`


def configure_checks(app: Flask) -> None:
    """Register `flask check`; with PRODUCTION, hold the application to it now.

    :raises ValueError: with all errors, in production, unless a command other than `flask run`
        loads the application: those serve nobody.
    """
    app.cli.add_command(check_command)
    service = Service(app)
    if is_command():
        return
    found = findings(service, None if service.is_production else AT_START)
    errors = [f"{f.code}: {f.reason}; {f.remedy}" for f in found if f.level == "error"]
    if errors:
        raise ValueError("\n  ".join(["production refuses to start:", *errors]))
    warnings = [f"{f.code} {f.reason}" for f in found if f.level == "warning"]
    if warnings:
        app.logger.warning("flask check says: %s", "; ".join(warnings))


def is_command() -> bool:
    context = click.get_current_context(silent=True)
    if context is None or context.find_object(ScriptInfo) is None:
        return False
    return context.info_name != "run"


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="For a program.")
@click.pass_context
@with_appcontext
def check_command(context: click.Context, as_json: bool) -> None:
    """Print every route and every risk; exit status 1 where production would not start."""
    service = Service(current_app)
    found = findings(service)
    click.echo(as_data(service, found) if as_json else as_text(service, found))
    context.exit(int(any(f.level == "error" for f in found)))


def as_data(service: Service, found: list[Finding]) -> str:
    routes = [
        {
            **dataclasses.asdict(route),
            "scopes": None if route.scopes is None else sorted(route.scopes),
            "callers": route.callers(service.has_authentication),
        }
        for route in service.routes
    ]
    report = {
        "production": service.is_production,
        "clients": service.believes,
        "routes": routes,
        "findings": [f.as_dict() for f in found],
    }
    return json.dumps(report, indent=2)


def as_text(service: Service, found: list[Finding]) -> str:
    lines = [*table(route_rows(service)), "", f"A client's address is {service.believes}.", ""]
    for f in found:
        lines += [f"{f.level.upper()} {f.code}: {f.reason}", f"    {f.remedy}"]
    if not found:
        lines.append("No risk found.")
    if codes := silenced(service.config.get("CHECKS_SILENCED")):
        lines.append(f"Silenced: {', '.join(codes)}")
    if not service.is_production:
        lines.append("This is not production, where more is checked: flask --app wsgi check")
    return "\n".join(lines)


def route_rows(service: Service) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("METHOD", "PATH", "CALLERS", "LIMITS", "BODY", "CORS")]
    for route in service.routes:
        limits = "per request" if service.limits and route.limits is None else "none"
        rows.append(
            (
                route.method,
                route.path,
                route.callers(service.has_authentication),
                "; ".join(route.limits or ()) or limits,
                f"{route.body_limit} bytes" if route.body_limit else "-",
                "yes" if route.cors else "-",
            )
        )
    return rows


def table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
