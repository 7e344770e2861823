"""What the tests of the whole share: the middlewares that are here, requests, and the promises.

A middleware that the service has deleted is not asked for: neither its promise nor its responses.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

import app as service
from app.checks.operation import documented_keys
from app.config import config_by_name

KEY = "a-key-for-tests-0123456789abcdefghij"
KEY_SHA256 = "7a6d35b6337211be9be9f1bbc5efdf419e4ff02c153c6fb681a1f56110dd4e5f"
HERE = "/api/a-path-of-these-tests"  # in the service as its owner made it
HOST = "localhost"  # its subdomains, if there are any, are below it
ALLOWED, FOREIGN = "https://app.example.com", "https://evil.example.net"
SETTINGS: dict[str, Any] = {
    "PROPAGATE_EXCEPTIONS": False,  # as in production, where nobody watches
    "SECRET_KEY": "a key for these tests that is long enough",
    "LOG_FORMAT": "json",
    "LOG_AT_ONCE": True,  # a test reads it right after the request
    "LOG_SKIP": [],
    "METRICS_TOKEN": "rV2mQ8tLxZ5nB7kW3pYc9dHfJ4sA6gE1",
    "CORS_ORIGINS": [ALLOWED],
    "RATELIMIT_DEFAULT": "100000 per hour",
    "TRUSTED_PROXIES": 1,
    "API_KEYS": {"tests": {"keys": [KEY_SHA256], "scopes": ["orders:read"]}},
    "API_KEY_FAILURES": "100000 per hour",
    "BLOCKED_USER_AGENTS": ["badbot"],
    "TRUSTED_HOSTS": ["localhost"],
    "MAX_CONTENT_LENGTH": 1000,
    "REQUEST_CONTENT_TYPES": {"POST": ["application/json"]},
}
SECURITY_HEADERS: dict[str, str | re.Pattern[str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": re.compile("same-origin|cross-origin"),
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": re.compile(r"accelerometer=\(\), .*"),
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",
    "Cache-Control": re.compile("no-store|no-cache"),
    "Content-Security-Policy": re.compile("default-src 'none'; .*frame-ancestors 'none'.*"),
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}


# -- the middlewares -------------------------------------------------------------------------------


def part(middleware: str, name: str) -> Any:
    """A function of a middleware file; None where the service has deleted that file."""
    module = f"app.middleware.{middleware}"
    if importlib.util.find_spec(module) is None:
        return None
    return getattr(importlib.import_module(module), name)


CONFIGURE = {
    "proxy": part("proxy", "configure_proxy"),
    "logging": part("logging", "configure_request_logging"),
    "metrics": part("metrics", "configure_metrics"),
    "cors": part("cors", "configure_cors"),
    "csrf": part("csrf", "configure_csrf_protection"),
    "rate_limiting": part("rate_limiting", "configure_rate_limiting"),
    "user_agents": part("user_agents", "configure_user_agent_blocking"),
    "authentication": part("authentication", "configure_authentication"),
    "validation": part("validation", "configure_request_validation"),
    "security": part("security", "configure_security_headers"),
}  # in the order of create_app()
PRESENT = [name for name, configure in CONFIGURE.items() if configure]


def needs(*middlewares: str) -> pytest.MarkDecorator:
    missing = [name for name in middlewares if name not in PRESENT]
    return pytest.mark.skipif(bool(missing), reason=f"this service has no {missing}")


def settings_of_the_rest(name: str) -> dict[str, Any]:
    """What app/config.py says, but for the keys of our files: these are the owner's to change."""
    owners, documented = config_by_name[name], documented_keys(Path(service.__file__).parent)
    kept = {key for key in dir(owners) if key.isupper() and key not in documented}
    return {key: getattr(owners, key) for key in kept} | {"SERVER_NAME": HOST}


def with_these(app: Flask, settings: dict[str, Any]) -> Flask:
    """The test is skipped where create_app() itself sets one of them to something else."""
    for key, value in settings.items():
        if app.config[key] != value and f"FLASK_{key}" not in os.environ:
            pytest.skip(f"create_app() sets {key}: only what app/config.py says can be tested")
    return app


def ask_the_middlewares_alone(app: Flask) -> None:
    """Below HERE, what the owner's own before_request functions respond or raise does not count: a
    login page, a tenant that is missing; nor what they make of an error."""
    ours = {configure.__module__ for configure in CONFIGURE.values() if configure}
    for handlers in app.error_handler_spec[None].values():
        for error, handler in list(handlers.items()):
            if getattr(handler, "func", handler).__module__ != "app.errors":
                del handlers[error]
    hooks = app.before_request_funcs.get(None, [])
    hooks[:] = [hook if hook.__module__ in ours else passing(app, hook) for hook in hooks]


def host_of(app: Flask) -> str | None:
    """Of a test's route, where the owner's routes go by host."""
    return HOST if app.url_map.host_matching else None


