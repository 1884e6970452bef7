"""Hosts that strangers name, none of which may lie inside our own network.

A name is resolved once, every address behind it has to be public, and the connection goes to one
of these very addresses: a name that changes its mind in between changes nothing. Source: OWASP's
cheat sheet on server-side request forgery; IANA's registries of special-purpose addresses.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult


class Names(Protocol):
    """Who knows the addresses behind a name."""

    async def addresses_of(self, host: str, port: int) -> Sequence[str]:
        """All addresses of this host, as numbers. Raises OSError where there are none."""
        ...

    def close(self) -> None:
        """Wait for nobody any more."""
        ...


class SystemNames:
    """The machine's own resolver."""

    def __init__(self) -> None:
        # Threads of its own: a stranger's slow name server must not keep our wallet's host, or
        # whatever else waits for the loop's few threads, from being resolved.
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="names")

    async def addresses_of(self, host: str, port: int) -> Sequence[str]:
        """All addresses of this host, as numbers. Raises OSError where there are none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(place[0]) for *_, place in found]

    def close(self) -> None:
        """Wait for nobody any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Pinned(AbstractResolver):
    """Knows one host, whose addresses were checked: a resolver for one connection of aiohttp."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - any: those checked
    ) -> list[ResolveResult]:
        """The checked addresses."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    def open_socket(self, place: AddrInfoType) -> socket.socket:
        """A socket for one of these addresses: aiohttp follows redirects, also to numbers.

        Raises OSError for any other.
        """
        family, kind, proto, _, address = place
        if address[0] not in self._addresses:
            raise OSError(f"{address[0]} is not among the addresses that were checked")
        return socket.socket(family=family, type=kind, proto=proto)

    async def close(self) -> None:
        """Nothing is open."""


def is_public(address: str) -> bool:
    """Whether this address, given as a number, is one of the public internet."""
    ip = ip_address(address)
    if ip in _NAT64:
        ip = IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.is_multicast or not ip.is_global or any(ip in network for network in _INSIDE):
        return False
    return isinstance(ip, IPv4Address) or _is_ordinary(ip)


def _is_ordinary(ip: IPv6Address) -> bool:
    """Whether it is a unicast address that carries no IPv4 address inside."""
    return ip in _IPV6_UNICAST and ip.sixtofour is None and ip.teredo is None


_IPV6_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")  # how hosts without IPv4 see IPv4: judged by what is inside
# What Python's tables call global, or did before 3.11.10, and what is none of ours to call.
_INSIDE = (
    ip_network("192.0.0.0/24"),  # for protocols; a cloud's metadata service lives there, too
    ip_network("168.63.129.16/32"),  # Azure's wire server: a public number, inside each machine
    ip_network("192.88.99.0/24"),  # relays from IPv4 to IPv6, withdrawn by RFC 7526
    ip_network("3fff::/20"),  # documentation, RFC 9637
)
