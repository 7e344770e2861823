"""The service as its owner made it: each route keeps the promises of the middlewares that are here.

No line of create_app() can be removed, or moved where its place matters, without a test failing.
Nothing here depends on what app/config.py says, or on which routes there are.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.routing import Rule

import app as service
from app.config import config_by_name
from tests.promises import (
    ALLOWED,
    FOREIGN,
    HERE,
    PRESENT,
    SECURITY_HEADERS,
    SETTINGS,
    Kind,
    Log,
    Received,
    ask,
    ask_the_middlewares_alone,
    check_cors,
    host_of,
    needs,
    settings_of_the_rest,
    with_these,
)

Made = Callable[..., Flask]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "requests.log")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, log: Log) -> Made:
    """create_app() with the settings of a test in place of the owner's, and views to ask."""

    def make(name: str = "testing", **settings: Any) -> Flask:
        rest = settings_of_the_rest(name)
        values = {**rest, **SETTINGS, "LOG_FILE": str(log.path), **settings}
        monkeypatch.setitem(config_by_name, name, type("Settings", (), values))
        return add_views(with_these(service.create_app(name), values))

    return make


def add_views(app: Flask) -> Flask:
    ask_the_middlewares_alone(app)
    ok, body, host = f"{HERE}/ok", f"{HERE}/json", host_of(app)
    app.add_url_rule(ok, ok, lambda: {"a": 1}, host=host)
    app.add_url_rule(body, body, lambda: request.get_json(), methods=["POST"], host=host)

    @app.teardown_request
    def buggy(error: BaseException | None) -> None:
        if request.headers.get("X-Bug") == "teardown":
            raise RuntimeError("a bug in teardown_request")

    return app


# -- the routes ------------------------------------------------------------------------------------


def test_every_route_keeps_the_promises_of_the_middlewares(made: Made, log: Log) -> None:
    app = made()
    asked = [*requests_of(app), ("GET", f"{HERE}/unknown"), ("DELETE", f"{HERE}/ok")]
    for method, path in asked:
        response = ask(app, Kind(path, path, 0, method), ALLOWED)
        check_any_response(f"{method} {path}", response, log)


def check_any_response(name: str, response: Received, log: Log) -> None:
    """What holds for any: a view may have set a header to another value, but none is missing."""
    if "security" in PRESENT:
        assert {h: len(response.all(h)) for h in SECURITY_HEADERS} == dict.fromkeys(
            SECURITY_HEADERS, 1
        ), name
    if "logging" in PRESENT:
        lines = log.new()
        assert [line["request_id"] for line in lines] == response.all("X-Request-ID"), name
        assert [line["status"] for line in lines] == [response.status], name


def requests_of(app: Flask) -> Iterator[tuple[str, str]]:
    """A request for each method of each route. The views themselves do not run: nobody's test
    should send a mail or wait for an endless stream."""
    for endpoint, view in app.view_functions.items():
        app.view_functions[endpoint] = stand_in(view)
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            if path := path_of(app, rule, method):
                yield method, path


def stand_in(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)  # with its marks: scopes, limits, @public
    def respond(**_: Any) -> str:
        return "in place of the view"

    return respond


def path_of(app: Flask, rule: Rule, method: str) -> str | None:
    """A path that leads to this rule; None if none of these values fits its variable parts."""
    adapter = app.url_map.bind("localhost", url_scheme="https")
    for value in (1, "x", "xx", "x-1.txt", uuid.UUID(int=1)):
        values = dict.fromkeys(rule.arguments, value)
        try:
            path = adapter.build(rule.endpoint, values, method)
            found, _ = adapter.match(path, method, return_rule=True)
        except Exception:  # the owner's converter expects something else
            continue
        if found is rule and path.startswith("/"):
            return path
    return None


# -- the lines of create_app() ---------------------------------------------------------------------


def statuses(app: Flask, *kinds: Kind) -> list[int]:
    return [ask(app, kind).status for kind in kinds]


def ok(status: int, **headers: str) -> Kind:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Kind("ok", f"{HERE}/ok", status, headers=named)


def post(status: int, data: bytes, content_type: str = "application/json", **more: Any) -> Kind:
    headers = {"Content-Type": content_type, **more.pop("headers", {})}
    return Kind("post", f"{HERE}/json", status, "POST", headers, data, **more)


def test_the_environment_comes_before_the_settings(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_A_KEY_OF_THIS_TEST", "[2]")
    assert made(A_KEY_OF_THIS_TEST=[1]).config["A_KEY_OF_THIS_TEST"] == [2]


@needs("proxy", "logging", "security")
def test_the_trusted_proxy_says_who_asks_and_over_what(made: Made, log: Log) -> None:
    response = ask(made(), ok(200))
    assert log.new()[0]["remote_addr"] == "203.0.113.7"
    assert response.all("Strict-Transport-Security")


@needs("security")
def test_a_response_has_the_security_headers(made: Made) -> None:
    response = ask(made(), ok(200))  # each of them; the values may be the owner's
    assert [name for name in SECURITY_HEADERS if not response.all(name)] == []


@needs("cors")
def test_an_allowed_page_can_read_a_response(made: Made) -> None:
    check_cors(ask(made(), ok(200), ALLOWED), ALLOWED)


@needs("cors", "logging")
def test_a_preflight_is_logged_and_needs_no_key(made: Made, log: Log) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "X-API-Key": ""}
    response = ask(made(), Kind("", f"{HERE}/json", 204, "OPTIONS", preflight), ALLOWED)
    assert response.all("Access-Control-Allow-Methods")
    assert [line["status"] for line in log.new()] == [204]


