"""Who accepts a client, when several workers listen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving import shared
from serving.turns import MORE, MOST_WITHOUT_PAUSE, Turns

ME, OTHER = 254, 255


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    shared.takes_no_more(ME)
    shared.takes_no_more(OTHER)


def test_a_worker_with_more_connections_leaves_a_client_to_the_other() -> None:
    shared.has_connections(ME, 5)
    shared.has_connections(OTHER, 5 - MORE)
    turns = Turns()
    assert not turns.lets_another(5)
    shared.has_connections(OTHER, 4 - MORE)
    assert turns.lets_another(5) and turns.is_pausing
    assert not turns.may_end_the_pause(5)
    shared.has_connections(OTHER, 5)  # it took it
    assert turns.may_end_the_pause(5) and not turns.is_pausing


def test_who_is_alone_or_has_no_other_that_accepts_never_pauses() -> None:
    shared.has_connections(ME, 100)
    turns = Turns()
    assert not turns.lets_another(100)
    shared.has_connections(OTHER, 0)
    assert turns.lets_another(100)
    shared.takes_no_more(OTHER)
    assert turns.may_end_the_pause(100)
    assert not turns.lets_another(100)


def test_while_the_others_are_busy_pauses_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("serving.turns.time.monotonic", lambda: now)
    shared.has_connections(ME, 100)
    shared.has_connections(OTHER, 0)
    turns, taken = Turns(), []
    for _ in range(9):
        accepted = 0
        while accepted < 1000 and not turns.lets_another(100):
            accepted += 1
            turns.round_is_over()
        taken.append(accepted)
        now += 1
        assert turns.may_end_the_pause(100)
    assert taken == [0, 1, 2, 4, 8, 16, 32, MOST_WITHOUT_PAUSE, MOST_WITHOUT_PAUSE]


def test_a_client_that_comes_long_after_a_pause_waits_again() -> None:
    shared.has_connections(ME, 100)
    shared.has_connections(OTHER, 0)
    turns = Turns()
    assert turns.lets_another(100)
    while not turns.may_end_the_pause(100):
        pass
    turns.round_is_over()
    assert turns.lets_another(100)
