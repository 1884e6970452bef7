"""Calls to servers that strangers name, none of which can end inside our own network.

A name is resolved once, every address behind it has to be public, and the connection goes to one
of these very addresses: a name that changes its mind in between changes nothing. No redirects, no
proxies, no cookies, no compression, little time and little room. Source: OWASP's cheat sheet on
server-side request forgery; IANA's registries of special-purpose addresses.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Protocol

import aiohttp
import orjson
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from core.values.destinations import Endpoint

_ANSWER_BYTES_MAX = 64 * 1024
_CHUNK_BYTES = 16 * 1024
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "boltwork"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The server answered with a JSON object, with whatever status: LNURL knows no statuses."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came that could be used; `detail` says why in one sentence for the customer."""

    detail: str


Reply = Answer | NoAnswer


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


class LnurlHttp:
    """One GET after the other; nothing is kept between two of them."""

    def __init__(self, *, names: Names, tls: ssl.SSLContext, timeout_s: float) -> None:
        """`timeout_s` is for a whole call, from the look-up of the name to the last byte."""
        self._names = names
        self._tls = tls
        self._timeout_s = timeout_s

    async def get(self, endpoint: Endpoint) -> Reply:
        """What the server answers at this place."""
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._addresses_of(endpoint)
                if not addresses:
                    return _NOT_FOUND
                return await self._exchange(endpoint, addresses)
        except TimeoutError:
            return NoAnswer("The server behind the address did not answer in time.")
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            return NoAnswer("The server behind the address cannot prove by TLS that it is the one.")
        except aiohttp.ClientError:
            return NoAnswer("The server behind the address cannot be reached, or hung up.")

    async def _addresses_of(self, endpoint: Endpoint) -> Sequence[str]:
        """All addresses of the host; none if one of them may not be called."""
        try:
            addresses = await self._names.addresses_of(endpoint.host, endpoint.port)
        except OSError:
            return ()
        if endpoint.is_insecure or all(is_public(address) for address in addresses):
            return addresses
        return ()

    async def _exchange(self, endpoint: Endpoint, addresses: Sequence[str]) -> Reply:
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses), use_dns_cache=False, force_close=True, ssl=self._tls
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),  # the whole call has its own above
            ) as session,
            session.get(_url(endpoint), headers=_HEADERS, allow_redirects=False) as response,
        ):
            if 300 <= response.status < 400:
                return NoAnswer("The server behind the address redirects, which is not followed.")
            raw = await _read(response.content)
        return _reply(response.status, raw)


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


_NOT_FOUND = NoAnswer(
    # One sentence for both, or an address would tell whether a name exists on our network.
    "The host of the address was not found on the public internet."
)
_IPV6_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")  # how hosts without IPv4 see IPv4: judged by what is inside
# What Python's tables call global, or did before 3.11.10, and what is none of ours to call.
_INSIDE = (
    ip_network("192.0.0.0/24"),  # for protocols; a cloud's metadata service lives there, too
    ip_network("168.63.129.16/32"),  # Azure's wire server: a public number, inside each machine
    ip_network("192.88.99.0/24"),  # relays from IPv4 to IPv6, withdrawn by RFC 7526
    ip_network("3fff::/20"),  # documentation, RFC 9637
)


class _Pinned(AbstractResolver):
    """Knows one host, whose addresses were checked."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - any: those checked
    ) -> list[ResolveResult]:
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

    async def close(self) -> None:
        """Nothing is open."""


def _url(endpoint: Endpoint) -> yarl.URL:
    path, _, query = endpoint.target.partition("?")
    return yarl.URL.build(
        scheme=endpoint.scheme,
        host=endpoint.host,
        port=endpoint.port,
        path=path,
        query_string=query,
        encoded=True,
    )


async def _read(content: aiohttp.StreamReader) -> bytes | None:
    """All that came, or None if it is more than any honest answer."""
    raw = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        raw += chunk
        if len(raw) > _ANSWER_BYTES_MAX:
            return None
    return bytes(raw)


def _reply(status: int, raw: bytes | None) -> Reply:
    if raw is None:
        return NoAnswer("The server behind the address answered with too many bytes.")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return NoAnswer(f"The server behind the address answered {status} and no JSON object.")
    return Answer(body)
