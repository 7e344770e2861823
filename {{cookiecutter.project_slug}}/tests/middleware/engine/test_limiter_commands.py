"""What limiter_commands.py promises: `flask limiter` tells how it is; it travels with the file."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.middleware.engine.limiter_commands import ShownLimiter

# the lines to change in another package: this one and the one above
rate_limiting: Any = pytest.importorskip("app.middleware.rate_limiting", exc_type=ImportError)
limiter = rate_limiting.limiter

pytest.importorskip("rich", reason="the commands print with it", exc_type=ImportError)


def make_app() -> Flask:
    app = Flask("service")
    app.config.update(RATELIMIT_DEFAULT="2 per minute", RATELIMIT_APPLICATION="90 per hour")
    rate_limiting.configure_rate_limiting(app)
    app.add_url_rule("/a", "a", lambda: "a")
    app.add_url_rule("/text", "text", limiter.limit(lambda: "5 per day")(lambda: "text"))
    app.add_url_rule("/free", "free", limiter.exempt(lambda: "free"))
    return app


def run(app: Flask, *words: str) -> str:
    from flask_limiter.commands import cli

    done = app.test_cli_runner().invoke(cli, words, env={"COLUMNS": "200", "NO_COLOR": "1"})
    return f"{done.exit_code} {done.output}"


def test_the_configuration_is_shown_as_it_is() -> None:
    said = run(make_app(), "config")
    for text in ("MovingWindow", "MemoryStore", "2 per 1 minute", "90 per 1 hour", "RateLimit (r)"):
        assert text in said


def test_the_limits_of_each_route_are_shown() -> None:
    said = run(make_app(), "limits")
    for text in ("a: /a", "2 per 1 minute", "per request", "Exempt", "90 per 1 hour"):
        assert text in said


def test_what_remains_of_a_key_is_shown_and_can_be_cleared() -> None:
    app = make_app()
    client = app.test_client()
    assert [client.get("/a").status_code for _ in range(3)] == [200, 200, 429]
    asked = ("--endpoint", "a", "--key", "127.0.0.1")
    assert "Fail (0 out of 2 remaining)" in run(app, "limits", *asked)
    assert run(app, "clear", *asked, "-y").startswith("0 ")
    assert "Pass (2 out of 2 remaining)" in run(app, "limits", *asked)


def test_the_memory_of_another_process_is_not_spoken_of() -> None:
    for words in (("limits", "--key", "x"), ("clear", "--key", "x", "-y")):
        said = run(make_app(), *words)
        assert said.startswith("1 ")
        assert "memory:// is the server's own" in said


def test_there_is_one_limiter_to_be_shown() -> None:
    shown: set[Any] = make_app().extensions["limiter"]
    assert [type(one) for one in shown] == [ShownLimiter]
