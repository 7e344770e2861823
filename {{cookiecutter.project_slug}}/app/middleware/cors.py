"""Lets the pages of chosen origins, and of no other, read every response below a path, errors too.

Needs:  pip install "flask>=3.1,<4" "flask-cors>=6.0.5,<7"
Copy:   engine/ (pipeline, exchange, settings, clients, origins, paths, header_lists,
        cors_refusals, seen, shown_paths)
Add:    configure_cors(app)

Key                        Default               Meaning (unit)
-------------------------  --------------------  ----------------------------------------------
CORS_ORIGINS               []                    who may read: a list, or text with commas, of
                                                 https://app.example.com or, for one label,
                                                 https://*.example.com
CORS_PATH                  "/api/"               where: a path and all below it, or a list of
                                                 such paths; "/" is everywhere
CORS_METHODS               GET POST PUT PATCH    what a page may ask for (a list, or text with
                           DELETE OPTIONS        commas, like the next four)
CORS_ALLOW_HEADERS         ALLOW_HEADERS         request headers that a page may set
CORS_EXPOSE_HEADERS        EXPOSE_HEADERS        response headers that a page may read
CORS_EXTRA_ALLOW_HEADERS   []                    more of them, beside the default ones
CORS_EXTRA_EXPOSE_HEADERS  []                    more of them, beside the default ones
CORS_MAX_AGE               600                   how long a browser keeps a preflight (seconds)
CORS_SUPPORTS_CREDENTIALS  true                  cookies and HTTP authentication may be used
CORS_DEBUG                 false                 a refused page is told why, in the response header
                                                 CORS-Refused (the log says it once in any case)

Standards: the Fetch standard (CORS protocol), RFC 9110 12.5.5 (Vary), OWASP HTML5 Security cheat
sheet (Cross Origin Resource Sharing).
Version: 2.0.0

A preflight from an allowed origin gets its response before Flask is entered. One from another
origin goes on to the view, which may have rules of its own (flask_cors.cross_origin; with
authentication.py in use, a @public view only; cookies only if it says supports_credentials=True); a
view that sets Access-Control-Allow-Origin itself keeps its headers. CORS guards readers, not the
service: whoever is not a browser may ask anything, so it replaces neither authentication nor CSRF
protection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask_cors.core import CONFIG_OPTIONS, get_cors_headers, get_cors_options
from werkzeug.datastructures import Headers

from .engine.clients import is_preflight
from .engine.cors_refusals import Refusals
from .engine.header_lists import Headers as HeaderList
from .engine.header_lists import has_header, vary_by
from .engine.origins import Origins, as_pattern, read_origins
from .engine.paths import Paths, as_in_environ, read_paths
from .engine.pipeline import pipeline_of
from .engine.settings import Config, read_boolean, read_list, read_whole_number, refuse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ALLOW_HEADERS = [
    "Content-Type",
    "Authorization",
    "X-API-Key",
    "X-Request-ID",
    "X-CSRF-Token",
    "X-CSRFToken",
    "If-Match",
    "If-None-Match",
    "traceparent",
    "tracestate",
    "baggage",
]
EXPOSE_HEADERS = [
    "X-Request-ID",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Location",
    "ETag",
    "Content-Disposition",
    "Link",
]
ALLOW_ORIGIN = "Access-Control-Allow-Origin"


def configure_cors(app: Flask) -> None:
    """Register with the pipeline; the keys are read here and never again.

    :raises ValueError: naming the key, its value and what to write instead.
    """
    origins = read_origins(app.config, "CORS_ORIGINS")
    paths = read_paths(app.config, "CORS_PATH", ["/api/"])
    settings: dict[str, Any] = {
        # flask_cors.cross_origin reads these too: it must not meet text that it takes for a regex
        "CORS_ORIGINS": [as_pattern(origin) for origin in origins],
        "CORS_METHODS": read_names(app.config, "CORS_METHODS", METHODS),
        "CORS_ALLOW_HEADERS": read_names(app.config, "CORS_ALLOW_HEADERS", ALLOW_HEADERS)
        + read_names(app.config, "CORS_EXTRA_ALLOW_HEADERS", []),
        "CORS_EXPOSE_HEADERS": read_names(app.config, "CORS_EXPOSE_HEADERS", EXPOSE_HEADERS)
        + read_names(app.config, "CORS_EXTRA_EXPOSE_HEADERS", []),
        "CORS_MAX_AGE": str(read_whole_number(app.config, "CORS_MAX_AGE", 600, least=0)),
        "CORS_SUPPORTS_CREDENTIALS": read_boolean(app.config, "CORS_SUPPORTS_CREDENTIALS", True),
    }
    for key in CONFIG_OPTIONS:
        if key not in settings and app.config.get(key) is not None:
            refuse(key, app.config[key], "is not used here, remove it", "CORS_PATH=/api/")
    app.config.update(settings, CORS_PATH=paths)

    logger = logging.getLogger(app.name)  # app.logger would add a handler
    allowed = settings["CORS_METHODS"], settings["CORS_ALLOW_HEADERS"]
    cors = Cors(
        origins,
        Paths(paths),
        Origins(origins),
        settings["CORS_SUPPORTS_CREDENTIALS"],
        of_preflights=constant_headers(app, "OPTIONS"),
        of_responses=constant_headers(app, "GET"),
        refusals=Refusals(origins, paths, *allowed, logger),
        is_debugged=read_boolean(app.config, "CORS_DEBUG", False),
    )
    app.extensions["cors"] = cors
    app.config["CORS_SUPPORTS_CREDENTIALS"] = False  # for cross_origin(origins="*") of a view
    pipeline = pipeline_of(app)
    pipeline.on_begin(cors.note_origin)
    pipeline.on_respond(cors.respond_to_preflight)
    pipeline.on_headers(cors.add_headers)


@dataclass(frozen=True)
class Cors:
    """What is allowed, and the headers that say so. In the environ, "cors" is the origin of the
    page that may read this response, "" if there is none, None if no page may read any; it is
    absent outside CORS_PATH.
    """

    origins: list[str]  # as text, for `flask check`
    paths: Paths
    allowed: Origins
    with_credentials: bool
    of_preflights: HeaderList
    of_responses: HeaderList
    refusals: Refusals
    is_debugged: bool

    def covers(self, path: str) -> bool:
        """Whether some page may read the responses at this path."""
        return bool(self.origins) and self.paths.cover(as_in_environ(path))

    def note_origin(self, environ: WSGIEnvironment) -> None:
        """Before Flask: what is mounted inside, by DispatcherMiddleware say, changes the path."""
        if self.paths.cover(environ.get("PATH_INFO", "")):
            origin = environ.get("HTTP_ORIGIN", "")
            if origin and not self.allowed.allow(origin):
                origin = ""
            environ["cors"] = origin if self.origins else None

    def respond_to_preflight(
        self, environ: WSGIEnvironment
    ) -> tuple[str, HeaderList, Iterable[bytes]] | None:
        origin = environ.get("cors")
        if not origin or not is_preflight(environ):
            return None
        headers = [(ALLOW_ORIGIN, origin), *self.of_preflights]
        self.explain(environ, self.refusals.of_preflight(environ), headers)
        return "204 No Content", headers, ()

    def add_headers(self, environ: WSGIEnvironment, status: str, headers: HeaderList) -> None:
        """To whatever responds: a view, a hook, an error or what stands around Flask."""
        origin, is_covered = environ.get("cors"), "cors" in environ
        if is_covered:
            vary_by(headers, "Origin")
        if "HTTP_ORIGIN" not in environ or has_header(headers, ALLOW_ORIGIN.lower()):
            return
        if origin:
            headers.append((ALLOW_ORIGIN, origin))
            headers += self.of_responses
        elif self.allowed.allow(environ["HTTP_ORIGIN"]) != is_covered:
            reason = self.refusals.of_response(environ, not is_covered)
            self.explain(environ, reason, headers)

    def explain(self, environ: WSGIEnvironment, reason: str | None, headers: HeaderList) -> None:
        if reason is None:
            return
        environ["cors.refused"] = reason
        if self.is_debugged:
            headers.append(("CORS-Refused", reason))


def constant_headers(app: Flask, method: str) -> HeaderList:
    """What flask-cors tells any allowed origin: in a response (GET), in a preflight's (OPTIONS)."""
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "".join(app.config["CORS_METHODS"][:1]),
        "Access-Control-Request-Headers": ",".join(app.config["CORS_ALLOW_HEADERS"]),
    }
    options = get_cors_options(app, {"origins": asked["Origin"]})
    told = get_cors_headers(options, Headers(asked), method)
    return [(name, str(told[name])) for name in told if name != ALLOW_ORIGIN]


def read_names(config: Config, key: str, default: list[str]) -> list[str]:
    example = (default or ["X-Request-ID"])[0]
    names = read_list(config, key, default, example)
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            refuse(key, name, "is not a name", example)
    return names
