"""All packages of docs/extensions.md in one service, behind gunicorn and TLS, and in Chromium."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium
from tests.company import PACKAGES
from tests.extensions import ALLOWED, check, environment, promises
from tests.servers import SERVICE, TEMPLATE, Server, free_port, gunicorn, until
from tests.tls import certificate

pytestmark = pytest.mark.real

# The CDN that two of the packages load their page from is this server, too, by another name.
WSGI = """
import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ["TEMPLATE"])  # the service has a package `tests` as well

import flasgger
from flask import send_from_directory

from tests.company import PACKAGES
from tests.extensions import company

FILES = Path(flasgger.__file__).parent / "ui3" / "static"
service, names = company(PACKAGES)


def app(environ, start_response):
    if not environ["HTTP_HOST"].startswith("cdn."):
        return service(environ, start_response)
    file = FILES / environ["PATH_INFO"].rpartition("/")[2]
    kind = "text/css" if file.suffix == ".css" else "text/javascript"
    start_response("200 OK", [("Content-Type", kind)])
    return [file.read_bytes()]
"""
UIS = {
    "flask-smorest": ("/spec/ui", "/pets/"),
    "Flask-RESTX": ("/doc/", "default"),  # a list that opens when it is clicked
    "flasgger": ("/apidocs/", "/documented"),
    "APIFlask": ("/docs", "/checked"),
}
PATHS = {
    "/form": 200,
    "/me": 401,
    "/basket": 200,
    "/rows": 200,
    "/rows/broken": 500,
    "/cached": 200,
    "/cached/page": 200,
    "/big": 200,
    "/translated": 200,
    "/pets/missing": 404,
    "/restx/pets": 409,
    "/documented": 200,
    "/checked/missing": 404,
    "/socket.io/?EIO=4&transport=polling": 200,
    "/broken": 500,
    "/metrics": 200,
    "/api/ping": 200,
    "/nothing": 404,
}
ECHO = """
    const [path, sent, done] = arguments;
    const socket = new WebSocket(location.origin.replace("https", "wss") + path);
    socket.onopen = () => sent && socket.send(sent);
    socket.onmessage = (message) => { done(message.data); socket.close(); };
    socket.onerror = () => done("an error");
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("company")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    for package in PACKAGES.values():
        for module in package.modules:
            pytest.importorskip(module, reason="pip install -e '.[dev,company]'")
    (folder / "company_wsgi.py").write_text(WSGI, encoding="utf-8")
    port = free_port()
    own = [f"https://localhost:{port}", ALLOWED]
    env = environment(PACKAGES, folder / "requests.log", CORS_ORIGINS=own)
    env |= {"PYTHONPATH": str(folder), "TEMPLATE": str(TEMPLATE)}
    options = ["--config", str(SERVICE / "gunicorn.conf.py"), "--threads=16"]
    options += ["--workers=1", "--worker-class=gthread", f"--bind=127.0.0.1:{port}"]
    options += certificate(folder).gunicorn_options
    with gunicorn(folder, *options, target="company_wsgi:app", env=env) as server:
        server.port = port
        yield server


def test_all_together_every_response_keeps_every_promise(server: Server, folder: Path) -> None:
    log = promises.Log(folder / "requests.log")
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=20)
    with contextlib.closing(connection):
        for path, status in PATHS.items():
            log.new()
            connection.request("GET", path, headers={"Origin": ALLOWED})
            response = connection.getresponse()
            body = response.read()
            assert response.status == status, (path, body[:300])
            check(response.getheaders(), ALLOWED)
            (line,) = lines_of(log)
            assert line["request_id"] == response.headers["X-Request-ID"]
            assert (line["status"], line["path"]) == (status, path.partition("?")[0])
            assert line["bytes"] == len(body)
            if status == 404:
                assert json.loads(body)["status" if path != "/checked/missing" else "message"]


def lines_of(log: Any) -> list[dict[str, Any]]:
    """They come when the body is closed, which may be after the client has it."""
    lines: list[dict[str, Any]] = []

    def look() -> bool:
        lines.extend(log.new())
        return bool(lines)

    until(look, 5)
    return lines


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    names = ("cdn.jsdelivr.net", "apiflask.com")
    rules = ", ".join(f"MAP {name}:443 localhost:{server.port}" for name in names)
    switches = [
        "--ignore-certificate-errors",  # of names that the certificate does not have
        f"--host-resolver-rules={rules}",
    ]
    with chromium(tmp_path_factory.mktemp("profile"), *switches) as browser:
        yield browser


@pytest.mark.parametrize("package", UIS)
def test_a_swagger_ui_is_shown_and_nothing_of_it_is_blocked(
    server: Server, browser: Any, package: str
) -> None:
    path, documented = UIS[package]
    browser.get(f"https://localhost:{server.port}{path}")
    until(lambda: shown(browser, documented).is_displayed(), 20)
    said = [entry["message"] for entry in browser.get_log("browser")]
    blocked = [message for message in said if "Content Security Policy" in message]
    fonts = [message for message in blocked if "https://fonts.googleapis.com" in message]
    assert blocked == (fonts if package == "flasgger" else [])  # as its row says


def shown(browser: Any, text: str) -> Any:
    """An operation, or the headline of several; Swagger UI writes paths with invisible breaks."""
    elements = browser.find_elements("css selector", ".opblock-summary-path, .opblock-tag")
    return next(one for one in elements if text in one.text.replace("\u200b", ""))


def test_a_form_is_sent_and_sockets_open_from_a_page_of_the_service(
    server: Server, browser: Any
) -> None:
    browser.get(f"https://localhost:{server.port}/form")
    browser.find_element("name", "text").send_keys("tea")
    browser.find_element("css selector", "button").click()
    until(lambda: browser.current_url.endswith("/api/ping?tea"), 20)
    browser.get(f"https://localhost:{server.port}/form")
    assert browser.execute_async_script(ECHO, "/echo", "tea") == "tea"
