"""Which network addresses lead to a machine itself, to its neighbours or to a source of credentials."""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = tuple(
    ipaddress.ip_network(text)
    for text in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd20:ce::254/128")
)
"""Where clouds hand out credentials, beside the link-local addresses."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def meant(address: IPAddress) -> IPAddress:
    """The IPv4 address that is meant by an IPv6 one, where one is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_within(address: IPAddress, ranges: tuple[IPNetwork, ...]) -> bool:
    """Whether the address, or the one that is meant by it, lies in one of the ranges."""
    inner = meant(address)
    return any(inner in network for network in ranges if network.version == inner.version)


def is_special(address: IPAddress) -> bool:
    """Whether it is the machine itself, its link, a group of machines or a source of credentials."""
    inner = meant(address)
    special = inner.is_loopback or inner.is_link_local or inner.is_unspecified or inner.is_multicast
    return special or is_within(inner, METADATA)


def is_public(address: IPAddress) -> bool:
    """Whether it is an address of the public internet; those of a cluster or a company are not."""
    return meant(address).is_global and not is_special(address)
