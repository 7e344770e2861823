"""What engine/ids.py promises: ids that nobody else has, and of a client's only harmless ones."""

from __future__ import annotations

import re

import pytest

from app.middleware.engine import ids

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_no_id_is_given_out_twice() -> None:
    new = [ids.new_ids() for _ in range(1000)]
    assert len({one[:32] for one in new} | {one[32:] for one in new}) == 2000
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in new)


@pytest.mark.parametrize("given", ["a" * 8, "A.z_0-9" * 9, "a" * 64])
def test_a_harmless_id_of_a_client_is_kept(given: str) -> None:
    assert ids.accepted_request_id(given) == given


@pytest.mark.parametrize("given", ["", "a" * 7, "a" * 65, "abcdefgh\n", "abc defgh", "\xe9" * 8])
def test_another_one_is_not(given: str) -> None:
    assert ids.accepted_request_id(given) is None


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        ("", None),
    ],
)
def test_a_trace_is_found_as_w3c_says(header: str, trace: str | None) -> None:
    assert ids.trace_of(header) == trace