@needs("csrf")
def test_a_page_of_another_site_changes_nothing(made: Made) -> None:
    foreign = {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site"}
    kind = Kind("", f"{HERE}/json", 403, "POST", {**foreign, "Content-Type": "application/json"})
    assert statuses(made(), kind) == [403]


@needs("metrics")
def test_a_monitor_reads_the_metrics_without_a_key_and_whatever_host_it_asks_for(
    made: Made,
) -> None:
    token = {"Authorization": f"Bearer {SETTINGS['METRICS_TOKEN']}", "Host": "10.0.0.7:8000"}
    app = made(RATELIMIT_DEFAULT="1 per hour")
    reading = Kind("metrics", "/metrics", 200, headers={**token, "X-API-Key": ""})
    assert statuses(app, *[reading] * 3) == [200] * 3


@needs("rate_limiting")
def test_requests_are_limited(made: Made) -> None:
    assert statuses(made(RATELIMIT_DEFAULT="2 per hour"), *[ok(0)] * 3) == [200, 200, 429]


@needs("rate_limiting", "authentication")
def test_guessing_keys_draws_on_the_rate_limit(made: Made) -> None:
    app = made(RATELIMIT_DEFAULT="2 per hour")
    assert statuses(app, *[ok(401, X_API_Key="")] * 3) == [401, 401, 429]


@needs("rate_limiting", "user_agents")
def test_a_blocked_agent_draws_on_the_rate_limit(made: Made) -> None:
    app = made(RATELIMIT_DEFAULT="2 per hour")
    assert statuses(app, *[ok(403, User_Agent="badbot")] * 3) == [403, 403, 429]


@needs("rate_limiting", "validation")
def test_a_refused_body_draws_on_the_rate_limit(made: Made) -> None:
    app = made(RATELIMIT_DEFAULT="2 per hour")
    assert statuses(app, *[post(415, b"1", "text/plain")] * 3) == [415, 415, 429]


@needs("user_agents")
def test_a_blocked_agent_is_refused(made: Made) -> None:
    assert statuses(made(), ok(403, User_Agent="badbot")) == [403]


@needs("user_agents", "authentication")
def test_a_blocked_agent_is_refused_before_it_is_asked_for_a_key(made: Made) -> None:
    assert statuses(made(), ok(403, User_Agent="badbot", X_API_Key="")) == [403]


@needs("authentication")
def test_a_caller_without_a_key_is_refused(made: Made) -> None:
    assert statuses(made(), ok(401, X_API_Key=""), ok(200)) == [401, 200]


@needs("authentication", "validation")
def test_a_stranger_is_not_told_what_a_body_should_look_like(made: Made) -> None:
    kind = post(401, b"1", "text/plain", headers={"X-API-Key": ""})
    assert statuses(made(), kind) == [401]


@needs("validation")
def test_a_body_is_what_it_says_or_it_is_refused(made: Made) -> None:
    short = post(400, b"1", environ={"CONTENT_LENGTH": "5"})
    assert statuses(made(), short, post(400, b"NaN")) == [400, 400]


def test_an_exception_that_leaves_flask_is_a_problem_too(made: Made) -> None:
    response = ask(made(), ok(500, X_Bug="teardown"))
    assert response.status == 500
    assert response.all("Content-Type") == ["application/problem+json"]


def test_the_services_own_routes_are_there(made: Made) -> None:
    views = made().view_functions.values()
    assert any(view.__module__.startswith("app.") for view in views)


def test_a_setting_that_flask_cannot_use_is_refused_at_start(made: Made) -> None:
    with pytest.raises(ValueError, match="SESSION_COOKIE_NAME: 123 is not text; for example sess"):
        made(SESSION_COOKIE_NAME=123)


def test_production_does_not_start_without_a_secret_key(made: Made) -> None:
    with pytest.raises(ValueError, match="SECRET_KEY"):
        made("production", PRODUCTION=True, SECRET_KEY=None, SESSION_COOKIE_NAME="session")


def test_a_browser_on_this_machine_sees_the_first_page_before_keys_are_asked_for(
    made: Made,
) -> None:
    if not Path(service.__file__).with_name("first_page.py").exists():
        pytest.skip("this service has no such page")
    app = made(FIRST_PAGE=True)
    if any(rule.rule == "/" for rule in app.url_map.iter_rules()):
        pytest.skip("this service has a page of its own at /")
    browser = {"Accept": "text/html"}
    response = app.test_client().get("/", headers=browser, base_url="http://localhost")
    assert (response.status_code, response.mimetype) == (200, "text/html")
