"""What app/middleware/engine/cors_refusals.py promises."""

from __future__ import annotations

import logging

import pytest

from app.middleware.engine.cors_refusals import Refusals

PAGE = "https://app.example.com"
REFUSALS = (["https://app.example.com"], ["/api/"], ["put", "GET"], ["Content-Type", "X-One"])


def refusals() -> Refusals:
    return Refusals(*REFUSALS, logging.getLogger("tests"))


def asked(origin: str = PAGE, **more: str) -> dict[str, str]:
    environ = {"HTTP_ORIGIN": origin, "HTTP_HOST": "api.example.com", "wsgi.url_scheme": "https"}
    return {**environ, "REQUEST_METHOD": "OPTIONS", "PATH_INFO": "/api/x", **more}


@pytest.mark.parametrize(
    ("method", "headers", "reason"),
    [
        ("PUT", "content-type, X-ONE", None),
        ("POST", "", None),  # safelisted by the Fetch standard
        ("DELETE", "", "CORS_METHODS does not have 'DELETE'"),
        ("put", "", "CORS_METHODS does not have 'put'"),  # methods have a case
        ("PUT", "x-two,x-one", "CORS_ALLOW_HEADERS does not have 'x-two'"),
    ],
)
def test_a_preflight_is_judged_as_a_browser_judges_it(
    method: str, headers: str, reason: str | None
) -> None:
    environ = asked(HTTP_ACCESS_CONTROL_REQUEST_METHOD=method)
    environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = headers
    said = refusals().of_preflight(environ)
    assert said is None if reason is None else str(said).startswith(reason)


def test_the_nearest_origin_is_named() -> None:
    said = refusals().of_response(asked("https://app.exampel.com"), is_allowed=False)
    assert (
        said == "CORS_ORIGINS does not have 'https://app.exampel.com'; did you mean " + PAGE + "?"
    )


def test_the_services_own_page_is_not_refused() -> None:
    assert refusals().of_response(asked("https://api.example.com"), is_allowed=False) is None


def test_what_is_kept_of_invented_origins_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    one = refusals()
    for number in range(500):
        one.of_response(asked(f"https://{number}.example.com"), is_allowed=False)
    assert len(caplog.records) == len(one.nearest) == len(one.seen.texts) == 100
