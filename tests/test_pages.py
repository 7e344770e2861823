"""docs/pages.md: its files, put into the service, do what the page says."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.servers import SERVICE, TEMPLATE, gunicorn
from tests.tls import Certificate, certificate

for package in ("flask_login", "flask_sqlalchemy"):
    pytest.importorskip(package, reason="pip install -e '.[dev]'")

DOC = (TEMPLATE / "docs" / "pages.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(app/\S+)`:\n\n```\w+\n(.*?)^```$", DOC, re.M | re.S))
PASSWORD = "a long password"
ADD_USER = f"""
from app import create_app
from app.pages import add_user
with create_app("testing").app_context():
    add_user("ann", {PASSWORD!r})
"""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service with the files of the page, the line in create_app() and one user."""
    folder = tmp_path_factory.mktemp("pages") / "service"
    shutil.copytree(SERVICE, folder, ignore=shutil.ignore_patterns("__pycache__", "instance"))
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    factory = folder / "app" / "__init__.py"
    text = factory.read_text(encoding="utf-8")
    for before, after in (
        ("from app.tokens import", "from app.pages import configure_pages\nfrom app.tokens import"),
        (
            "    register_blueprints(app)\n",
            "    register_blueprints(app)\n    configure_pages(app)\n",
        ),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    factory.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-c", ADD_USER], cwd=folder, check=True, capture_output=True)
    return folder


class Browser:
    """As much of one as logging in needs: cookies, and the headers that browsers send."""

    def __init__(self, origin: str, connection: http.client.HTTPConnection) -> None:
        self.origin, self.connection = origin, connection
        self.is_secure = origin.startswith("https")
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, site: str = "same-origin", **form: str
    ) -> tuple[int, str]:
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if method == "POST":
            origin = self.origin if site == "same-origin" else "https://evil.example"
            headers |= {**FORM, "Origin": origin}
        if self.is_secure:  # elsewhere browsers do not send it
            headers["Sec-Fetch-Site"] = site
        headers["Host"] = self.origin.partition("://")[2]
        self.connection.request(method, path, urlencode(form) if form else None, headers)
        response = self.connection.getresponse()
        body = response.read().decode()
        for line in response.headers.get_all("Set-Cookie", []):
            self.keep(line)
        return response.status, body

    def keep(self, line: str) -> None:
        """As a browser keeps it: a Secure cookie over https only, a prefix as it is meant."""
        for name, morsel in SimpleCookie(line).items():
            if morsel["secure"] and not self.is_secure:
                continue
            if name.startswith("__Host-") and not (morsel["secure"] and morsel["path"] == "/"):
                continue
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop(name, None)
                continue
            assert morsel["httponly"], name
            assert morsel["samesite"] == "Lax", name
            self.cookies[name] = morsel.value


@contextlib.contextmanager
def development(folder: Path) -> Iterator[Browser]:
    """make run, on another machine of the network."""
    env = {"APP_CONFIG": "development"}
    with gunicorn(folder, env=env) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        with contextlib.closing(connection):
            yield Browser(f"http://printer.lan:{server.port}", connection)


@contextlib.contextmanager
def production(folder: Path, made: Certificate) -> Iterator[Browser]:
    with gunicorn(folder, "--worker-class=gthread", *made.gunicorn_options) as server:
        context = ssl.create_default_context(cafile=str(made.ca))
        connection = http.client.HTTPSConnection(
            "localhost", server.port, context=context, timeout=20
        )
        with contextlib.closing(connection):
            yield Browser(f"https://localhost:{server.port}", connection)


@pytest.fixture(scope="module", params=["development", "production"])
def browser(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    if request.param == "development":
        with development(folder) as one:
            yield one
    else:
        with production(folder, certificate(tmp_path_factory.mktemp("tls"))) as one:
            yield one


def test_a_visitor_logs_in_writes_and_logs_out(browser: Browser) -> None:
    assert browser.ask("GET", "/notes")[0] == 302  # to the login
    status, page = browser.ask("GET", "/login")
    assert (status, "<form" in page) == (200, True)
    assert browser.ask("POST", "/login", name="ann", password="wrong")[0] == 403
    assert browser.ask("POST", "/login", name="ann", password=PASSWORD)[0] == 302
    assert browser.ask("POST", "/notes", text="<b>tea</b>")[0] == 302
    status, page = browser.ask("GET", "/notes")
    assert (status, "&lt;b&gt;tea&lt;/b&gt;" in page) == (200, True)
    assert browser.ask("POST", "/logout")[0] == 302
    assert browser.ask("GET", "/notes")[0] == 302


def test_who_wants_to_stay_logged_in_does_so_by_a_safe_cookie(browser: Browser) -> None:
    form = {"name": "ann", "password": PASSWORD, "remember": "on"}
    assert browser.ask("POST", "/login", **form)[0] == 302
    browser.cookies = {k: v for k, v in browser.cookies.items() if k == "remember_token"}
    assert browser.cookies  # Browser.keep() has looked at its attributes
    assert browser.ask("GET", "/notes")[0] == 200
    assert browser.ask("POST", "/logout")[0] == 302


def test_another_sites_page_cannot_act_as_the_visitor(browser: Browser) -> None:
    assert browser.ask("POST", "/login", name="ann", password=PASSWORD)[0] == 302
    assert browser.ask("POST", "/notes", site="cross-site", text="forged")[0] == 403
    assert "forged" not in browser.ask("GET", "/notes")[1]
    assert browser.ask("POST", "/logout")[0] == 302
