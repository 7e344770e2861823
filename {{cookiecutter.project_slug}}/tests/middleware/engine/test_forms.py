"""What engine/forms.py promises: a form is whole and within its limits, or an error."""

from __future__ import annotations

import pytest
from flask import Flask, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from app.middleware.engine.forms import URLENCODED, StrictFormParser


def fields(body: bytes, content_type: str = URLENCODED) -> dict[str, str]:
    app = Flask(__name__)
    app.config.update(MAX_FORM_MEMORY_SIZE=20, MAX_FORM_PARTS=3)
    with app.test_request_context(method="POST", data=body, content_type=content_type):
        request.form_data_parser_class = StrictFormParser
        return dict(request.form)


def test_a_form_is_read() -> None:
    assert fields(b"a=1&b=2&c=3") == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize("body", [b"a=1&b=2&c=3&d=4", b"a=" + b"x" * 19])
def test_a_form_over_its_limits_is_413(body: bytes) -> None:
    with pytest.raises(RequestEntityTooLarge, match="at most"):
        fields(body)


@pytest.mark.parametrize("content_type", [URLENCODED, "multipart/form-data; boundary=x"])
def test_a_form_that_cannot_be_read_is_400_and_not_empty(content_type: str) -> None:
    with pytest.raises(BadRequest, match="not a readable"):
        fields(b"a=\xff", content_type)
