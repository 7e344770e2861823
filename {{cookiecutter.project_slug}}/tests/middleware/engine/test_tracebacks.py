"""What engine/tracebacks.py promises: however little room there is, what matters most stays."""

from __future__ import annotations

import builtins
import copy
import json
import sys
from collections.abc import Callable

import pytest

from app.middleware.engine.tracebacks import Traceback

NAMES = 12 * len(__file__)  # characters: each frame has the name of the file, however long it is


def caught(function: Callable[[], object]) -> Traceback:
    try:
        function()
    except Exception as error:
        return Traceback((type(error), error, error.__traceback__))
    raise AssertionError("nothing was raised")


def own_code(message: str = "root cause") -> None:
    raise ValueError(message)


def through_a_library() -> None:
    json.loads('{"a": 1}', object_hook=lambda pairs: own_code("x" * 3500))


class Uncopied:
    def __init__(self, message: str) -> None:
        self.message = message

    def __deepcopy__(self, memo: object) -> None:
        own_code(self.message)


def through_copies(message: str) -> None:
    tree: object = Uncopied(message)
    for _ in range(20):
        tree = [tree]
    copy.deepcopy(tree)


def recurse(depth: int) -> None:
    if depth == 0:
        own_code()
    recurse(depth - 1)


def test_with_enough_room_nothing_is_cut() -> None:
    text = caught(through_a_library).text(10_000)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("\nValueError: " + "x" * 3500)
    assert "json/decoder.py" in text.replace("\\", "/")


@pytest.mark.parametrize("share", [1.0, 1.5, 3.0])
def test_the_type_the_message_and_the_services_own_frames_stay(share: float) -> None:
    error = caught(through_a_library)
    limit = int(share * (len(error.text(10_000)) - 3500))  # as much as the frames take, and more
    text = error.text(limit)
    assert len(text) <= limit
    assert "in through_a_library\n" in text
    assert "in own_code\n" in text
    assert text.splitlines()[-1].startswith("ValueError: xxx")


def test_frames_of_libraries_are_the_first_to_go_and_are_counted() -> None:
    error = caught(through_a_library)
    assert "frames of libraries" in error.text(len(error.text(10_000)) - 3500)


def test_a_chain_of_causes_stays_readable() -> None:
    def chained() -> None:
        try:
            own_code("x" * 3500)
        except ValueError as error:
            raise RuntimeError("y" * 3500) from error

    text = caught(chained).text(2000)
    assert len(text) <= 2000
    assert "ValueError: xxx" in text
    assert "The above exception was the direct cause of the following exception:" in text
    assert "RuntimeError: yyy" in text


@pytest.mark.parametrize("limit", [100, 1000])
def test_of_what_is_too_long_all_the_same_the_end_stays(limit: int) -> None:
    text = caught(lambda: recurse(200)).text(limit)
    assert len(text) <= limit + 3
    assert text.endswith("ValueError: root cause")


def test_an_exception_that_cannot_be_shown_is_named() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def fail() -> None:
        raise Unspeakable

    assert "Unspeakable" in caught(fail).text(1000)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups of exceptions need Python 3.11")
def test_a_group_keeps_each_message_and_the_services_own_frames() -> None:
    def grouped() -> None:
        errors = []
        for name in ("first", "second"):
            try:
                through_copies(name)
            except ValueError as error:
                errors.append(error)
        raise getattr(builtins, "ExceptionGroup")("both failed", errors)  # noqa: B009 - not in 3.10

    text = caught(grouped).text(1400 + NAMES)
    assert "in grouped\n" in text
    assert "| ExceptionGroup: both failed (2 sub-exceptions)\n" in text
    assert text.count("in own_code\n") == text.count("in through_copies\n") == 2
    assert "| ValueError: first\n" in text
    assert "| ValueError: second\n" in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups of exceptions need Python 3.11")
def test_a_group_that_is_too_long_all_the_same_says_what_it_is() -> None:
    def grouped() -> None:
        errors = [ValueError(f"job {number} " + "x" * 180) for number in range(100)]
        raise getattr(builtins, "ExceptionGroup")("all failed", errors)  # noqa: B009 - not in 3.10

    text = caught(grouped).text(2400 + NAMES)
    assert len(text) <= 2400 + NAMES
    assert "in grouped\n" in text
    assert "| ExceptionGroup: all failed (100 sub-exceptions)\n" in text
    assert text.endswith(f"and 85 more exceptions\n    +{'-' * 36}")
