"""What networks.py promises; it travels with the file."""

from __future__ import annotations

import pytest

from app.middleware.engine.networks import read_networks  # the one line to change elsewhere


def test_addresses_of_a_network_are_in_it_however_they_are_written() -> None:
    networks = read_networks({"KEY": "10.1.0.0/16, 192.0.2.7,2001:db8::/64"}, "KEY")
    assert networks is not None
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8::1"):
        assert networks.has(address)
    for text in ("10.2.0.1", "192.0.2.8", "2001:db8:0:1::1", "unknown", "", None):
        assert not networks.has(text)
    assert read_networks({}, "KEY") is None


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("::ffff:10.1.0.0/112", "10.1.2.3", "10.2.0.1"),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3", "10.1.2.4"),
        ("::ffff:0:0/96", "192.0.2.1", "2001:db8::1"),
        ("::/0", "2001:db8::1", "192.0.2.1"),
        ("fe80::/10", "fe80::1%eth0", "2001:db8::1%eth0"),
    ],
)
def test_networks_may_be_written_as_systems_write_addresses(
    network: str, inside: str, outside: str
) -> None:
    networks = read_networks({"KEY": network}, "KEY")
    assert networks is not None
    assert networks.has(inside)
    assert not networks.has(outside)


@pytest.mark.parametrize("text", ["fe80::%1", "10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0.0"])
def test_what_is_not_a_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"KEY: .* is not a network; for example 10.0.0.0"):
        read_networks({"KEY": [text]}, "KEY")
