"""Calls to LNbits: the only place that knows its address, its key, its limits and its time-outs.

LNbits answers at most 200 requests a minute from one address by default, then 429 (measured,
1.6.2: no Retry-After, and refused requests count, too). All calls therefore share one budget
that stays below it, so that LNbits' own pages and other programs of the operator have room.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from core.values.clock import Clock
from core.wallets.bucket import TokenBucket

_ANSWER_BYTES_MAX = 16 * 1024 * 1024  # 1,000 payments are about 2 MB
_CHUNK_BYTES = 64 * 1024
_MESSAGE_BYTES_MAX = 1024 * 1024
# uvicorn, which serves LNbits, closes a connection that was idle for 5 s; a request that meets the
# closing is lost. So connections are given up before.
_IDLE_S = 3.0
_PING_S = 20.0
_TOO_MANY_S = 20.0
_TOO_MANY_S_MAX = 60.0
_DETAIL_MAX = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """LNbits answered in JSON, with whatever status."""

    status: int
    body: Any

    @property
    def reason(self) -> str:
        """The answer as one line for the log."""
        detail = self.body.get("detail") if isinstance(self.body, dict) else None
        if not isinstance(detail, str):
            return f"LNbits answered {self.status}"
        return f"LNbits answered {self.status}: {_without_urls(detail)}"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came that could be understood; the call may have had its effect all the same."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotTaken(NoAnswer):
    """LNbits never began with this call, so that it had no effect and will have none."""


Reply = Answer | NoAnswer


class LnbitsTurns:
    """The budget of calls to one LNbits, shared by all that speak to it."""

    def __init__(self, *, clock: Clock, requests_per_minute: int) -> None:
        burst = requests_per_minute // 5
        self._all = TokenBucket(
            clock=clock, per_minute=requests_per_minute, burst=burst, reserve=burst // 3
        )
        # A storm of orders must leave turns for hearing what was paid.
        orders_per_minute = requests_per_minute * 6 // 10
        self._orders = TokenBucket(
            clock=clock, per_minute=orders_per_minute, burst=burst, reserve=0
        )

    async def take(self) -> None:
        """Wait for a turn."""
        await self._all.take()

    async def take_first(self) -> None:
        """Wait for a turn before all that is routine."""
        await self._all.take_first()

    async def take_order(self) -> None:
        """Wait for a turn before all that is routine, and behind earlier orders."""
        await self._orders.take()
        await self._all.take_first()

    def close_for(self, seconds: float) -> None:
        """Give nobody a turn for this long."""
        self._all.close_for(seconds)


class LnbitsHttp:
    """One wallet of one LNbits, spoken to with one of its keys."""

    def __init__(self, *, url: str, key: str, turns: LnbitsTurns, timeout_s: float) -> None:
        """`timeout_s` is for a whole call, waiting for its turn included."""
        self.turns = turns
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._opened: aiohttp.ClientSession | None = None

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Ask for something, in turn."""
        return await self._call(self.turns.take, "GET", path, params=params)

    async def get_first(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Ask for something that much else waits for, before all that is routine."""
        return await self._call(self.turns.take_first, "GET", path, params=params)

    async def post_first(self, path: str, body: Mapping[str, object]) -> Reply:
        """Send an order that a customer waits for, before all that is routine."""
        return await self._call(self.turns.take_order, "POST", path, json=body)

    async def post_whole(self, path: str, body: Mapping[str, object]) -> Reply:
        """Send something whose answer must not be missed: it has the whole time-out for itself."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.turns.take_first()
        except TimeoutError:
            return NotTaken(f"no turn at LNbits within {self._timeout_s:g} s")
        return await self._call(_at_once, "POST", path, json=body)

    async def listen(self, *, opened: Callable[[], None], heard: Callable[[str], None]) -> str:
        """Hold the wallet's websocket as long as it lives; return why it ended, for the log.

        It is not authenticated: the address holds the invoice key, which is all one needs.
        """
        await self.turns.take()
        address = f"{self._url}/api/v1/ws/{self._key}"
        try:
            async with asyncio.timeout(self._timeout_s):
                socket = await self._session().ws_connect(
                    address, heartbeat=_PING_S, max_msg_size=_MESSAGE_BYTES_MAX
                )
            async with socket:
                opened()
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        heard(message.data)
        except TimeoutError:
            return f"the socket did not open within {self._timeout_s:g} s"
        except aiohttp.ClientError as fault:
            return _named(fault)
        return "the socket was closed"

    async def aclose(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()

    async def _call(
        self, turn: Callable[[], Awaitable[None]], method: str, path: str, **request: object
    ) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                await turn()
                return await self._exchange(method, path, **request)
        except TimeoutError:
            return NoAnswer(f"no answer from LNbits within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorError as fault:  # there was no connection to send it on
            return NotTaken(_named(fault))
        except aiohttp.ClientError as fault:
            return NoAnswer(_named(fault))

    async def _exchange(self, method: str, path: str, **request: Any) -> Reply:
        # An LNbits that was never set up sends every request on to a page of HTML.
        async with self._session().request(
            method,
            self._url + path,
            headers={"X-Api-Key": self._key},
            allow_redirects=False,
            **request,
        ) as response:
            if response.status == 429:
                self.turns.close_for(_retry_after_s(response.headers.get("Retry-After", "")))
                # Said before the call is looked at (measured, 1.5.6 and 1.6.2).
                return NotTaken("LNbits answered 429: it is asked too often")
            raw = await _read(response.content)
        if raw is None:
            return NoAnswer(f"LNbits answered {response.status} with too many bytes")
        try:
            return Answer(response.status, orjson.loads(raw))
        except orjson.JSONDecodeError:
            return NoAnswer(f"LNbits answered {response.status} with something other than JSON")

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:  # made at first use, because it belongs to the running loop
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # every call has its own above
            )
        return self._opened


async def _at_once() -> None:
    """Wait for nothing: the turn was taken before."""


async def _read(content: aiohttp.StreamReader) -> bytes | None:
    """All that came, or None if it is more than any honest answer."""
    raw = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        raw += chunk
        if len(raw) > _ANSWER_BYTES_MAX:
            return None
    return bytes(raw)


def _retry_after_s(header: str) -> float:
    if header.isascii() and header.isdigit():
        return min(float(header), _TOO_MANY_S_MAX)
    return _TOO_MANY_S


def _named(fault: aiohttp.ClientError) -> str:
    """The kind of fault only: its text may hold the address, and with it the key."""
    if isinstance(fault, aiohttp.WSServerHandshakeError):
        return f"LNbits answered {fault.status} to the socket"
    return f"LNbits cannot be reached ({type(fault).__name__})"


def _without_urls(text: str) -> str:
    return re.sub(r"\w+://\S+", "(address)", text)[:_DETAIL_MAX]
