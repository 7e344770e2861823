"""Which route a request has matched, still known when Flask has forgotten the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request

NOTED = "noted_request"  # in the environ: Flask's request
NO_ROUTE = "(no route)"


def note_route(app: Flask) -> None:
    """Keep each request until rule_of() is asked. Flask looks for a route once for each request,
    whoever makes its context; a hook would come later, and cost more."""
    create_url_adapter = app.create_url_adapter
    if hasattr(create_url_adapter, "notes_route"):
        return

    def noting(asked: Request | None) -> Any:
        if asked is not None:
            asked.environ[NOTED] = asked
        return create_url_adapter(asked)

    noting.notes_route = True  # type: ignore[attr-defined]
    app.create_url_adapter = noting  # type: ignore[assignment, method-assign]


def rule_of(environ: WSGIEnvironment) -> str:
    """For example /orders/<int:number>; never what a client has written. It is told once: nothing
    is to be kept beyond its request."""
    asked = environ.pop(NOTED, None)
    rule = asked.url_rule if asked is not None else None
    return NO_ROUTE if rule is None else str(rule.rule)


def hide_paths(app: Flask) -> None:
    """Let Flask's record of an exception name the route and not the path."""

    def log_exception(*given: Any) -> None:  # of Flask 3.2 too, which gives the context first
        rule = getattr(request.url_rule, "rule", NO_ROUTE)
        app.logger.error("Exception on %s [%s]", rule, request.method, exc_info=given[-1])

    app.log_exception = log_exception  # type: ignore[assignment, method-assign]
