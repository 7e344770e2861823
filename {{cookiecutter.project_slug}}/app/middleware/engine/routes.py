"""Which route a request has matched, still known when Flask has forgotten the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, request

URL_RULE = "url_rule"  # in the environ: Werkzeug's Rule, or None if no route has matched
NO_ROUTE = "(no route)"


def note_route(app: Flask) -> None:
    """Put the rule into the environ of each request: environ["url_rule"]."""
    app.url_value_preprocessor(_note_rule)  # of Flask's hooks the first one, and the cheapest


def _note_rule(endpoint: str | None, values: dict[str, Any] | None) -> None:
    now = request._get_current_object()  # type: ignore[attr-defined]
    now.environ[URL_RULE] = now.url_rule


def rule_of(environ: Mapping[str, Any]) -> str:
    """For example /orders/<int:number>; never what a client has written."""
    rule = environ.get(URL_RULE)
    return NO_ROUTE if rule is None else str(rule.rule)
