"""What engine/strict_json.py promises: JSON means the same to every reader, or is ValueError."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.middleware.engine.strict_json import make_json_strict, refuse_json


@pytest.fixture
def json() -> Any:
    app = Flask(__name__)
    make_json_strict(app)
    with app.app_context():
        yield app.json


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", '{"a": 1, "a": 2}', '"\\ud800"'])
def test_what_readers_understand_differently_is_refused(json: Any, text: str) -> None:
    for document in (text, text.encode()):
        with pytest.raises(ValueError):
            json.loads(document)


@pytest.mark.parametrize("text", ["[" * 101 + "]" * 101, "[" * 200_000, '{"a":' * 200_000])
def test_more_than_a_hundred_levels_are_refused_and_break_nothing(json: Any, text: str) -> None:
    with pytest.raises(ValueError):
        json.loads(text)
    assert json.loads("[" * 100 + "]" * 100)


def test_arguments_of_the_caller_are_passed_on(json: Any) -> None:
    assert json.loads("[1.5]", parse_float=str) == ["1.5"]
    assert json.dumps({"b": 1, "a": 2}, sort_keys=False) == '{"b": 1, "a": 2}'


def test_what_the_provider_is_told_later_is_obeyed(json: Any) -> None:
    assert json.dumps({"b": "\u00e9", "a": 2}) == '{"a": 2, "b": "\\u00e9"}'
    json.sort_keys = json.ensure_ascii = False
    assert json.dumps({"b": "\u00e9", "a": 2}) == '{"b": "\u00e9", "a": 2}'
    json.default = lambda value: f"{value.real:.0f}"
    assert json.dumps([1j]) == '["0"]'
    assert json.dumps([1j], default=str) == '["1j"]'


def test_a_response_never_holds_what_is_not_json(json: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json.dumps(float("nan"))


@pytest.mark.parametrize(
    ("error", "raised", "sentence"),
    [
        (None, UnsupportedMediaType, "Content-Type: application/json"),
        (ValueError("Expecting value: line 1"), BadRequest, "not JSON: Expecting value: line 1"),
    ],
)
def test_a_client_is_told_what_is_wrong(
    error: ValueError | None, raised: type[Exception], sentence: str
) -> None:
    with pytest.raises(raised, match=sentence):
        refuse_json(error)