def passing(app: Flask, hook: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        if not request.path.startswith(HERE):
            return app.ensure_sync(hook)()
        with contextlib.suppress(HTTPException):
            app.ensure_sync(hook)()
        return None

    return call


# -- a request, and what came back -----------------------------------------------------------------


@dataclass
class Kind:
    """One way to be responded to: a request, the status, and which middleware gives it."""

    name: str
    path: str
    status: int
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    of: str = ""
    times: int = 1
    outcome: str = "complete"
    environ: dict[str, str] = field(default_factory=dict)
    is_unrouted: bool = False  # no view is found, or is looked for


def from_page(kind: Kind, origin: str | None) -> Kind:
    """What becomes of it when a page of this origin asks: a foreign one changes nothing."""
    if kind.name == "preflight" and origin != ALLOWED:
        return replace(kind, name="OPTIONS without CORS", headers={}, status=200)
    if origin == FOREIGN and "csrf" in PRESENT and kind.method not in ("GET", "HEAD", "OPTIONS"):
        return replace(kind, name="403 of a foreign page", status=403)
    return kind


@dataclass
class Received:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    broken: bool

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def headers_of(kind: Kind, origin: str | None) -> dict[str, str]:
    """Those of every request, as a proxy that ends TLS sends them, changed by the kind's own."""
    headers = {
        "Host": "localhost",
        "User-Agent": "tests",
        "X-API-Key": KEY,
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "Origin": origin or "",
        **kind.headers,
    }
    return {name: value for name, value in headers.items() if value}


def ask(app: Flask, kind: Kind, origin: str | None = None) -> Received:
    """Do what a server does: call, send the head with the first piece, close.

    An exception that comes before the first piece would leave the client to the server's own
    page, without a single promise kept, and so fails the test.
    """
    builder = EnvironBuilder(
        path=kind.path,
        method=kind.method,
        headers=list(headers_of(kind, origin).items()),
        data=kind.data or None,
        environ_base={"REMOTE_ADDR": "192.0.2.1"},
    )
    environ = {**builder.get_environ(), **kind.environ}
    if "proxy" not in PRESENT:
        environ["wsgi.url_scheme"] = "https"  # nobody reads X-Forwarded-Proto
    head: list[Any] = []
    pieces: list[bytes] = []
    broken = False

    def start_response(*args: Any) -> Callable[[bytes], None]:
        head.append(args)
        return pieces.append

    result = app(environ, start_response)
    try:
        for piece in result:
            pieces.append(piece)
    except RuntimeError:
        assert b"".join(pieces), "an exception reached the server before the first byte"
        broken = True
    finally:
        if hasattr(result, "close"):
            result.close()
    ((status, sent, *_),) = head
    return Received(int(status[:3]), sent, b"".join(pieces), broken)


class Log:
    """The lines that were written since the last look: whole ones, a server may be in the last."""

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0
        path.touch()

    def new(self) -> list[dict[str, Any]]:
        written = self.path.read_bytes()[self.read :]
        whole = written[: written.rfind(b"\n") + 1]
        self.read += len(whole)
        records = [json.loads(line) for line in whole.splitlines()]
        return [record for record in records if record["message"] == "request_completed"]


# -- the promises ----------------------------------------------------------------------------------


def check_promises(
    kind: Kind, response: Received, lines: list[dict[str, Any]], origin: str | None
) -> None:
    assert response.status == kind.status
    assert response.broken == (kind.outcome == "failed")
    if "security" in PRESENT:
        check_security_headers(response)
    if "logging" in PRESENT:
        check_logged_once(kind, response, lines)
    if "cors" in PRESENT:
        check_cors(response, origin)
    if response.status >= 400:
        check_problem(kind, response)


def check_security_headers(response: Received) -> None:
    for name, expected in SECURITY_HEADERS.items():
        (value,) = response.all(name)
        assert re.fullmatch(expected, value), name
    assert not any(response.all("Server") + response.all("X-Powered-By"))


def check_logged_once(kind: Kind, response: Received, lines: list[dict[str, Any]]) -> None:
    (request_id,) = response.all("X-Request-ID")
    assert len(lines) == kind.times
    (line,) = (line for line in lines if line["request_id"] == request_id)
    assert (line["status"], line["outcome"]) == (kind.status, kind.outcome)
    if kind.name != "preflight":  # an allowed origin's has its response before a view is looked for
        assert line["endpoint"] == (None if kind.is_unrouted else kind.path.removeprefix("/api"))
    assert (line["method"], line["path"]) == (kind.method, kind.path)
    if kind.method != "HEAD":
        is_cut = response.broken and line["bytes"] > len(response.body)  # on its way to the client
        assert is_cut or line["bytes"] == len(response.body)


def check_cors(response: Received, origin: str | None) -> None:
    assert "origin" in ", ".join(response.all("Vary")).lower()
    if origin == ALLOWED:
        assert response.all("Access-Control-Allow-Origin") == [ALLOWED]
        assert response.all("Access-Control-Allow-Credentials") == ["true"]
    else:
        names = [name.lower() for name, _ in response.headers]
        assert not [name for name in names if name.startswith("access-control")]


def check_problem(kind: Kind, response: Received) -> None:
    assert response.all("Content-Type") == ["application/problem+json"]
    if kind.method == "HEAD":
        assert response.body == b""
        return
    problem = json.loads(response.body)
    assert problem["status"] == kind.status
    assert problem["type"] and problem["title"] and problem["detail"]
    if "logging" in PRESENT:
        assert response.all("X-Request-ID") == [problem["request_id"]]
