"""What app/middleware/proxy.py promises. Travels with it: any package, one import to change."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, request

from app.middleware.proxy import configure_proxy  # the one line to change in another package

HOSTILE = [
    "",
    ",",
    ", ,,",
    "garbage",
    "unknown",
    "_hidden",
    "203.0.113.7:65536:1",
    "[::1",
    "[]",
    "[]:80",
    "::ffff:999.1.1.1",
    "fe80::1%eth0",
    '"203.0.113.7',
    "1.2.3.4\x00",
    "<script>",
    "\xff\xfe",
    "٣.٣.٣.٣".encode().decode("latin-1"),
    "0x7f.1",
    "2130706433",
    "127.1",
    "a" * 100_000,
    ", ".join(["203.0.113.7"] * 10_000),
    "," * 100_000,
    '"' * 50_001,
]


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    configure_proxy(app)

    @app.get("/")
    def seen() -> dict[str, str | None]:
        return {"from": request.remote_addr, "scheme": request.scheme, "host": request.host}

    return app


def seen_by(app: Flask, **headers: str) -> Any:
    names = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    response = app.test_client().get("/", environ_overrides={"REMOTE_ADDR": "10.0.0.1", **names})
    assert response.status_code == 200, response.text
    return response.get_json()


def test_by_default_no_client_can_choose_its_address_scheme_or_host() -> None:
    seen = seen_by(
        service(),
        x_forwarded_for="203.0.113.7",
        x_forwarded_proto="https",
        x_forwarded_host="evil.example",
        x_forwarded_port="4711",
        x_forwarded_prefix="/evil",
        forwarded="for=203.0.113.7;proto=https;host=evil.example",
    )
    assert seen == {"from": "10.0.0.1", "scheme": "http", "host": "localhost"}


def test_behind_one_proxy_the_client_is_what_that_proxy_says() -> None:
    seen = seen_by(
        service(TRUSTED_PROXIES=1),
        x_forwarded_for="198.51.100.9, 203.0.113.7",
        x_forwarded_proto="https",
        x_forwarded_host="api.example.com",
    )
    assert seen == {"from": "203.0.113.7", "scheme": "https", "host": "api.example.com"}


@pytest.mark.parametrize("sent", ['"', '"x', 'x="y', '\\"', '"a", "b', '"1.1.1.1\\"', "'", "x, ,"])
@pytest.mark.parametrize("behind", [[], ["192.0.2.8"], ["192.0.2.8", "192.0.2.9"]])
def test_no_client_can_hide_behind_its_proxy(sent: str, behind: list[str]) -> None:
    """A proxy's address is another bucket, and often in RATELIMIT_ALLOW."""
    app = service(TRUSTED_PROXIES=1 + len(behind))
    added = ", ".join([sent, "203.0.113.7", *behind])
    assert seen_by(app, x_forwarded_for=added)["from"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("hops", "address"), [(1, "192.0.2.3"), ("2", "192.0.2.2"), (3, "192.0.2.1"), (4, "10.0.0.1")]
)
def test_hops_are_counted_from_the_service_outwards(hops: int | str, address: str) -> None:
    app = service(TRUSTED_PROXIES=hops)
    assert seen_by(app, x_forwarded_for="192.0.2.1, 192.0.2.2, 192.0.2.3")["from"] == address


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("http, https, http", "https"), ("https, http", "https")],
)
def test_a_scheme_that_only_some_of_the_proxies_name_is_seen(said: str, scheme: str) -> None:
    app = service(TRUSTED_PROXIES=2)
    hops = {"x_forwarded_for": "192.0.2.1, 192.0.2.2", "x_forwarded_host": "api.shop.test"}
    seen = seen_by(app, **hops, x_forwarded_proto=said)
    assert seen == {"from": "192.0.2.1", "scheme": scheme, "host": "api.shop.test"}


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ('"203.0.113.7"', "203.0.113.7"),
    ],
)
def test_an_address_is_understood_with_port_and_brackets(entry: str, address: str) -> None:
    assert seen_by(service(TRUSTED_PROXIES=1), x_forwarded_for=entry)["from"] == address


