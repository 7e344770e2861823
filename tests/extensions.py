"""docs/extensions.md as tests read it, and a service in production that has what a row says.

service = made("flasgger")    # create_app("production"), and the package set up (company.py)
service.ask("/apidocs/")      # over https, as an allowed page: checks all promises
"""

from __future__ import annotations

import importlib
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.company import PACKAGES
from tests.of_the_service import load_tests
from tests.servers import SECRET_KEY, SERVICE, TEMPLATE

PAGE = (TEMPLATE / "docs" / "extensions.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([\w-]+) \| (.+?) \| .*\|$", PAGE, re.M))  # package: what to write
ROWS = {package: cell for package, cell in ROWS.items() if package not in ("package", "---")}
CHANGE = re.compile(r"`([^`]+)` (in place of|before) `([^`]+)`")
REMOVAL = re.compile(r"take `([^`]+)` out of `([^`]+)`")
SETTING = re.compile(r"([A-Z_]+)=(.*)", re.S)
OPEN = dict(re.findall(r"^\| ([\w-]+) \| (`public.*`) \|$", PAGE, re.M))  # with API keys
COEP = "Cross-Origin-Embedder-Policy"
OWN = "https://localhost"
SETTINGS = {
    "SECRET_KEY": SECRET_KEY,
    "CORS_PATH": "/",
    "LOG_AT_ONCE": True,
    "LOG_SKIP": [],
    "RATELIMIT_DEFAULT": "100000 per hour",
    "TRUSTED_HOSTS": ["localhost"],
}

promises: Any
(promises,) = load_tests("promises")
ALLOWED: str = promises.ALLOWED


def slug(package: str) -> str:
    return package.lower().replace("-", "_")


def spans_of(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def settings_of(packages: Iterable[str]) -> dict[str, Any]:
    """What their rows say to set; mappings of several rows become one."""
    settings: dict[str, Any] = {}
    for package in packages:
        for span in spans_of(ROWS[package]):
            if found := SETTING.fullmatch(span):
                value = json.loads(found[2])
                settings[found[1]] = {**settings.get(found[1], {}), **value}
    return settings


def code_of(package: str) -> list[str]:
    """What its row says to write after create_app()."""
    elsewhere = re.sub(f"{CHANGE.pattern}|{REMOVAL.pattern}", "", ROWS[package])
    return [span for span in spans_of(elsewhere) if not SETTING.fullmatch(span)]


def create_app(packages: Iterable[str], names: dict[str, Any]) -> Flask:
    """The service's, with the changes that the rows of the packages say."""
    importlib.import_module("app")
    source = (SERVICE / "app" / "__init__.py").read_text(encoding="utf-8")
    for package in packages:
        for new, place, old in CHANGE.findall(ROWS[package]):
            assert source.count(f"    {old}") == 1
            source = source.replace(old, new if place == "in place of" else f"{new}\n    {old}")
    module = {"__name__": "app", **names}
    exec(compile(source, "app/__init__.py", "exec"), module)
    app: Flask = module["create_app"]("production")
    return app


def company(packages: Iterable[str]) -> tuple[Flask, dict[str, Any]]:
    """A service with these packages, and the names that their code has.

    :raises ModuleNotFoundError: if one is not installed.
    """
    names: dict[str, Any] = {}
    for package in packages:
        names |= PACKAGES[package].begin()
    app = create_app(packages, names)
    names |= {"app": app, **vars(importlib.import_module("app.extensions"))}
    for package in packages:
        PACKAGES[package].set_up(app, names)
    for package in packages:
        for line in code_of(package):
            exec(line, names)
    return app, names


class Service:
    """One application, and a page that asks it: with cookies, over https."""

    def __init__(self, packages: Iterable[str], log: Path) -> None:
        self.app, self.names = company(packages)
        self.client = self.app.test_client()
        self.log = promises.Log(log)

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        origin: str = ALLOWED,
        without: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> TestResponse:
        """Whoever responds, every promise holds.

        :param without: headers that the page's row does without.
        """
        asked = {"Origin": origin, "Referer": f"{origin}/", **(headers or {})}
        if origin == OWN:
            asked["Sec-Fetch-Site"] = "same-origin"
        response = self.client.open(
            path, method=method, base_url=OWN, headers=asked, buffered=True, **options
        )
        check(response.headers.to_wsgi_list(), origin, without)
        (line,) = self.log.new()
        assert line["request_id"] == response.headers["X-Request-ID"]
        assert (line["method"], line["path"]) == (method, path)
        assert (line["status"], line["bytes"]) == (response.status_code, len(response.data))
        assert line["outcome"] == "complete"
        return response

    def check_own_errors(self) -> None:
        """Errors that are not the extension's are problem+json, with what they need."""
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("DELETE", "/api/ping", 405),
            ("POST", "/api/orders", 415),
        ):
            response = self.ask(path, method, data=b"<a>", content_type="text/xml")
            problem = json.loads(response.data)
            assert response.mimetype == "application/problem+json"
            assert (response.status_code, problem["status"]) == (status, status)
            assert problem["request_id"] == response.headers["X-Request-ID"]
            assert ("Allow" in response.headers) == (status == 405)


def check(headers: list[tuple[str, str]], origin: str, without: tuple[str, ...] = ()) -> None:
    received = promises.Received(0, headers, b"", False)
    for name, expected in promises.SECURITY_HEADERS.items():
        found = received.all(name)
        assert len(found) == (name not in without), (name, found)
        assert all(re.fullmatch(expected, value) for value in found), (name, found)
    assert not received.all("Server")
    promises.check_cors(received, origin)


def environment(packages: Iterable[str], log: Path, **more: Any) -> dict[str, str]:
    settings = {**SETTINGS, "CORS_ORIGINS": [ALLOWED], "LOG_FILE": str(log)}
    for package in packages:
        settings |= PACKAGES[package].settings
    settings |= settings_of(packages) | more
    return {f"FLASK_{name}": as_text(value) for name, value in settings.items()}


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """made(package, ..., KEY=value): a Service. Where a package is missing the test is skipped."""
    monkeypatch.syspath_prepend(SERVICE)

    def make(*packages: str, **settings: Any) -> Service:
        for package in packages:
            for module in PACKAGES[package].modules:
                pytest.importorskip(module, reason="pip install -e '.[dev,company]'")
        log = Path(tempfile.mkstemp(dir=tmp_path, suffix=".log")[1])
        for name, value in environment(packages, log, **settings).items():
            monkeypatch.setenv(name, value)
        return Service(packages, log)

    return make
