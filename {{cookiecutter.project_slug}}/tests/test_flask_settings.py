"""Flask's own settings are obeyed or refused at start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, session, url_for

from app.flask_settings import BOOLEANS, NUMBERS, TEXTS, check_flask_settings

CHECKED = [*BOOLEANS, *TEXTS, *NUMBERS]
ODD: list[Any] = [1.5, [], ["x"], {}, b"x", object(), "x y;,=", "\x00", "\u00e9", -1, "-1", 10**20]
FINE = {  # hosts may be in any alphabet
    "SESSION_COOKIE_NAME": ["-1"],
    "SESSION_COOKIE_DOMAIN": ["-1", "\u00e9"],
    "SERVER_NAME": ["-1", "\u00e9"],
}
MORE: dict[str, list[Any]] = {
    "SESSION_COOKIE_NAME": [123, True],
    "SESSION_COOKIE_SAMESITE": ["foo", True],
    "SESSION_COOKIE_SECURE": ["no", 1],
    "REMEMBER_COOKIE_SAMESITE": ["foo", True],
    "DEBUG": ["off", 2],
    "SESSION_COOKIE_PATH": ["app"],
    "APPLICATION_ROOT": [123, "app", "https://example.com/app"],
    "PREFERRED_URL_SCHEME": ["ftp", True],
    "SERVER_NAME": [123, "https://example.com", ".example.com", "a..b", "x" * 64, "[", ":8", "a:b"],
    "PERMANENT_SESSION_LIFETIME": ["abc", 0, True],
    "MAX_COOKIE_SIZE": ["abc", True],
}


def configured(**settings: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a key for tests", **settings)
    check_flask_settings(app.config)
    return app


@pytest.mark.parametrize("key", CHECKED)
def test_what_flask_cannot_use_is_refused_by_name(key: str) -> None:
    for value in [odd for odd in ODD if odd not in FINE.get(key, [])] + MORE.get(key, []):
        with pytest.raises(ValueError, match=rf"^{key}: .*; for example \S"):
            configured(**{key: value})


@pytest.mark.parametrize("key", CHECKED)
def test_nothing_is_the_default(key: str) -> None:
    default = Flask.default_config.get(key)  # Flask-Login has its own for what is not there
    for nothing in (None, "", " ", default):
        config = configured(**{key: nothing}).config
        assert config.get(key) == default
        assert (key in config) is (key in Flask.default_config)


@pytest.mark.parametrize("value", ["False", "no", "0", 0, False, "", None])
def test_debug_is_off_where_flask_s_own_command_would_have_it_off(value: object) -> None:
    assert not configured(DEBUG=value).debug


@pytest.mark.parametrize("value", ["True", "yes", "1", 1, True])
def test_debug_is_on_where_flask_s_own_command_would_have_it_on(value: object) -> None:
    assert configured(DEBUG=value).debug is True


def test_a_text_that_flask_login_would_take_for_true_is_false() -> None:
    config = configured(REMEMBER_COOKIE_SECURE="False", REMEMBER_COOKIE_SAMESITE=" strict ").config
    assert config["REMEMBER_COOKIE_SECURE"] is False
    assert config["REMEMBER_COOKIE_SAMESITE"] == "strict"


@pytest.mark.parametrize("name", ["localhost:5000", "shop.test.", "b\u00fccher.test", "[::1]:80"])
def test_a_host_with_or_without_a_port_may_be_the_servers_name(name: str) -> None:
    assert configured(SERVER_NAME=name).config["SERVER_NAME"] == name


def test_what_is_obeyed_is_obeyed_by_a_session_and_its_urls() -> None:
    app = configured(
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_HTTPONLY="False",  # as the environment has it
        SESSION_COOKIE_SECURE="true",
        SESSION_COOKIE_SAMESITE="strict",
        SESSION_COOKIE_DOMAIN="shop.test",
        PERMANENT_SESSION_LIFETIME="60",
        APPLICATION_ROOT="/shop",
        PREFERRED_URL_SCHEME="https",
        SERVER_NAME="shop.test:8443",
    )

    @app.get("/login")
    def login() -> str:
        session["user"] = "someone"
        return ""

    cookie = (
        app.test_client().get("/login", base_url="https://shop.test:8443").headers["Set-Cookie"]
    )
    assert cookie.startswith("sid=")
    assert cookie.endswith("; Domain=shop.test; Secure; Path=/shop; SameSite=Strict")
    assert app.permanent_session_lifetime == timedelta(minutes=1)
    with app.app_context():
        assert url_for("login") == "https://shop.test:8443/shop/login"


def test_a_lifetime_may_be_a_timedelta() -> None:
    app = configured(PERMANENT_SESSION_LIFETIME=timedelta(days=3))
    assert app.permanent_session_lifetime == timedelta(days=3)