@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
@pytest.mark.parametrize("name", ["x_forwarded_for", "x_forwarded_proto"])
def test_whatever_stands_in_a_forwarded_header_it_is_an_address_or_nothing(
    name: str, value: str, hops: int
) -> None:
    seen = seen_by(service(TRUSTED_PROXIES=hops), **{name: value})
    assert seen["from"] in ("10.0.0.1", "203.0.113.7")
    assert seen["scheme"] == "http"


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_a_forwarded_host_that_is_not_one_does_not_end_in_a_500(value: str) -> None:
    client = service(TRUSTED_PROXIES=1).test_client()
    response = client.get("/", environ_overrides={"HTTP_X_FORWARDED_HOST": value})
    assert response.status_code in (200, 400)


def test_what_is_not_an_address_leaves_the_address_of_the_proxy() -> None:
    assert seen_by(service(TRUSTED_PROXIES=1), x_forwarded_for="garbage")["from"] == "10.0.0.1"


def test_a_scheme_other_than_http_and_https_is_not_believed() -> None:
    assert seen_by(service(TRUSTED_PROXIES=1), x_forwarded_proto="javascript")["scheme"] == "http"


def test_forwarded_headers_that_nobody_trusts_are_named_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service()
    with caplog.at_level(logging.WARNING):
        seen_by(app)
        assert caplog.records == []
        seen_by(app, x_forwarded_for="203.0.113.7", x_forwarded_proto="https")
        seen_by(app, forwarded="for=203.0.113.7")
    (record,) = caplog.records
    assert "X-Forwarded-For, X-Forwarded-Proto arrived" in record.getMessage()
    assert "TRUSTED_PROXIES" in record.getMessage()
    assert "203.0.113.7" not in record.getMessage()


def test_a_trusted_header_that_never_comes_is_missed_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service(TRUSTED_PROXIES=2)
    for _ in range(19):  # health checks, say
        seen_by(app)
    assert caplog.records == []
    for _ in range(40):
        seen_by(app)
    (record,) = caplog.records
    assert "TRUSTED_PROXIES=2, but none of the first 20" in record.getMessage()
    assert "waitress" in record.getMessage()


def test_nothing_is_missed_where_the_trusted_header_comes(caplog: pytest.LogCaptureFixture) -> None:
    app = service(TRUSTED_PROXIES=1)
    seen_by(app)
    seen_by(app, x_forwarded_for="203.0.113.7")
    for _ in range(40):
        seen_by(app)
    assert caplog.records == []


def test_the_log_says_once_what_granian_does_to_the_trusted_header(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for hops, warnings in ((0, 0), (1, 1)):
        caplog.clear()
        client = service(TRUSTED_PROXIES=hops).test_client()
        for _ in range(3):
            client.get("/", environ_overrides={"SERVER_SOFTWARE": "Granian"})
        assert ["underscore" in r.getMessage() for r in caplog.records] == [True] * warnings


def test_saying_it_does_not_set_logging_up_for_the_application() -> None:
    app = service()
    seen_by(app, x_forwarded_for="203.0.113.7")
    assert "logger" not in vars(app)  # Flask adds a handler when it is first asked for


def test_each_application_says_it_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    for app in (service(), service()):
        seen_by(app, x_forwarded_for="203.0.113.7")
    assert len(caplog.records) == 2


@pytest.mark.parametrize("value", [-1, 11, 1.0, True, "one", "1,2", [1], "9" * 5000, "\u0663"])
def test_a_number_of_proxies_that_cannot_be_is_refused_at_start(value: object) -> None:
    with pytest.raises(ValueError, match=r"^TRUSTED_PROXIES: .*for example 0") as refused:
        service(TRUSTED_PROXIES=value)
    assert len(str(refused.value)) < 300
