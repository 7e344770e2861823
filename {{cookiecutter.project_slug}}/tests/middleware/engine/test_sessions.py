"""What app/middleware/engine/sessions.py promises."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface

from app.middleware.engine.sessions import check_session_cookie, spare_unused_sessions

USES: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "get": lambda: session.get("a"),
    "in": lambda: "a" in session,
    "len": lambda: len(session),
    "set": lambda: session.__setitem__("a", 1),
    "pop": lambda: session.pop("a", None),
    "clear": lambda: session.clear(),
    "permanent": lambda: setattr(session, "permanent", True),
    "modified": lambda: setattr(session, "modified", True),
}


def service() -> Flask:
    app = Flask(__name__)
    app.secret_key = "a key for tests"
    for name, use in USES.items():

        def view(use: Callable[[], object] = use) -> str:
            use()
            return "used"

        app.add_url_rule(f"/{name}", name, view)
    return app


@pytest.mark.parametrize("cookie", ["none", "foreign"])
def test_sessions_are_as_flasks_own(cookie: str) -> None:
    ours, flasks = service(), service()
    spare_unused_sessions(ours)
    for first, second in itertools.product(USES, repeat=2):
        clients = (ours.test_client(), flasks.test_client())
        for path in (first, second, "get"):
            seen = []
            for client in clients:
                if cookie == "foreign":
                    client.set_cookie("other", "1")
                headers = client.get(f"/{path}").headers
                set_cookie = re.sub(
                    r"\.[^;]*|expires=[^;]*", "", headers.get("Set-Cookie", ""), flags=re.I
                )
                seen.append((set_cookie, headers.get("Vary")))
            assert seen[0] == seen[1], (first, second, path)


def test_without_a_secret_key_a_session_is_refused_as_flask_refuses_it() -> None:
    app = service()
    app.secret_key = None
    spare_unused_sessions(app)
    with pytest.raises(RuntimeError, match="no secret key"), app.test_request_context():
        session["a"] = 1


def test_sessions_of_another_kind_are_left_alone() -> None:
    class Own(SecureCookieSessionInterface):
        pass

    app = service()
    app.session_interface = own = Own()
    spare_unused_sessions(app)
    assert app.session_interface is own


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"SESSION_COOKIE_SECURE": False}, "SESSION_COOKIE_SECURE is true; for example session"),
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, "DOMAIN 'example.com'; for example __Secure-"),
        ({"SESSION_COOKIE_PATH": "/app"}, "with SESSION_COOKIE_PATH '/app'"),
        ({"APPLICATION_ROOT": "/app"}, "with APPLICATION_ROOT '/app'"),
    ],
)
def test_a_session_cookie_that_no_browser_takes_is_refused(
    config: dict[str, Any], says: str
) -> None:
    fine = {"SESSION_COOKIE_NAME": "__Host-session", "SESSION_COOKIE_SECURE": True}
    app = Flask(__name__)
    app.config.update(fine)
    check_session_cookie(app.config)
    app.config.update(config)
    with pytest.raises(ValueError, match=says) as error:
        check_session_cookie(app.config)
    assert str(error.value).startswith("SESSION_COOKIE_NAME: '__Host-session' ")


def test_a_name_without_a_prefix_may_have_any_settings() -> None:
    app = Flask(__name__)
    app.config.update(SESSION_COOKIE_SECURE=False, SESSION_COOKIE_DOMAIN="example.com")
    check_session_cookie(app.config)
