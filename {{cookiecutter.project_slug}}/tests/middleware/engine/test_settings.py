"""What engine/settings.py promises: a key is read in every form, or refused in one style."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from app.middleware.engine import settings

Reader = Callable[[dict[str, Any]], Any]

READERS: dict[str, Reader] = {
    "boolean": lambda config: settings.read_boolean(config, "KEY", True),
    "whole number": lambda config: settings.read_whole_number(config, "KEY", 5, least=1, most=10),
    "seconds": lambda config: settings.read_seconds(config, "KEY", 0.5, least=0.1, most=10),
    "text": lambda config: settings.read_text(config, "KEY", "a", "[a-z]"),
    "choice": lambda config: settings.read_choice(config, "KEY", ("json", "text")),
    "list": lambda config: settings.read_list(config, "KEY", ["GET"]),
    "mapping": lambda config: settings.read_mapping(config, "KEY", '{"a": "b"}'),
}


@pytest.mark.parametrize(
    ("reader", "given", "read"),
    [
        ("boolean", False, False),
        ("boolean", "False", False),
        ("boolean", " true ", True),
        ("whole number", 7, 7),
        ("whole number", "7", 7),
        ("whole number", 10, 10),
        ("seconds", 1, 1.0),
        ("seconds", "0.25", 0.25),
        ("text", " b ", "b"),
        ("choice", "TEXT", "text"),
        ("list", "a, b,,c ", ["a", "b", "c"]),
        ("list", '["a", "b,c"]', ["a", "b,c"]),
        ("list", ("a", "b"), ["a", "b"]),
        ("list", [], []),
        ("list", "", []),
        ("mapping", {"a": 1}, {"a": 1}),
        ("mapping", '{"a": 1}', {"a": 1}),
        ("mapping", "'{\"a\": 1}'", {"a": 1}),  # docker --env-file keeps the quotes
    ],
)
def test_a_value_is_read_in_each_form_in_which_people_write_it(
    reader: str, given: object, read: object
) -> None:
    assert READERS[reader]({"KEY": given}) == read


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_key_is_its_default(reader: str) -> None:
    default = READERS[reader]({})
    assert READERS[reader]({"KEY": None}) == default
    assert default in (True, 5, 0.5, "a", "json", ["GET"], {})


@pytest.mark.parametrize(
    ("reader", "given"),
    [
        ("boolean", "yes"),
        ("boolean", 1),
        ("whole number", 0),
        ("whole number", 11),
        ("whole number", True),
        ("whole number", 1.5),
        ("whole number", "٣"),
        ("whole number", [1]),
        ("seconds", 0),
        ("seconds", "nan"),
        ("seconds", -1),
        ("seconds", False),
        ("text", "A"),
        ("text", 1),
        ("choice", "xml"),
        ("list", 5),
        ("list", "[1, 2"),
        ("list", ["a", 1]),
        ("list", {"a": 1}),
        ("mapping", "a=b"),
        ("mapping", "[" * 3000),
        ("mapping", [1]),
        ("mapping", {1: 2}),
    ],
)
def test_a_wrong_value_is_refused_with_key_value_and_an_example(reader: str, given: object) -> None:
    with pytest.raises(ValueError, match=r"^KEY: .+ is not .+; for example .+") as refused:
        READERS[reader]({"KEY": given})
    assert str(refused.value).isascii(), "a terminal that is not UTF-8 shows it as well"


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ValueError, match=re.escape("...")) as refused:
        settings.read_choice({"KEY": "x" * 10_000}, "KEY", ("json",))
    assert len(str(refused.value)) < 200


def test_a_secret_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"^KEY: is not a URI; for example redis://host$"):
        settings.refuse_secret("KEY", "is not a URI", "redis://host")


def test_a_misspelt_name_gets_a_suggestion() -> None:
    assert settings.did_you_mean("X-Frame-Option", ["X-Frame-Options"]) == (
        "; did you mean X-Frame-Options?"
    )
    assert settings.did_you_mean("nothing", ["X-Frame-Options"]) == ""
