"""What engine/rendering.py promises: one line, whole or shortened, that nothing in it can forge."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

import pytest

from app.middleware.engine import rendering


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1767323045.6789, "2026-01-02T03:04:05.678Z"),
        (1767323045.9999, "2026-01-02T03:04:05.999Z"),
        (1767323046.0, "2026-01-02T03:04:06.000Z"),
    ],
)
def test_a_timestamp_is_utc_with_milliseconds(now: float, text: str) -> None:
    assert rendering.timestamp(now) == text


@pytest.mark.parametrize("odd", ["\ud800", 10**30, Path("/a"), b"bytes", {1: 2}])
def test_whatever_a_member_is_it_becomes_json(odd: object) -> None:
    assert json.loads(rendering.as_json({"odd": odd}))["odd"] is not None


@pytest.mark.parametrize("text", ["a\\b", "a\x7fb", "caf\u00e9", "a\nb", "a" * 3000, "\ud800"])
def test_fields_that_need_a_second_look_get_one(text: str) -> None:
    assert rendering.as_harmless_json({"path": text}) is None
    assert rendering.as_harmless_json({"path": "/plain"}) == b'{"path":"/plain"}\n'


def test_a_line_that_fits_is_not_touched() -> None:
    fields = {"message": "x" * 1000, "items": ["a"] * 100}
    assert json.loads(rendering.fit(fields, rendering.as_json, 4096)) == fields


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "x" * 100_000, "level": "INFO"},
        {"message": '"' * 5000, "level": "INFO"},
        {"message": "", "level": "INFO", "tree": {"a": ["b" * 5000]}},
        {"message": "", "level": "INFO", **{f"member-{n}": "x" * n for n in range(500)}},
    ],
)
def test_a_line_that_does_not_fit_is_shortened_and_says_so(fields: dict[str, Any]) -> None:
    line = rendering.fit(fields, rendering.as_json, 4096)
    assert len(line) <= 4096
    read = json.loads(line)
    assert read["truncated"] is True
    assert read["level"] == "INFO"


def test_a_text_that_is_cut_keeps_its_beginning_and_its_end() -> None:
    assert rendering.cut("a" * 50 + "b" * 50, 40) == "a" * 10 + "..." + "b" * 30
    assert rendering.cut("whole", 5) == "whole"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("caf\u00e9", "caf\u00e9"),
        ("a\x00b\x1b[2Jc", "a\\x00b\\x1b[2Jc"),
        ("\u202etxt", "\\u202etxt"),
        ("two\nlines", "two\\nlines"),
    ],
)
def test_what_could_forge_a_line_is_escaped(given: str, shown: str) -> None:
    assert rendering.printable(given) == shown


def test_a_message_keeps_its_lines_and_loses_its_colours() -> None:
    assert rendering.readable("\x1b[31mred\x1b[0m\n\tnext\x1b[2J") == "red\n\tnext\\x1b[2J"


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Unreadable(list[int]):
    def __iter__(self) -> NoReturn:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (5, 5),
        (None, None),
        (True, True),
        ({"a": (1, "b\u202e")}, {"a": [1, "b\\u202e"]}),
        ({1: Path("/a")}, {"1": "/a"}),
        (Unspeakable(), "<Unspeakable>"),
        (Unreadable(), "<Unreadable>"),
        (math.nan, None),
        ([math.inf], [None]),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        ([10**5000], ["<int>"]),
    ],
)
def test_what_others_add_becomes_plain_members(value: object, member: object) -> None:
    assert rendering.as_member(value) == member


@pytest.mark.parametrize(
    "given",
    [
        {"k" * 5000: 1},
        {"\U0001f600" * 5000 + str(n): 1 for n in range(50)},
        {"number": 10**4200},
    ],
)
def test_what_others_add_leaves_room_for_what_is_ours(given: dict[str, Any]) -> None:
    fields = {"level": "ERROR", "exception": "ValueError: " + "why " * 30}
    rendering.add_members(fields, (), given)
    line = rendering.fit(fields, rendering.as_json, 4096)
    assert len(line) <= 4096
    assert json.loads(line)["exception"].startswith("ValueError")


def test_what_others_add_takes_no_name_that_is_taken() -> None:
    fields: dict[str, Any] = {"level": "INFO"}
    given = {"level": 1, "extra_level": 2, "\x1b[1mlevel": 3, 5: 4, "a\nb": 5}
    rendering.add_members(fields, ["level"], given)
    others = {"extra_level": 1, "extra_extra_level": 2, "extra_extra_extra_level": 3}
    assert fields == {"level": "INFO", **others, "5": 4, "a\\nb": 5}
    line = {"level": "INFO", "severity": "forged"}
    assert rendering.renamed(line, {"level": "severity"}) == {
        "severity": "INFO",
        "extra_severity": "forged",
    }


def test_a_circle_and_a_long_list_come_to_an_end() -> None:
    circle: list[Any] = [math.pi]
    circle.append(circle)
    assert rendering.as_member(circle)[0] == math.pi
    assert len(rendering.as_member(list(range(10_000)))) == rendering.MOST_ITEMS
