"""Fixtures for tests of this service's routes.

def test_orders_are_listed(client):             # nobody is limited
    assert client.get("/api/orders").status_code == 200

def test_a_sixth_voucher_has_to_wait(client, limits):  # limits are on, and count from zero
    ...
    limits.reset()                              # from zero again

def test_reports_may_only_look(as_caller):      # authentication is on: others are refused
    reports = as_caller("reports", "orders:read")
    assert reports.post("/api/orders", json={}).status_code == 403
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.extensions import limiter


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLASK_DEBUG and FLASK_<KEY> are for what is served; FORCE_COLOR comes from many a CI."""
    for variable in os.environ:
        if variable.startswith("FLASK_") or variable == "FORCE_COLOR":
            monkeypatch.delenv(variable)


@pytest.fixture
def app() -> Flask:
    """The service with the settings for tests of app/config.py; limits off, any Host."""
    app = create_app("testing")
    app.config["RATELIMIT_ENABLED"] = False
    app.config["TRUSTED_HOSTS"] = None
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


class Limits:
    def __init__(self, app: Flask) -> None:
        self.app = app

    def reset(self) -> None:
        """Forget what was counted, in a shared store as well."""
        with self.app.app_context():
            limiter.reset()


@pytest.fixture
def limits(app: Flask) -> Limits:
    """Limits are on in this test."""
    pytest.importorskip("app.middleware.rate_limiting", reason="the service goes without it")
    if "rate_limiting" not in app.extensions:
        pytest.skip("app/config.py switches limits off for tests")
    app.config["RATELIMIT_ENABLED"] = True
    limits = Limits(app)
    limits.reset()
    return limits


@pytest.fixture
def as_caller(app: Flask) -> Callable[..., FlaskClient]:
    """as_caller("mobile", "orders:read") is a client with a key and these scopes.

    Each call is another caller of the same service; limits="9 per hour" are limits of its own.
    """
    reason = "the service goes without it"
    authentication = pytest.importorskip("app.middleware.authentication", reason=reason)
    api_keys = pytest.importorskip("app.middleware.engine.api_keys")
    if "authentication" not in app.extensions:
        app.config["API_KEYS"] = {"nobody": {"keys": ["0" * 64]}}
        authentication.configure_authentication(app)

    def make_client(name: str, *scopes: str, limits: str | None = None) -> FlaskClient:
        key = api_keys.make_key(name)
        hashed = hashlib.sha256(key.encode()).hexdigest()
        caller = {"keys": [hashed], "scopes": scopes, "limits": limits}
        app.extensions["authentication"].keys.add(name, caller)
        client = app.test_client()
        client.environ_base["HTTP_X_API_KEY"] = key
        return client

    return make_client
