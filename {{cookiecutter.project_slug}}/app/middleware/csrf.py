"""Refuses what pages of other sites try to change here: 403 for a foreign page's POST, PUT, DELETE.

Needs:  pip install "flask>=3.1,<4"
Copy:   engine/ (pipeline, exchange, settings, origins, paths, seen, marks, shown_paths)
Add:    configure_csrf_protection(app)

Key                   Default  Meaning (unit)
--------------------  -------  -----------------------------------------------------------
CSRF_PROTECTION       true     false: pages of any site may change something
CSRF_TRUSTED_ORIGINS  []       whose pages may, besides the service's own and, where cors.py
                               is in use, those of CORS_ORIGINS: a list, or text with commas,
                               of https://app.example.com or https://*.example.com
CSRF_EXEMPT_PATHS     []       paths, with all below them, that every page may write to: for
                               views that are not yours to decorate

A browser says where a request comes from, in Sec-Fetch-Site, or in Origin where it is older or the
service is on plain http; a program says neither and passes. SameSite=Lax cookies do not stop pages
of sibling subdomains, and CORS does not stop a form: this does. Safe methods pass (GET, HEAD,
OPTIONS), so a GET must not change anything; a WebSocket that a foreign page opens does not pass,
and neither does what it writes to another application inside of this one (Socket.IO).

A view or a blueprint that is meant for other sites' pages (OAuth's form_post, a payment provider
that sends the visitor back with a POST) is opened with the decorator @csrf_exempt.

Standards: W3C Fetch Metadata, OWASP Cross-Site Request Forgery Prevention cheat sheet, ASVS 5.0
3.5.1; the model is CrossOriginProtection of Go's net/http.
Version: 2.0.0
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Blueprint, Flask, current_app, request
from werkzeug.exceptions import Forbidden

from .engine.marks import handler_of, mark
from .engine.origins import Origins, is_own_origin, read_origins
from .engine.paths import Paths, read_paths
from .engine.pipeline import ResponseParts, pipeline_of
from .engine.seen import Seen
from .engine.settings import read_boolean
from .engine.shown_paths import shown, shown_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
REFUSED = (
    "A page of %s tried to change something and was refused (%s %s). If it is one of yours, name "
    "it in CORS_ORIGINS or CSRF_TRUSTED_ORIGINS; if the view is for pages of all sites, decorate "
    "it with @csrf_exempt; if it is the service's own page, a proxy hides the Host that it asked."
)

Target = TypeVar("Target", bound="Callable[..., Any] | Blueprint")


def configure_csrf_protection(app: Flask) -> None:
    """Register with the pipeline: what is refused costs no view, and no limit of the visitor.

    :raises ValueError: naming the key, its value and what to write instead.
    """
    trusted = Origins(read_origins(app.config, "CSRF_TRUSTED_ORIGINS"))
    exempt = Paths(read_paths(app.config, "CSRF_EXEMPT_PATHS"))
    refusals = Refusals(logging.getLogger(app.name))  # app.logger would add a handler

    def is_allowed(origin: str) -> bool:
        cors = app.extensions.get("cors")
        return trusted.allow(origin) or (cors is not None and cors.allowed.allow(origin))

    def respond(environ: WSGIEnvironment) -> ResponseParts | None:
        if environ["REQUEST_METHOD"] in SAFE_METHODS and "HTTP_UPGRADE" not in environ:
            return None
        if not is_foreign(environ) or is_allowed(environ.get("HTTP_ORIGIN", "")):
            return None
        if exempt.cover(environ.get("PATH_INFO", "")):
            return None
        parts: ResponseParts | None = None
        passes = False
        try:
            with app.request_context(environ):  # for the route, and the service's error handlers
                passes = is_exempt()
                if passes:
                    return None
                response = app.make_response(app.handle_user_exception(refusals.refuse(environ)))
                body, status, headers = response.get_wsgi_response(environ)
                parts = status, headers, body
        except Exception:  # a teardown function that misses what a hook would have made
            if parts is None and not passes:
                raise
        return parts

    if read_boolean(app.config, "CSRF_PROTECTION", True):
        pipeline_of(app).on_respond(respond)


def csrf_exempt(target: Target) -> Target:
    """Open a view, a class of views or one of its methods, or a blueprint, to pages of all sites.

    It marks and does not wrap, so that it may stand above or below the route's decorator. Of a
    bound method only what is returned is open.
    """
    return cast(Target, mark(target, "is_csrf_exempt", True))


def is_foreign(environ: WSGIEnvironment) -> bool:
    """Whether a page that is not this service's own has brought the request about."""
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site:  # "none" is the visitor's own doing: a bookmark, the address bar
        return site not in ("same-origin", "none")
    origin: str = environ.get("HTTP_ORIGIN", "")
    return origin != "" and not is_own_origin(origin, environ)


def is_exempt() -> bool:
    """A subclass of an exempt class of views is not exempt itself."""
    view = current_app.view_functions.get(request.endpoint or "")
    cls = getattr(view, "view_class", None)
    marked = [view, handler_of(cls, request.method)]
    marked += [current_app.blueprints.get(name) for name in request.blueprints]
    is_class_exempt = cls is not None and "is_csrf_exempt" in vars(cls)
    return is_class_exempt or any(getattr(one, "is_csrf_exempt", False) for one in marked)


class Refusals:
    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.seen = Seen()

    def refuse(self, environ: WSGIEnvironment) -> Forbidden:
        """The error to respond with; the log names each origin once."""
        named = environ.get("HTTP_ORIGIN")
        origin = shown(named) if named else "another site"
        environ["security_event"] = {"event": "cross_origin_write", "origin": origin}
        if self.seen.is_new(origin):
            self.logger.warning(REFUSED, origin, environ["REQUEST_METHOD"], shown_path(environ))
        return Forbidden(f"A page of {origin} may not change anything here.")
