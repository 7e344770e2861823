"""The promise of the whole: every response, whoever gives it, is logged, readable and hardened.

The ways to be responded to are the kinds below. Each must keep every promise, in any order of the
middlewares, on an application of this test: test_create_app.py asks the service's own.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, jsonify, request

from app.errors import configure_errors
from tests.promises import (
    ALLOWED,
    CONFIGURE,
    FOREIGN,
    PRESENT,
    SETTINGS,
    Kind,
    Log,
    ask,
    check_promises,
    from_page,
    needs,
    part,
)

limiter = part("rate_limiting", "limiter")


# -- the responses ---------------------------------------------------------------------------------


def add_routes(app: Flask) -> Flask:
    """Views that respond in every way there is, and hooks with bugs in them."""

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


# -- the promises ----------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "requests.log")


def application(log: Log, order: list[str]) -> Flask:
    app = Flask("of_this_test")
    app.config.update(SETTINGS, LOG_FILE=str(log.path))
    for name in order:
        (configure_errors if name == "errors" else CONFIGURE[name])(app)
    return add_routes(app)


@pytest.mark.parametrize("origin", [ALLOWED, FOREIGN, None])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_response_keeps_every_promise(log: Log, kind: Kind, origin: str | None) -> None:
    app = application(log, [*PRESENT, "errors"])
    kind = from_page(kind, origin)
    for _ in range(kind.times):
        response = ask(app, kind, origin)
    check_promises(kind, response, log.new(), origin)


@needs("metrics", "logging")
def test_every_response_counts_in_the_metrics_as_in_the_log(log: Log) -> None:
    app = application(log, [*PRESENT, "errors"])
    for kind in KINDS:
        for origin in (ALLOWED, FOREIGN, None):
            ask(app, from_page(kind, origin), origin)
    rules = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    logged = Counter(
        (line["method"], rules.get(line["endpoint"], "(no route)"), f"{line['status'] // 100}xx")
        for line in log.new()
    )
    counted = app.extensions["metrics"].collect()
    samples = [one for family in counted for one in family.samples]
    assert logged == {
        (labels["method"], labels["rule"], labels["status"]): one.value
        for one in samples
        if one.name.endswith("_seconds_count") and (labels := one.labels)
    }
    assert [one.value for one in samples if one.name == "http_requests_in_flight"] == [0]


ALWAYS_ON = [name for name in ("logging", "cors", "rate_limiting", "security") if name in PRESENT]
OTHERS = [name for name in PRESENT if name not in ALWAYS_ON]
SHUFFLED = random.Random(20261120)
ORDERS = [["errors", *OTHERS, *order] for order in itertools.permutations(ALWAYS_ON)]
ORDERS += [SHUFFLED.sample([*PRESENT, "errors"], len(PRESENT) + 1) for _ in range(100)]


def test_every_promise_holds_in_any_order_of_the_middlewares(log: Log) -> None:
    failures = []
    for order in ORDERS:
        app = application(log, order)
        for kind in KINDS:
            log.new()
            for _ in range(kind.times):
                response = ask(app, kind, ALLOWED)
            try:
                check_promises(kind, response, log.new(), ALLOWED)
            except (AssertionError, ValueError) as error:
                failures.append(f"{kind.name}, in the order {' '.join(order)}: {error}")
    assert not failures, failures[0]


# -- in other people's hands -----------------------------------------------------------------------

NEEDED = {401: "WWW-Authenticate", 405: "Allow", 415: "Accept", 429: "Retry-After"}
RENDERED = [kind for kind in KINDS if kind.status in NEEDED and kind.method != "HEAD"]


@pytest.mark.parametrize("kind", RENDERED, ids=lambda kind: kind.name)
def test_an_error_keeps_the_headers_that_it_needs_whoever_renders_it(log: Log, kind: Kind) -> None:
    app = application(log, [*PRESENT, "errors"])
    app.register_error_handler(kind.status, lambda error: ("in our own words", error.code))
    for _ in range(kind.times):
        response = ask(app, kind, None)
    assert (response.status, response.body) == (kind.status, b"in our own words")
    assert response.all(NEEDED[kind.status])
