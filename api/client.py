"""Who is calling: the address that limits and keys without a credential count by.

A forwarding header is believed only as far as trusted proxies wrote it: read from the right, the
first address that is no trusted proxy is the client. One IPv6 customer commands a whole /64, so a
/64 is one client.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_of(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's name: its IPv4 address, or the /64 of its IPv6 address.

    `peer` is the other end of the connection, `forwarded_for` the fields of X-Forwarded-For in
    order. A hop that is no address ends the reading: the proxy that let it in is then the client.
    """
    if not (forwarded_for and trusted):
        return _name_of_peer(peer or "")
    client = _address(peer or "")
    hops = [hop for field in forwarded_for for hop in field.split(",")]
    while client is not None and hops and any(client in network for network in trusted):
        hop = _address(hops.pop())
        if hop is None:
            break
        client = hop
    return _name(client)


@lru_cache(maxsize=4096)  # nearly every request comes over a connection that has been seen before
def _name_of_peer(peer: str) -> str:
    return _name(_address(peer))


def _address(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:1234
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:1234
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _name(address: Address | None) -> str:
    if address is None:
        return "unknown"
    if address.version == 4:
        return str(address)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))
