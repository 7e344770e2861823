"""docs/coming-from.md: every line of it is tried, and every option of the packages has a line."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask, Response, session

from tests.middlewares import load_package
from tests.servers import SERVICE, TEMPLATE

PAGE = TEMPLATE / "docs" / "coming-from.md"
ORIGIN = "https://app.example.com"
HELMET = """
    contentSecurityPolicy crossOriginEmbedderPolicy crossOriginOpenerPolicy
    crossOriginResourcePolicy originAgentCluster referrerPolicy strictTransportSecurity
    xContentTypeOptions xDnsPrefetchControl xDownloadOptions xFrameOptions
    xPermittedCrossDomainPolicies xPoweredBy xXssProtection
"""


load_package("coming_from", SERVICE / "app" / "middleware")
cors = importlib.import_module("coming_from.cors")
security = importlib.import_module("coming_from.security")


@dataclass
class Row:
    package: str
    option: str
    here: str
    sent: str


def rows() -> list[Row]:
    found, package = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            package = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "option":
            found.append(Row(package, *cells))
    return found


ROWS = rows()


def code(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def service(row: Row, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """As the middle column says, in the environment of a service in production."""
    app = Flask("coming_from")
    app.config.update(SECRET_KEY="a key for tests", SESSION_COOKIE_SAMESITE="Lax")
    app.config.update(SESSION_COOKIE_NAME="__Host-session", SESSION_COOKIE_SECURE=True)
    names: dict[str, Any] = {"content_security_policy": security.content_security_policy}
    names["cross_origin"] = importlib.import_module("flask_cors").cross_origin

    def page() -> str:
        session["a"] = 1
        return "<p>"

    view = page
    for piece in code(row.here):
        if re.match("[A-Z_]+=", piece):
            key, _, value = piece.partition("=")
            monkeypatch.setenv(f"FLASK_{key}", value)
        elif re.match("[A-Z_]+ = ", piece):
            key, _, value = piece.partition(" = ")
            app.config[key] = eval(value, {"Response": Response})  # the page's own text
        elif piece.startswith("@") and "…" not in piece:
            view = eval(piece.removeprefix("@"), names)(view)
    app.config.from_prefixed_env()
    cors.configure_cors(app)
    security.configure_security_headers(app)
    if row.package == "Flask-Limiter":
        importlib.import_module("coming_from.rate_limiting").configure_rate_limiting(app)
    app.add_url_rule("/page", view_func=view)
    app.add_url_rule("/api/json", view_func=lambda: {"a": 1})
    app.add_url_rule("/api/open", view_func=view, endpoint="open")
    return app


def everything_sent(app: Flask) -> str:
    """Status lines and headers of pages, of JSON and of a preflight, and of a page over http."""
    client = app.test_client()
    asked = {"Origin": ORIGIN}
    preflight = {**asked, "Access-Control-Request-Method": "PUT"}
    preflight["Access-Control-Request-Headers"] = "X-One,Content-Type"
    responses = [
        client.get("/page", base_url="https://localhost"),
        client.get("/page", base_url="https://localhost", headers=asked),
        client.get("/api/json", base_url="https://localhost", headers=asked),
        client.get("/api/open", base_url="https://localhost"),
        client.options("/api/json", base_url="https://localhost", headers=preflight),
        client.get("/page", base_url="http://localhost"),
    ]
    sent = "\n".join(f"{response.status}\n{response.headers}" for response in responses)
    return re.sub(r"(?<='nonce-)[\w-]+|(?<=__Host-session=)[\w.-]+", "...", sent)  # any letters


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.package} {row.option}"[:60])
def test_what_the_page_says_is_sent(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    (wanted,) = code(row.sent)
    if wanted == "ValueError":
        with pytest.raises(ValueError, match=r"^RATELIMIT_"):
            service(row, monkeypatch)
        return
    sent = everything_sent(service(row, monkeypatch))
    if row.sent.startswith("no "):
        assert wanted not in sent
    else:
        assert wanted in sent


def options_of(package: str) -> set[str]:
    if package == "helmet":
        return set(HELMET.split())
    if package == "flask-cors":
        known = importlib.import_module("flask_cors.core").CONFIG_OPTIONS
        return {key.removeprefix("CORS_").lower() for key in known}
    if package == "secure":
        constructor = pytest.importorskip("secure").Secure.__init__
    elif package == "Flask-Limiter":
        constructor = importlib.import_module("flask_limiter").Limiter.__init__
    else:
        constructor = importlib.import_module("flask_talisman").Talisman.init_app
    return {*inspect.signature(constructor).parameters} - {"self", "app"}


@pytest.mark.parametrize("package", [*dict.fromkeys(row.package for row in ROWS)])
def test_every_option_has_a_line(package: str) -> None:
    text = " ".join(row.option for row in ROWS if row.package == package)
    assert {name for name in options_of(package) if not re.search(rf"\b{name}\b", text)} == set()
