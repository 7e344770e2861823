"""Flask's signed cookie sessions: a cookie that browsers take, no work where there is no session.

Standards: RFC 6265bis 4.1.3 (the prefixes of a cookie's name).
"""

from __future__ import annotations

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from .settings import Config, refuse


def check_session_cookie(config: Config) -> None:
    """A cookie whose name breaks the rules of its prefix is dropped by the browser, silently.

    :raises ValueError: for a session cookie that no browser takes.
    """
    name = config["SESSION_COOKIE_NAME"]
    if not name.startswith(("__Host-", "__Secure-")):
        return
    if not config["SESSION_COOKIE_SECURE"]:
        problem = "is taken by no browser unless SESSION_COOKIE_SECURE is true"
        refuse("SESSION_COOKIE_NAME", name, problem, "session for http")
    path = config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"]
    if name.startswith("__Host-") and (config["SESSION_COOKIE_DOMAIN"] or path != "/"):
        keys = ("SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH", "APPLICATION_ROOT")
        key = next(key for key in keys if config[key] not in (None, "", "/"))
        problem = f"is taken by no browser with {key} {config[key]!r}"
        refuse("SESSION_COOKIE_NAME", name, problem, name.replace("__Host-", "__Secure-"))


def spare_unused_sessions(app: Flask) -> None:
    """Leaves an application alone that has sessions of another kind."""
    if type(app.session_interface) is SecureCookieSessionInterface:
        app.session_interface = SparingSessions()


class SparingSessions(SecureCookieSessionInterface):
    """Sends what Flask sends; Flask prepares the signature on every request, used or not."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key and "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed or session.modified or session:
            super().save_session(app, session, response)
