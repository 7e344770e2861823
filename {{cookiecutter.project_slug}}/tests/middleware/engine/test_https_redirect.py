"""What app/middleware/engine/https_redirect.py promises."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from app.middleware.engine.https_redirect import HttpsRedirect
from app.middleware.engine.paths import Paths


def location(path: str = "/", url: str = "http://a.example", **environ: Any) -> str | None:
    hosts = environ.pop("hosts", None)
    redirect = HttpsRedirect(Paths(["/health"]), lambda: hosts)
    asked = EnvironBuilder(path=path, base_url=url).get_environ()
    response = redirect.respond({**asked, **environ})
    if response is None:
        return None
    status, headers, _ = response
    assert status == "308 Permanent Redirect"
    return dict(headers)["Location"]


def test_http_is_sent_to_the_same_place_on_https() -> None:
    assert location("/a b/%C3%A9?x=1&y=%20") == "https://a.example/a%20b/%C3%A9?x=1&y=%20"
    assert location("/", SCRIPT_NAME="/v1") == "https://a.example/v1/"
    assert location("/", "http://[::1]:8080") == "https://[::1]:8080/"
    assert location("/", "http://a.example:80") == "https://a.example/"


def test_https_is_left_alone() -> None:
    assert location("/", "https://a.example") is None


@pytest.mark.parametrize("said", ["https", "HTTPS", "http, https"])
def test_a_proxy_that_ended_tls_and_is_not_trusted_causes_no_circle(said: str) -> None:
    assert location("/", HTTP_X_FORWARDED_PROTO=said) is None
    assert location("/", HTTP_X_FORWARDED_PROTO="https, http") is not None


def test_health_checks_are_left_alone() -> None:
    assert location("/health") is location("/health/live") is None
    assert location("/healthy") is not None


HOSTS_THAT_ARE_NONE = ["", "a.example/evil", "a b", "evil.example\r\nX: y", "@evil"]
HOSTS_THAT_ARE_NONE += ["my_service", "a.example:0", "a.example:65536"]


@pytest.mark.parametrize("host", HOSTS_THAT_ARE_NONE)
def test_what_is_not_a_host_is_left_to_the_service(host: str) -> None:
    assert location("/", HTTP_HOST=host) is None


def test_a_host_that_is_not_trusted_is_not_redirected_to() -> None:
    assert location("/", hosts=["b.example"]) is None
    assert location("/", hosts=["a.example"]) == "https://a.example/"


def test_the_path_cannot_name_another_host_or_split_the_header() -> None:
    assert location(PATH_INFO="//evil.example/") == "https://a.example//evil.example/"
    assert "\n" not in str(location("/", PATH_INFO="/\r\nX: y"))
