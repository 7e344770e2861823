"""How a path stands in a message of the log: hidden where paths hold secrets (LOG_PATH "rule")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, request

IS_HIDDEN = "path_is_hidden"  # in the environ


def shown_path(environ: Mapping[str, Any]) -> str:
    """What a client asked for, so that it can neither split a line nor fill one."""
    return "(hidden)" if IS_HIDDEN in environ else ascii(environ.get("PATH_INFO", ""))[:80]


def hide_paths(app: Flask) -> None:
    """Let Flask's record of an exception name the route and not the path."""

    def log_exception(*given: Any) -> None:  # of Flask 3.2 too, which gives the context first
        rule = getattr(request.url_rule, "rule", "(no route)")
        app.logger.error("Exception on %s [%s]", rule, request.method, exc_info=given[-1])

    app.log_exception = log_exception  # type: ignore[assignment, method-assign]
