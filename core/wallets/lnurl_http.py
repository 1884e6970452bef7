"""Calls to servers that strangers name, none of which can end inside our own network.

No redirects, no proxies, no cookies, no compression, little time and little room; the addresses
are those that `core.net` lets through.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import yarl

from core.net import Names, Pinned, is_public
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
            resolver=Pinned(addresses), use_dns_cache=False, force_close=True, ssl=self._tls
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


_NOT_FOUND = NoAnswer(
    # One sentence for both, or an address would tell whether a name exists on our network.
    "The host of the address was not found on the public internet."
)


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
