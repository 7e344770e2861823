"""What user_agents.py promises. Travels with it: any package, one import to change."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from werkzeug.test import Client, EnvironBuilder

from app.middleware.user_agents import (  # the one line to change in another package
    configure_user_agent_blocking,
)

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    configure_user_agent_blocking(app)

    @app.get("/")
    def index() -> str:
        return "served"

    @app.teardown_request
    def keep(_: BaseException | None) -> None:
        app.extensions["event"] = request.environ.get("security_event")

    return app


def status(app: Flask, agent: str, method: str = "GET", **headers: str) -> int:
    given = {"User-Agent": agent, **headers}
    return app.test_client().open("/", method=method, headers=given).status_code


def test_nothing_happens_until_it_is_configured() -> None:
    app = service()
    assert status(app, "sqlmap/1.8") == 200
    assert not app.before_request_funcs


@pytest.mark.parametrize("blocked", [["sqlmap", "Nikto"], "sqlmap, Nikto", ("sqlmap", "Nikto")])
def test_a_blocked_word_is_found_anywhere_and_in_any_case(blocked: Any) -> None:
    app = service(BLOCKED_USER_AGENTS=blocked)
    for agent in ("sqlmap/1.8", "Mozilla/5.0 SQLMap", "x" * 8000 + "nikto"):
        assert status(app, agent) == 403
    assert app.extensions["event"] == {"event": "user_agent_blocked"}
    for agent in (FIREFOX, "", "sql map", "\xff\xfe"):
        assert status(app, agent) == 200


def test_a_request_without_a_user_agent_is_served() -> None:
    environ = EnvironBuilder(path="/").get_environ()
    environ.pop("HTTP_USER_AGENT", None)
    response = Client(service(BLOCKED_USER_AGENTS="sqlmap")).open(environ)
    assert response.status_code == 200


def test_a_word_is_not_a_regular_expression() -> None:
    app = service(BLOCKED_USER_AGENTS=["bot.*", "(evil"])
    assert status(app, "robot/1.0") == 200
    assert status(app, "bot.*") == 403
    assert status(app, "a (EVIL agent)") == 403


def test_unknown_paths_are_refused_too() -> None:
    client = service(BLOCKED_USER_AGENTS="sqlmap").test_client()
    assert client.get("/.env", headers={"User-Agent": "sqlmap"}).status_code == 403


def test_a_preflight_gets_its_response_so_that_the_browser_can_show_the_refusal() -> None:
    app = service(BLOCKED_USER_AGENTS="firefox")
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    assert status(app, FIREFOX, "OPTIONS", **preflight) == 200
    for name in preflight:
        assert status(app, FIREFOX, "OPTIONS", **{name: preflight[name]}) == 403
    assert status(app, FIREFOX, "OPTIONS") == 403
    assert status(app, FIREFOX) == 403


def test_a_view_that_responds_to_options_itself_is_kept_from_blocked_agents() -> None:
    app = service(BLOCKED_USER_AGENTS="badbot")
    app.add_url_rule("/own", "own", lambda: "ran", methods=["GET", "OPTIONS"])
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    client = app.test_client()
    assert client.options("/own", headers={"User-Agent": "BadBot", **preflight}).status_code == 403
    assert client.options("/own", headers={"User-Agent": FIREFOX, **preflight}).text == "ran"


def test_two_applications_do_not_see_each_others_words() -> None:
    one, two = service(BLOCKED_USER_AGENTS="one"), service(BLOCKED_USER_AGENTS="two")
    assert (status(one, "one"), status(one, "two")) == (403, 200)
    assert (status(two, "one"), status(two, "two")) == (200, 403)


@pytest.mark.parametrize(
    "value", [[1], 7, {"bot": 1}, [None], "b\u00f6t", ["ok", "\u0431"], "\x00", "a\tb"]
)
def test_a_word_that_would_block_nobody_is_refused_at_start(value: object) -> None:
    with pytest.raises(ValueError, match=r"^BLOCKED_USER_AGENTS: .* is not .*; for example "):
        service(BLOCKED_USER_AGENTS=value)


@pytest.mark.parametrize("value", ["", [], [""], ",, ", ["", "sqlmap"]])
def test_an_empty_word_blocks_nobody(value: object) -> None:
    assert status(service(BLOCKED_USER_AGENTS=value), FIREFOX) == 200
