"""The promise of the whole: every answer, whoever gives it, is logged, readable and hardened.

The answers are the kinds below. Each must keep every promise, in any order of the middlewares, and
no line of create_app() can be removed, or moved where its place matters, without a test failing.
A middleware that was deleted together with its line is left out of both.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, jsonify, request
from werkzeug.test import EnvironBuilder

from app import create_app
from app.errors import configure_errors

KEY = "a-key-for-tests-0123456789abcdefghij"
KEY_SHA256 = "7a6d35b6337211be9be9f1bbc5efdf419e4ff02c153c6fb681a1f56110dd4e5f"
ALLOWED, FOREIGN = "https://app.example.com", "https://evil.example.net"
SETTINGS: dict[str, Any] = {
    "PROPAGATE_EXCEPTIONS": False,  # as in production, where nobody watches
    "SECRET_KEY": "a key for these tests that is long enough",
    "LOG_FORMAT": "json",
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
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": re.compile(r"accelerometer=\(\), .*"),
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",
    "Cache-Control": re.compile("no-store|no-cache"),
    "Content-Security-Policy": re.compile("default-src 'none'; .*frame-ancestors 'none'.*"),
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}


def part(middleware: str, name: str) -> Any:
    """A function of a middleware file; None where the service has deleted that file."""
    module = f"app.middleware.{middleware}"
    if importlib.util.find_spec(module) is None:
        return None
    return getattr(importlib.import_module(module), name)


CONFIGURE = {
    "proxy": part("proxy", "configure_proxy"),
    "logging": part("logging", "configure_request_logging"),
    "cors": part("cors", "configure_cors"),
    "rate_limiting": part("rate_limiting", "configure_rate_limiting"),
    "user_agents": part("user_agents", "configure_user_agent_blocking"),
    "authentication": part("authentication", "configure_authentication"),
    "validation": part("validation", "configure_request_validation"),
    "security": part("security", "configure_security_headers"),
}
PRESENT = [name for name, configure in CONFIGURE.items() if configure]
public = part("authentication", "public") or (lambda view: view)
limiter = part("rate_limiting", "limiter")


# -- the answers -----------------------------------------------------------------------------------


def add_routes(app: Flask) -> Flask:
    """Views that answer in every way there is, and hooks with bugs in them."""

    def route(path: str, view: Callable[..., Any], **options: Any) -> None:
        app.add_url_rule(f"/api{path}", path, view, **options)

    def conditional() -> Response:
        response = jsonify(a=1)
        response.set_etag("1")
        response.cache_control.no_cache = True
        response.make_conditional(request)
        return response

    def once_an_hour() -> str:  # a name of its own: limits are marked by it
        return "once"

    def stream(pieces: int, breaks: bool) -> Callable[[], Iterator[str]]:
        def view() -> Iterator[str]:
            for piece in range(pieces):
                yield f"{piece} "
            if breaks:
                raise RuntimeError("the source is gone")

        return view

    route("/ok", lambda: {"a": 1})
    route("/page", lambda: "<p>")
    route("/empty", lambda: ("", 204))
    route("/conditional", conditional)
    route("/folder/", lambda: "in it")
    route("/json", lambda: {"got": request.get_json()}, methods=["POST"])
    route("/any", lambda: {"read": len(request.data)}, methods=["POST"])
    route("/private", require_other_scope(lambda: "never"))
    route("/limited", limiter.limit("1 per hour")(once_an_hour) if limiter else once_an_hour)
    route("/boom", lambda: str(1 // 0))
    route("/unavailable", lambda: abort(503))
    route("/stream", lambda: stream(3, breaks=False)())
    route("/breaks", lambda: stream(3, breaks=True)())
    route("/breaks-at-once", lambda: stream(0, breaks=True)())
    route("/after", lambda: "fine")
    route("/teardown", lambda: "fine")
    route("/banner", lambda: ("", {"Server": "secret/1.0", "X-Powered-By": "secret"}))

    @app.after_request
    def somebody_elses_hook(response: Response) -> Response:
        if request.path == "/api/after":
            raise RuntimeError("a bug in after_request")
        return response

    @app.teardown_request
    def somebody_elses_teardown(error: BaseException | None) -> None:
        if request.path == "/api/teardown":
            raise RuntimeError("a bug in teardown_request")

    return app


def require_other_scope(view: Callable[..., Any]) -> Callable[..., Any]:
    require_scope = part("authentication", "require_scope")
    return require_scope("orders:write")(view) if require_scope else view


@dataclass
class Kind:
    """One way to be answered: a request, the status, and which middleware gives it."""

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


JSON = {"Content-Type": "application/json"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "X-API-Key": ""}
KINDS = [
    Kind("200", "/api/ok", 200),
    Kind("200 of a page", "/api/page", 200),
    Kind("200 that names a server", "/api/banner", 200),
    Kind("HEAD", "/api/ok", 200, "HEAD"),
    Kind("OPTIONS", "/api/ok", 200, "OPTIONS"),
    Kind("preflight", "/api/json", 204, "OPTIONS", PREFLIGHT, of="cors"),
    Kind("204", "/api/empty", 204),
    Kind("304", "/api/conditional", 304, headers={"If-None-Match": '"1"'}),
    Kind("308", "/api/folder", 308, is_unrouted=True),
    Kind("400 of a body", "/api/json", 400, "POST", JSON, b"{"),
    Kind(
        "400 of a host",
        "/api/ok",
        400,
        headers={"Host": "evil.example"},
        of="validation",
        is_unrouted=True,
    ),
    Kind("401", "/api/ok", 401, headers={"X-API-Key": ""}, of="authentication"),
    Kind(
        "401 of a wrong key", "/api/ok", 401, headers={"X-API-Key": "x" * 40}, of="authentication"
    ),
    Kind("401 of a HEAD", "/api/ok", 401, "HEAD", {"X-API-Key": ""}, of="authentication"),
    Kind("403 of a scope", "/api/private", 403, of="authentication"),
    Kind("403 of an agent", "/api/ok", 403, headers={"User-Agent": "BadBot/1"}, of="user_agents"),
    Kind("404", "/api/nowhere", 404, is_unrouted=True),
    Kind("405", "/api/ok", 405, "DELETE", is_unrouted=True),
    Kind("413", "/api/json", 413, "POST", JSON, b"1" * 2000),
    Kind("415", "/api/any", 415, "POST", {"Content-Type": "text/plain"}, b"1", of="validation"),
    Kind("429", "/api/limited", 429, of="rate_limiting", times=2),
    Kind("500", "/api/boom", 500),
    Kind("503", "/api/unavailable", 503),
    Kind("stream", "/api/stream", 200),
    Kind("stream that breaks", "/api/breaks", 200, outcome="failed"),
    Kind("stream that breaks at once", "/api/breaks-at-once", 500),
    Kind("after_request that raises", "/api/after", 500),
    Kind("teardown that raises", "/api/teardown", 500),
]
KINDS = [kind for kind in KINDS if not kind.of or kind.of in PRESENT]


# -- a server, and what it saw ---------------------------------------------------------------------


@dataclass
class Answer:
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


def ask(app: Flask, kind: Kind, origin: str | None = None) -> Answer:
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
    return Answer(int(status[:3]), sent, b"".join(pieces), broken)


class Log:
    """The lines that were written since the last look."""

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0

    def new(self) -> list[dict[str, Any]]:
        text = self.path.read_bytes()[self.read :]
        self.read += len(text)
        records = [json.loads(line) for line in text.splitlines()]
        return [record for record in records if record["message"] == "request_completed"]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    path = tmp_path / "requests.log"
    path.touch()
    return Log(path)


def in_environment(monkeypatch: pytest.MonkeyPatch, log: Log, **settings: Any) -> Flask:
    """The service as it is, configured as it is in production: by its environment."""
    for name, value in {**SETTINGS, "LOG_FILE": str(log.path), **settings}.items():
        monkeypatch.setenv(f"FLASK_{name}", json.dumps(value))
    return add_routes(create_app("testing"))


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, log: Log) -> Flask:
    return in_environment(monkeypatch, log)


# -- the promises ----------------------------------------------------------------------------------


def check_promises(
    kind: Kind, answer: Answer, lines: list[dict[str, Any]], origin: str | None
) -> None:
    assert answer.status == kind.status
    assert answer.broken == (kind.outcome == "failed")
    if "security" in PRESENT:
        check_security_headers(answer)
    if "logging" in PRESENT:
        check_logged_once(kind, answer, lines)
    if "cors" in PRESENT:
        check_cors(answer, origin)
    if answer.status >= 400:
        check_problem(kind, answer)


def check_security_headers(answer: Answer) -> None:
    for name, expected in SECURITY_HEADERS.items():
        (value,) = answer.all(name)
        assert re.fullmatch(expected, value), name
    assert not any(answer.all("Server") + answer.all("X-Powered-By"))


def check_logged_once(kind: Kind, answer: Answer, lines: list[dict[str, Any]]) -> None:
    (request_id,) = answer.all("X-Request-ID")
    assert len(lines) == kind.times
    line = lines[-1]
    assert line["request_id"] == request_id
    assert (line["status"], line["outcome"]) == (kind.status, kind.outcome)
    if kind.name != "preflight":  # of an allowed origin it is answered before a view is looked for
        assert line["endpoint"] == (None if kind.is_unrouted else kind.path.removeprefix("/api"))
    assert (line["method"], line["path"]) == (kind.method, kind.path)
    if kind.method != "HEAD":
        assert line["bytes"] == len(answer.body)


def check_cors(answer: Answer, origin: str | None) -> None:
    assert "origin" in ", ".join(answer.all("Vary")).lower()
    if origin == ALLOWED:
        assert answer.all("Access-Control-Allow-Origin") == [ALLOWED]
        assert answer.all("Access-Control-Allow-Credentials") == ["true"]
    else:
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def check_problem(kind: Kind, answer: Answer) -> None:
    assert answer.all("Content-Type") == ["application/problem+json"]
    if kind.method == "HEAD":
        assert answer.body == b""
        return
    problem = json.loads(answer.body)
    assert problem["status"] == kind.status
    assert problem["type"] and problem["title"] and problem["detail"]
    if "logging" in PRESENT:
        assert answer.all("X-Request-ID") == [problem["request_id"]]


@pytest.mark.parametrize("origin", [ALLOWED, FOREIGN, None])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_answer_keeps_every_promise(
    app: Flask, log: Log, kind: Kind, origin: str | None
) -> None:
    if kind.name == "preflight" and origin != ALLOWED:
        kind = Kind("OPTIONS without CORS", kind.path, 200, "OPTIONS")
    for _ in range(kind.times):
        answer = ask(app, kind, origin)
    check_promises(kind, answer, log.new(), origin)


ALWAYS_ON = [name for name in ("logging", "cors", "rate_limiting", "security") if name in PRESENT]
OTHERS = [name for name in PRESENT if name not in ALWAYS_ON]
SHUFFLED = random.Random(20261120)
ORDERS = [["errors", *OTHERS, *order] for order in itertools.permutations(ALWAYS_ON)]
ORDERS += [SHUFFLED.sample([*PRESENT, "errors"], len(PRESENT) + 1) for _ in range(100)]


def test_every_promise_holds_in_any_order_of_the_middlewares(log: Log) -> None:
    failures = []
    for order in ORDERS:
        app = Flask("in_another_order")
        app.config.update(SETTINGS, LOG_FILE=str(log.path))
        for name in order:
            (configure_errors if name == "errors" else CONFIGURE[name])(app)
        add_routes(app)
        for kind in KINDS:
            log.new()
            for _ in range(kind.times):
                answer = ask(app, kind, ALLOWED)
            try:
                check_promises(kind, answer, log.new(), ALLOWED)
            except (AssertionError, ValueError) as error:
                failures.append(f"{kind.name}, in the order {' '.join(order)}: {error}")
    assert not failures, failures[0]


# -- the lines of create_app() ---------------------------------------------------------------------


def needs(*middlewares: str) -> pytest.MarkDecorator:
    missing = [name for name in middlewares if name not in PRESENT]
    return pytest.mark.skipif(bool(missing), reason=f"this service has no {missing}")


def statuses(app: Flask, *kinds: Kind) -> list[int]:
    return [ask(app, kind).status for kind in kinds]


@needs("proxy", "logging", "security")
def test_the_trusted_proxy_says_who_asks_and_over_what(app: Flask, log: Log) -> None:
    answer = ask(app, Kind("proxy", "/api/ok", 200))
    assert log.new()[0]["remote_addr"] == "203.0.113.7"
    assert answer.all("Strict-Transport-Security")


@needs("rate_limiting", "authentication")
def test_guessing_keys_draws_on_the_rate_limit(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    app = in_environment(monkeypatch, log, RATELIMIT_DEFAULT="2 per hour")
    without_key = Kind("no key", "/api/ok", 401, headers={"X-API-Key": ""})
    assert statuses(app, *[without_key] * 3) == [401, 401, 429]


@needs("rate_limiting", "user_agents")
def test_a_blocked_agent_draws_on_the_rate_limit(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    app = in_environment(monkeypatch, log, RATELIMIT_DEFAULT="2 per hour")
    blocked = Kind("agent", "/api/ok", 403, headers={"User-Agent": "badbot"})
    assert statuses(app, *[blocked] * 3) == [403, 403, 429]


@needs("rate_limiting", "validation")
def test_a_refused_body_draws_on_the_rate_limit(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    app = in_environment(monkeypatch, log, RATELIMIT_DEFAULT="2 per hour")
    refused = Kind("415", "/api/any", 415, "POST", {"Content-Type": "text/plain"}, b"1")
    assert statuses(app, *[refused] * 3) == [415, 415, 429]


@needs("user_agents", "authentication")
def test_a_blocked_agent_is_refused_before_it_is_asked_for_a_key(app: Flask) -> None:
    headers = {"User-Agent": "badbot", "X-API-Key": ""}
    assert statuses(app, Kind("both", "/api/ok", 403, headers=headers)) == [403]


@needs("authentication", "validation")
def test_a_stranger_is_not_told_what_a_body_should_look_like(app: Flask) -> None:
    headers = {"Content-Type": "text/plain", "X-API-Key": ""}
    assert statuses(app, Kind("both", "/api/json", 401, "POST", headers, b"1")) == [401]


@needs("validation")
def test_a_body_is_what_it_says_or_it_is_refused(app: Flask) -> None:
    declared = {"CONTENT_LENGTH": "5"}
    short = Kind("short", "/api/json", 400, "POST", JSON, b"1", environ=declared)
    not_json = Kind("NaN", "/api/json", 400, "POST", JSON, b"NaN")
    assert statuses(app, short, not_json) == [400, 400]


@needs("cors", "logging")
def test_a_preflight_is_logged_and_needs_no_key(app: Flask, log: Log) -> None:
    answer = ask(app, Kind("preflight", "/api/json", 204, "OPTIONS", PREFLIGHT), ALLOWED)
    assert answer.all("Access-Control-Allow-Methods")
    assert [line["status"] for line in log.new()] == [204]


def test_the_services_own_routes_answer(app: Flask) -> None:
    paths = "/health", "/ready", "/api/ping"
    assert [ask(app, Kind(path, path, 200)).status for path in paths] == [200, 200, 200]


def test_production_does_not_start_without_a_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASK_SECRET_KEY", raising=False)
    with pytest.raises(ValueError, match="SECRET_KEY"):
        create_app("production")
