"""What the fixtures of tests/conftest.py promise, whatever the service's own routes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g
from flask.testing import FlaskClient

from app.config import config_by_name
from app.extensions import limiter, public, require_scope
from tests.promises import (
    HERE,
    ask_the_middlewares_alone,
    host_of,
    settings_of_the_rest,
    with_these,
)

HTTP = {"SECURITY_HTTPS": False}


@pytest.fixture
def no_settings_of_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    values = settings_of_the_rest("testing") | HTTP
    monkeypatch.setitem(config_by_name, "testing", type("Settings", (), values))


@pytest.fixture
def app(no_settings_of_the_owner: None, app: Flask) -> Flask:
    """That of conftest.py, with two routes more."""
    with_these(app, HTTP)
    ask_the_middlewares_alone(app)

    @app.get(f"{HERE}/limited", host=host_of(app))
    @limiter.limit("2 per hour")
    @public
    def limited() -> str:
        return str(g.get("client"))

    @app.get(f"{HERE}/scoped", host=host_of(app))
    @require_scope("tests:read")
    def scoped() -> str:
        return str(g.get("client"))

    return app


def statuses(client: FlaskClient, number: int = 4) -> list[int]:
    return [client.get(f"{HERE}/limited").status_code for _ in range(number)]


def test_nobody_is_limited_unless_a_test_asks_for_it(client: FlaskClient) -> None:
    assert statuses(client) == [200] * 4


def test_limits_are_on_and_can_be_reset_where_a_test_asks_for_them(
    client: FlaskClient, limits: Any
) -> None:
    assert statuses(client) == [200, 200, 429, 429]
    limits.reset()
    assert statuses(client, 3) == [200, 200, 429]


def test_a_test_can_act_as_several_callers(
    client: FlaskClient, as_caller: Callable[..., FlaskClient]
) -> None:
    reader, other = as_caller("reader", "tests:read"), as_caller("other")
    assert reader.get(f"{HERE}/scoped").text == "reader"
    assert other.get(f"{HERE}/scoped").status_code == 403
    assert client.get(f"{HERE}/scoped").status_code == 401
