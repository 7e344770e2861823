"""Networks by address, for allow-lists.

Standards: RFC 4632 (IPv4 networks), RFC 4291 2.3 (IPv6 prefixes)
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from .clients import LONGEST, normal_address
from .settings import Config, read_list, refuse

EXAMPLE = "10.0.0.0/8, 2001:db8::/32"


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Networks:
    """Whether an address is in one of them; text that is not an address is in none."""

    def __init__(self, networks: list[Network]) -> None:
        self._networks = networks
        self._known = lru_cache(8192)(self._has)

    def has(self, address: str | None) -> bool:
        return self._known((address or "")[:LONGEST])

    def _has(self, address: str) -> bool:
        normal = normal_address(address.partition("%")[0])  # fe80::1%eth0
        if normal is None:
            return False
        ip = ipaddress.ip_address(normal)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self._networks)


def read_networks(config: Config, key: str) -> Networks | None:
    """None if there are none; raises as read_network_list() does."""
    networks = read_network_list(config, key)
    return Networks(networks) if networks else None


def read_network_list(config: Config, key: str) -> list[Network]:
    """A list of networks or addresses.

    :raises ValueError: if one of them is not a network, its address has bits below its prefix, or
        it names a zone.
    """
    networks: list[Network] = []
    for text in read_list(config, key, example=EXAMPLE):
        try:
            if "%" in text:
                raise ValueError(text)
            networks.append(_unmapped(ipaddress.ip_network(text)))
        except ValueError:
            refuse(key, text, "is not a network", EXAMPLE)
    return networks


def _unmapped(network: Network) -> Network:
    """::ffff:10.1.0.0/112 is 10.1.0.0/16: so are the addresses that are looked for."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
