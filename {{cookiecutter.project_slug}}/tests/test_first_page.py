"""The page at / in development: for a browser on this machine, and for nobody else."""

from __future__ import annotations

import html
from typing import Any

import pytest
from flask import Flask
from jinja2 import DictLoader
from werkzeug.test import TestResponse

from app.errors import configure_errors
from app.first_page import configure_first_page

TEMPLATE = """<html><table>  the service's own is its owner's
[% for route in routes %]<tr>[% for cell in route %]<td>[[ cell ]]</td>[% endfor %]</tr>[% endfor %]
[% for name, value in headers %]<tr><td>[[ name ]]</td><td>[[ value ]]</td></tr>[% endfor %]
<tr><td>[[ request.remote_addr ]]</td></tr>
"""
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def app() -> Flask:
    """With two routes of its own."""
    app = service(FIRST_PAGE=True)
    app.add_url_rule("/tea", "tea", lambda: "tea")
    app.add_url_rule("/tea/<int:number>", "one_tea", lambda number: "one", methods=["POST"])
    return app


def service(**config: Any) -> Flask:
    """With a template that shows what matters here, and not with the service's page for errors."""
    app = Flask(__name__)
    app.jinja_loader = DictLoader({"first_page.html": TEMPLATE})
    app.config.from_mapping(config)
    configure_first_page(app)
    configure_errors(app)
    return app


def ask(app: Flask, **options: Any) -> TestResponse:
    return app.test_client().get("/", **{"headers": BROWSER, **options})


def text_of(response: TestResponse) -> str:
    assert (response.status_code, response.mimetype) == (200, "text/html")
    return html.unescape(response.text)


def test_it_shows_every_route_and_what_stands_before_it(app: Flask) -> None:
    page = text_of(ask(app))
    for rule in app.url_map.iter_rules():
        assert f"<td>{rule.rule}</td>" in page


def test_it_shows_the_request_as_the_service_saw_it_but_no_secret(app: Flask) -> None:
    secrets = {"Authorization": "Bearer hush", "X-API-Key": "hush", "X-CSRFToken": "hush"}
    client = app.test_client()
    client.set_cookie("session", "hush")
    page = text_of(client.get("/", headers={**BROWSER, **secrets, "X-Tea": "green"}))
    assert "<td>green</td>" in page and "<td>127.0.0.1</td>" in page
    assert "hush" not in page and page.count("(not shown)") == 4


def test_what_a_client_sends_is_text_on_it(app: Flask) -> None:
    response = ask(app, headers={**BROWSER, "X-Tea": "<script>alert(1)</script>"})
    assert "<script" not in response.text and "&lt;script&gt;" in response.text


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {}},
        {"headers": {"Accept": "*/*"}},
        {"headers": {"Accept": "application/json"}},
        {"headers": {**BROWSER, "Host": "rebound.example.com"}},
        {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}},
        {"environ_base": {"REMOTE_ADDR": ""}},
        {"headers": {**BROWSER, "X-Forwarded-For": "192.0.2.7"}},
        {"headers": {**BROWSER, "X-Forwarded-Host": "tunnel.example.com"}},
        {"headers": {**BROWSER, "Forwarded": "for=192.0.2.7"}},
    ],
    ids=str,
)
def test_nobody_but_a_browser_on_this_machine_sees_it(app: Flask, options: Any) -> None:
    response = ask(app, **options)
    assert response.status_code >= 400 and "<html" not in response.text


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1", "[::1]:5000", "tea.localhost"])
def test_every_name_of_this_machine_will_do(app: Flask, host: str) -> None:
    assert text_of(ask(app, headers={**BROWSER, "Host": host}))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_every_address_of_this_machine_will_do(app: Flask, address: str) -> None:
    assert text_of(ask(app, environ_base={"REMOTE_ADDR": address}))


def test_a_page_of_ones_own_comes_first(app: Flask) -> None:
    app.add_url_rule("/", "home", lambda: "<h1>mine</h1>")
    assert ask(app).text == "<h1>mine</h1>" or ask(app).status_code == 401


def test_other_methods_and_paths_are_as_they_were(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/", headers=BROWSER).status_code >= 400
    assert client.get("/nothing-here", headers=BROWSER).status_code >= 400
    assert client.head("/", headers=BROWSER).status_code == 200


def test_production_refuses_to_show_it() -> None:
    with pytest.raises(ValueError, match=r"FIRST_PAGE: .*production; for example"):
        service(FIRST_PAGE=True, PRODUCTION=True)
    with pytest.raises(ValueError, match="PRODUCTION: 'yes' is not true or false"):
        service(FIRST_PAGE=True, PRODUCTION="yes")
    assert ask(service(FIRST_PAGE=True, PRODUCTION="False")).status_code == 200


def test_without_its_key_there_is_no_such_page() -> None:
    assert ask(service()).status_code == 404
