"""GET / in development, in a browser on this machine: what is here, and where to change it.

Key         Default  Meaning (unit)
----------  -------  ----------------------------------------------------------------------------
FIRST_PAGE  False    show the page; True in DevelopmentConfig, and refused where PRODUCTION is set

Whoever else asks for / gets the 404 that there would be without this file: a program, another
machine, another name in Host, whoever comes through a proxy or a tunnel. A route of your own for /
comes before it. To do without, delete this file, templates/first_page.html,
tests/test_first_page.py and the line in create_app().
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from flask import Flask, Response, current_app, request

import app.middleware as owners_files
from app.checks.command import believed, route_rows
from app.checks.finding import findings
from app.checks.service import Service, is_local
from app.errors import prefers_html
from app.middleware.engine.networks import Networks
from app.middleware.engine.settings import read_boolean, refuse

FIRST_KEY = re.compile(r"(?m)^(?!\w+_ENABLED )[A-Z][A-Z_]+(?=  )")  # of a docstring's table
SECRET = re.compile("auth|cookie|key|secret|token", re.I)  # in a header's name
LOOPBACK = Networks([ip_network("127.0.0.0/8"), ip_network("::1")])
FORWARDED = ("HTTP_X_FORWARDED_", "HTTP_FORWARDED")


def configure_first_page(app: Flask) -> None:
    """Show the page where FIRST_PAGE is set, before anybody is asked for a key.

    :raises ValueError: if FIRST_PAGE is not true or false, or true in production.
    """
    if not read_boolean(app.config, "FIRST_PAGE", False):
        return
    if read_boolean(app.config, "PRODUCTION", False):
        refuse("FIRST_PAGE", True, "tells too much in production", "FLASK_FIRST_PAGE=false")
    # not Jinja's own marks: cookiecutter would take them for its own
    marks = app.jinja_env.overlay("[%", "%]", "[[", "]]", "[#", "#]")
    template = marks.get_template("first_page.html")

    @app.before_request
    def first_page() -> Response | None:
        if not is_asked_for():
            return None
        response = Response(template.render(facts(current_app)))
        response.vary.add("Accept")
        return response


def is_asked_for() -> bool:
    """Whether a browser of this very machine asks for / and the service has nothing there."""
    is_missing = request.path == "/" and request.url_rule is None
    if not is_missing or request.method not in ("GET", "HEAD") or not prefers_html():
        return False
    host = request.host.rpartition(":")[0] or request.host
    is_here = is_local(host.strip("[]")) and LOOPBACK.has(request.remote_addr)
    # A tunnel ends on this machine, may write its name into Host, and has its visitors elsewhere.
    return is_here and not any(key.startswith(FORWARDED) for key in request.environ)


def facts(app: Flask) -> dict[str, Any]:
    """What the template shows."""
    service = Service(app)
    columns, *routes = route_rows(service)
    return {
        "columns": columns,
        "routes": routes,
        "origins": service.cors.origins if service.cors else [],
        "middlewares": list(middlewares(service)),
        "believed": believed(service),
        "request": request,
        "headers": [(name, shown(name, value)) for name, value in request.headers],
        "request_id": request.environ.get("request_id"),
        "findings": findings(service),
    }


def middlewares(service: Service) -> Iterator[tuple[str, str, str, bool]]:
    """Each file's name, its promise, its first key, and whether it does anything as configured."""
    for module in pkgutil.iter_modules(owners_files.__path__):
        if not module.ispkg:
            text = importlib.import_module(f"app.middleware.{module.name}").__doc__ or ""
            key = FIRST_KEY.search(text)
            is_on = module.name in service.configured
            yield module.name, text.partition("\n")[0], key[0] if key else "", is_on


def shown(name: str, value: str) -> str:
    return "(not shown)" if SECRET.search(name) else value
