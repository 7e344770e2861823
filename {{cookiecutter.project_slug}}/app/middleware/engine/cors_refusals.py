"""Why a page may not read a response, or not send its request: for the log and for a person.

Standards: the Fetch standard (CORS-preflight fetch: what a browser compares).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from .origins import is_own_origin
from .seen import MOST, Seen
from .settings import did_you_mean
from .shown_paths import shown, shown_path

SAFELISTED_METHODS = {"GET", "HEAD", "POST"}  # never need permission
MESSAGE = "A browser keeps a response from a page of %s, which asked for %s %s: %s"


class Refusals:
    """Says each reason once for each origin; a request that asks again costs a look-up."""

    def __init__(
        self,
        origins: list[str],
        paths: Iterable[str],
        methods: Iterable[str],
        headers: Iterable[str],
        logger: logging.Logger,
    ) -> None:
        self.origins = origins
        self.paths = ", ".join(paths)
        self.methods = SAFELISTED_METHODS | {method.upper() for method in methods}
        self.headers = {name.lower() for name in headers}
        self.logger = logger
        self.nearest: dict[str, str] = {}
        self.seen = Seen()

    def of_preflight(self, environ: Mapping[str, Any]) -> str | None:
        """The reason why an allowed page may not send what it asks for; None if it may."""
        method = environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"]
        if method not in self.methods:
            return self.say(environ, f"CORS_METHODS does not have {shown(method)}")
        asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "").lower().split(",")
        missing = {name.strip() for name in asked} - self.headers - {""}
        if not missing:
            return None
        names = shown(", ".join(sorted(missing)))
        problem = f"CORS_ALLOW_HEADERS does not have {names}: add it to CORS_EXTRA_ALLOW_HEADERS"
        return self.say(environ, problem)

    def of_response(self, environ: Mapping[str, Any], is_allowed: bool) -> str | None:
        """:param is_allowed: the page's origin is allowed, but its path is not below CORS_PATH."""
        origin = environ["HTTP_ORIGIN"]
        if is_own_origin(origin, environ):
            return None
        if is_allowed:
            problem = f"CORS_PATH ({self.paths}) does not cover {shown_path(environ)}"
            return self.say(environ, problem)
        return self.say(environ, f"CORS_ORIGINS does not have {shown(origin)}{self.near(origin)}")

    def near(self, origin: str) -> str:
        """Sought for so many origins only: the search is dear where many are configured."""
        if origin not in self.nearest and len(self.nearest) < MOST and len(origin) < 100:
            self.nearest[origin] = did_you_mean(origin, self.origins, likeness=0.5)
        return self.nearest.get(origin, "")

    def say(self, environ: Mapping[str, Any], reason: str) -> str:
        origin = shown(environ["HTTP_ORIGIN"])
        if self.seen.is_new(f"{origin} {reason.partition(' ')[0]}"):
            method = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", environ["REQUEST_METHOD"])
            path = shown_path(environ)
            self.logger.warning(MESSAGE, origin, shown(method), path, reason)
        return reason
