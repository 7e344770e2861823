"""JSON that means the same to every reader, or ValueError (Flask responds 400).

Refused are NaN and Infinity, a name twice in one object, half a surrogate pair, text that is not
UTF-8 and more than 100 levels.

Standards: RFC 8259, RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import chain
from math import isinf
from typing import Any, NoReturn

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

LEVELS = 100  # Python's own limit is near 1,000 and differs between versions
KEPT_ENCODER = lru_cache(8)(json.JSONEncoder)  # json.dumps() makes a new one for each document


def make_json_strict(app: Flask) -> None:
    """Make the application's provider strict; one that is not Flask's keeps its own rules."""
    provider = app.json
    if isinstance(provider, DefaultJSONProvider):
        strict = type("StrictJSONProvider", (StrictJSON, type(provider)), {})(app)
        vars(strict).update(vars(provider))
        app.json = strict


class StrictJSON(DefaultJSONProvider):
    """Goes before the class of the application's provider, and asks it for the rest."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        kwargs.setdefault("allow_nan", False)
        if "default" not in kwargs:
            kwargs.setdefault("cls", KEPT_ENCODER)
        return super().dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        text = s if isinstance(s, str) else str(s, "utf-8-sig")
        try:
            value = json.loads(text, **kwargs) if kwargs else DECODER.decode(text)
            _check_levels(text, value)
            if "\\ud" in text or "\\uD" in text:
                json.dumps(value, ensure_ascii=False).encode()  # half a pair cannot be encoded
        except RecursionError:
            raise ValueError(f"more than {LEVELS} levels") from None
        return value


def refuse_json(error: ValueError | None) -> NoReturn:
    """Stands in for Request.on_json_loading_failed: says what is wrong, in debug mode or not.

    :param error: None if the Content-Type is not JSON's.
    """
    if error is None:
        raise UnsupportedMediaType("The body must be JSON, with Content-Type: application/json.")
    if not getattr(error, "doc", "-").strip():
        raise BadRequest("The body is empty; send a JSON document.")
    raise BadRequest(f"The body is not JSON: {error}.")


def _check_levels(text: str, value: Any) -> None:
    if text.count("[") + text.count("{") <= LEVELS:
        return
    level: list[Any] = [value]
    for _ in range(LEVELS):
        members = [item.values() if type(item) is dict else item for item in level]
        level = [child for child in chain.from_iterable(members) if type(child) in (dict, list)]
        if not level:
            return
    raise ValueError(f"more than {LEVELS} levels")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("a number is out of range")
    return number


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_names
)
