"""Writes of foreign pages, over the wire of four servers and in headless Chromium."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chromium import chromium
from tests.servers import SERVICE, Server, free_port, granian, gunicorn, waitress
from tests.tls import certificate

HOST, OWN = "api.site.test", "http://api.site.test"
ALLOWED, SIBLING, STRANGER = (
    "https://app.allowed.test",
    "https://blog.site.test",
    "https://evil.test",
)
SITES = [None, "same-origin", "none", "same-site", "cross-site", "something-new"]
ORIGINS = [None, OWN, ALLOWED, SIBLING, STRANGER, "null"]
SAFE, WRITES = ["GET", "HEAD", "OPTIONS"], ["POST", "PUT", "PATCH", "DELETE"]
WSGI = """
import os

from flask import request

from app import create_app
from app.extensions import csrf_exempt

app = create_app(os.environ.get("APP_CONFIG", "production"))
written = []


@app.route("/write", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def write():
    written.append(request.args.get("by"))
    return {"done": True}


@app.post("/hook")
@csrf_exempt
def hook():
    return {"done": True}


@app.get("/written")
def tell():
    return written


@app.get("/page")
def page():
    # without the policy of this service's pages: others do not send it
    return "<!doctype html><title>a page</title>", {"Content-Security-Policy": ""}
"""
SERVERS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "gunicorn sync": (gunicorn, ["--workers=1", "--worker-class=sync", "--keep-alive=10"]),
    "gunicorn gthread": (gunicorn, ["--workers=1", "--worker-class=gthread", "--threads=4"]),
    "waitress": (waitress, []),
    "granian": (granian, ["--workers=1"]),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("csrf")
    (folder / "csrf_wsgi.py").write_text(WSGI, encoding="utf-8")
    env = {"PYTHONPATH": str(folder), "FLASK_CORS_ORIGINS": ALLOWED}
    env |= {"FLASK_RATELIMIT_DEFAULT": "1000000 per hour", "FLASK_LOG_FILE": str(folder / "log")}
    start, options = SERVERS[request.param]
    with start(SERVICE, *options, target="csrf_wsgi:app", env=env) as server:
        yield server


def passes(method: str, site: str | None, origin: str | None) -> bool:
    """What a browser says of a page that is neither the service's own nor allowed is refused."""
    if method in SAFE or site in ("same-origin", "none") or origin == ALLOWED:
        return True
    return site is None and origin in (None, OWN)


def test_nothing_is_wrongly_refused_and_nothing_wrongly_passed(server: Server) -> None:
    refused, passed = [], []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        for method, site, origin, cookie in itertools.product(
            SAFE + WRITES, SITES, ORIGINS, [None, "session=x"]
        ):
            named = {"Sec-Fetch-Site": site, "Origin": origin, "Cookie": cookie}
            headers = {name: value for name, value in named.items() if value}
            connection.request(method, "/write", headers={"Host": HOST, **headers})
            response = connection.getresponse()
            body = response.read()
            if response.status == 403:
                assert response.headers["Content-Type"] == "application/problem+json"
                assert method == "HEAD" or json.loads(body)["status"] == 403
            expected = passes(method, site, origin)
            if expected and response.status != 200:
                refused.append((method, named, response.status))
            if not expected and response.status != 403:
                passed.append((method, named, response.status))
    assert (refused, passed) == ([], [])


def test_an_exempt_view_is_open_to_all_pages(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        foreign = {"Host": HOST, "Origin": STRANGER, "Sec-Fetch-Site": "cross-site"}
        connection.request("POST", "/hook", headers=foreign)
        assert connection.getresponse().status == 200


# In a browser: https as a public service has it, where Sec-Fetch-Site is sent, and plain http as
# in a local network, where it is not.

SEND = """
    const [target, by, done] = arguments;
    const options = {method: "POST", mode: "no-cors", credentials: "include", body: "x"};
    fetch(target + "/write?by=fetch-" + by, options).catch(() => 0).finally(() => {
        const form = document.createElement("form");
        form.method = "post";
        form.action = target + "/write?by=form-" + by;
        document.body.append(form);
        form.submit();
        done();
    });
"""


@pytest.fixture(scope="module", params=["https", "http"])
def public(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("public")
    (folder / "csrf_wsgi.py").write_text(WSGI, encoding="utf-8")
    port = free_port()
    origin = f"{request.param}://app.allowed.test:{port}"
    env = {"PYTHONPATH": str(folder), "FLASK_CORS_ORIGINS": origin}
    options = ["--workers=1", "--threads=16", f"--bind=127.0.0.1:{port}"]  # it connects ahead
    if request.param == "https":
        options += ["--worker-class=gthread", *certificate(folder).gunicorn_options]
    else:
        env["APP_CONFIG"] = "development"  # production wants origins on https
    with gunicorn(SERVICE, *options, target="csrf_wsgi:app", env=env):
        yield request.param, port


@pytest.fixture(scope="module")
def browser(public: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A new one for each scheme: it remembers Strict-Transport-Security."""
    switches = [
        "--ignore-certificate-errors",  # of names that the certificate does not have
        "--host-resolver-rules=MAP *.test 127.0.0.1",
    ]
    with chromium(tmp_path_factory.mktemp("profile"), *switches) as browser:
        yield browser


PAGES = {
    "api.site.test": True,
    "app.allowed.test": True,
    "blog.site.test": False,
    "evil.test": False,
}


@pytest.mark.parametrize(("host", "may_write"), PAGES.items())
def test_in_a_browser_only_the_own_and_an_allowed_page_change_something(
    public: tuple[str, int], browser: Any, host: str, may_write: bool
) -> None:
    scheme, port = public
    target = f"{scheme}://api.site.test:{port}"
    browser.get(f"{scheme}://{host}:{port}/page")
    browser.execute_async_script(SEND, target, host)
    browser.get(target + "/written")
    written = json.loads(browser.find_element("tag name", "pre").text)
    found = sorted(by for by in written if by.endswith(host))
    expected = [f"fetch-{host}", f"form-{host}"] if may_write else []
    assert found == expected
