"""What engine/bodies.py promises: a body is read whole, or its reader is interrupted."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Request
from werkzeug.exceptions import BadRequest, LengthRequired, RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from app.middleware.engine.bodies import expect_exact_body, has_body

CHUNKED = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


def request(body: bytes, **environ: Any) -> Request:
    builder = EnvironBuilder(method="POST", data=body, content_type="application/json")
    return Request({**builder.get_environ(), **environ})


def read(body: bytes, limit: int | None = None, **environ: Any) -> bytes:
    asked = request(body, **environ)
    expect_exact_body(asked, limit)
    data: bytes = asked.stream.read()
    return data


def test_a_whole_body_is_read_with_a_length_and_in_chunks() -> None:
    assert read(b"[1]") == read(b"[1]", limit=3) == read(b"[1]", limit=3, **CHUNKED) == b"[1]"
    assert read(b"[1]more", CONTENT_LENGTH="3") == b"[1]"


def test_a_body_that_ends_early_is_400_with_an_event() -> None:
    asked = request(b"[1]", CONTENT_LENGTH="4")
    expect_exact_body(asked, None)
    with pytest.raises(BadRequest, match="ended after 3 of 4 bytes"):
        asked.stream.read()
    assert asked.environ["security_event"] == {"event": "body_refused", "reason": "cut_short"}


def test_a_body_over_the_limit_is_413_before_or_while_it_is_read() -> None:
    with pytest.raises(RequestEntityTooLarge, match="at most 2 bytes"):
        expect_exact_body(request(b"[1]"), 2)
    with pytest.raises(RequestEntityTooLarge, match="at most 2 bytes"):
        read(b"[1]", limit=2, **CHUNKED)


def test_a_body_without_an_end_needs_a_length() -> None:
    for environ in ({**CHUNKED, "wsgi.input_terminated": None}, {"CONTENT_LENGTH": ""}):
        environ = {name: value for name, value in environ.items() if value is not None}
        with pytest.raises(LengthRequired, match=r"^411 .*Content-Length is required\.$"):
            expect_exact_body(request(b"[1]", **environ), None)


@pytest.mark.parametrize(
    ("environ", "has"),
    [
        ({"CONTENT_LENGTH": "3"}, True),
        ({"CONTENT_LENGTH": "0"}, False),
        ({"CONTENT_LENGTH": ""}, False),
        (CHUNKED, True),
        ({"CONTENT_LENGTH": "", "SERVER_PROTOCOL": "HTTP/2"}, True),
    ],
)
def test_whether_a_body_follows_is_known_without_losing_any_of_it(
    environ: dict[str, Any], has: bool
) -> None:
    asked = request(b"[1]", **environ)
    assert has_body(asked.environ) is has
    if asked.environ.get("SERVER_PROTOCOL") == "HTTP/2":
        assert io.BufferedReader(asked.environ["wsgi.input"]).read() == b"[1]"
