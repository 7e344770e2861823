"""TRUSTED_PROXIES on servers that do something of their own to X-Forwarded-For."""

from __future__ import annotations

import contextlib
import http.client
import json

import pytest

from tests.servers import SERVICE, Server, granian, waitress

ENV = {"FLASK_TRUSTED_PROXIES": "1", "FLASK_RATELIMIT_DEFAULT": "1000 per minute"}


def ask(server: Server, times: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        for _ in range(times):
            connection.request("GET", "/api/ping", headers={"X-Forwarded-For": "203.0.113.7"})
            assert connection.getresponse().read()


def lines(server: Server) -> list[dict[str, str]]:
    server.stop()
    return [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]


def addresses(log: list[dict[str, str]]) -> set[str]:
    return {line["remote_addr"] for line in log if line["message"] == "request_completed"}


def test_waitress_with_the_documented_option_passes_the_clients_address_on() -> None:
    with waitress(SERVICE, "--no-clear-untrusted-proxy-headers", env=ENV) as server:
        ask(server, times=25)
        log = lines(server)
    assert addresses(log) == {"203.0.113.7"}
    assert "TRUSTED_PROXIES" not in json.dumps(log)


def test_waitress_without_it_deletes_the_address_and_the_log_says_so_once() -> None:
    with waitress(SERVICE, env=ENV) as server:
        ask(server, times=45)
        log = lines(server)
    assert addresses(log) == {"127.0.0.1"}
    assert json.dumps(log).count("--no-clear-untrusted-proxy-headers") == 1


def test_granian_is_named_in_the_log_once_where_a_proxy_is_trusted() -> None:
    pytest.importorskip("granian", reason="pip install granian")
    with granian(SERVICE, env=ENV) as server:
        ask(server, times=3)
        log = lines(server)
    assert addresses(log) == {"203.0.113.7"}
    assert json.dumps(log).count("X_Forwarded_For") == 1
