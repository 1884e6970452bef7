"""A relay of ours, kept in touch with, and short visits to the relays of others.

A connection that ends is made again, ever later where it does not last, and each time all mail of
the last days is asked for: wraps are dated back, and what was stored while we were away counts as
well. Never from now on, nor from what came last. Relays that strangers name are called only where
they are public, and at their checked addresses.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import aiohttp
import structlog
import yarl

from bots.nip01 import Event, Signer
from bots.nip59 import WRAP
from bots.nostr_line import FRAME_BYTES_MAX, Json, Line, Take, Unheard, Verdict
from core.net import Names, Pinned
from core.values.clock import Clock

log = structlog.get_logger(__name__)

OLD_MESSAGE = 4  # of NIP-04

_DAY_S = 24 * 3600
_WRAPS_BACK_S = 5 * _DAY_S  # of messages of three days: wraps are dated back by up to two more
_OLD_MESSAGES_BACK_S = _DAY_S


@dataclass(frozen=True, slots=True)
class Patience:
    """How long something is waited for, in seconds."""

    connect_s: float = 10.0
    answer_s: float = 10.0
    ping_s: float = 25.0  # a relay that answers no ping for half as long is left
    retry_s: float = 1.0  # doubled each time, up to the most
    retry_most_s: float = 300.0
    settled_s: float = 60.0  # a connection that lasted so long was a good one
    deaf_s: float = 30.0  # how long a refused subscription is put up with
    hold_s: float = 2.0  # how long mail that is not fresh waits for its elders and twins
    lists_s: float = 3.0  # how long we look for somebody's own relays


class Relay:
    """One relay that we always want to be connected to."""

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession,
        signer: Signer,
        clock: Clock,
        chance: random.Random,
        patience: Patience,
    ) -> None:
        self.url = url
        self._session = session
        self._signer = signer
        self._clock = clock
        self._chance = chance
        self._patience = patience
        self._line: Line | None = None
        self._connected = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now."""
        return self._line is not None

    async def connected(self) -> None:
        """Return once there is a connection."""
        await self._connected.wait()

    async def run(self, take: Take) -> None:
        """Stay connected, and have each event for us taken; never returns."""
        pause_s = self._patience.retry_s
        while True:
            began_s = self._clock.monotonic()
            reason = await self._stay(take)
            if self._clock.monotonic() - began_s >= self._patience.settled_s:
                pause_s = self._patience.retry_s
            log.warning("relay is away", relay=self.url, reason=reason, again_in_s=round(pause_s))
            await self._clock.sleep(pause_s * self._chance.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, self._patience.retry_most_s)

    async def publish(self, event: Event) -> Verdict:
        """Offer an event."""
        if self._line is None:
            return Unheard("not connected")
        return await self._line.publish(event)

    async def ask(self, wanted: Json) -> list[Json]:
        """What the relay has of this kind; nothing where it is away."""
        return [] if self._line is None else await self._line.ask(wanted)

    async def _stay(self, take: Take) -> str:
        """Connect once; return why it ended."""
        try:
            socket = await _connect(self._session, self.url, self._patience)
        except (TimeoutError, aiohttp.ClientError, OSError) as fault:
            return f"cannot connect: {type(fault).__name__}"
        line = _line(socket, self.url, self._signer, self._clock, self._patience)
        self._line = line
        self._connected.set()
        log.info("relay connected", relay=self.url)
        try:
            async with asyncio.TaskGroup() as tasks:
                tending = tasks.create_task(self._tend(line, take))
                reason = await line.read(take)
                tending.cancel()
            return reason
        finally:
            self._line = None
            self._connected.clear()
            await line.close()

    async def _tend(self, line: Line, take: Take) -> None:
        """Ask for our mail; leave a relay that will not tell us of it."""
        # First all wraps: a text that came by both protocols is taken from its wrap.
        await self._ask_for_mail(line, take, kind=WRAP, back_s=_WRAPS_BACK_S)
        await self._ask_for_mail(line, take, kind=OLD_MESSAGE, back_s=_OLD_MESSAGES_BACK_S)
        while True:
            await self._clock.sleep(self._patience.deaf_s)
            if line.is_deaf:
                await line.close()

    async def _ask_for_mail(self, line: Line, take: Take, *, kind: int, back_s: int) -> None:
        """Subscribe, and ask for what is older than the oldest that came.

        A relay gives only so many stored events at once, the newest ones (strfry: 500).
        """
        since_s = self._clock.now_ms() // 1000 - back_s
        wanted = {"kinds": [kind], "#p": [self._signer.pubkey], "since": since_s}
        oldest_s = await line.subscribe(f"mail{kind}", wanted)
        while oldest_s is not None and oldest_s > since_s:
            older = await line.ask({**wanted, "until": oldest_s})
            for event in older:
                await take(event)
            dates = [event.get("created_at") for event in older]
            oldest_s = min((at_s for at_s in dates if _is_before(at_s, oldest_s)), default=None)


class Visitor:
    """Goes to relays that others named, and to none inside our own network."""

    def __init__(
        self,
        *,
        names: Names,
        signer: Signer,
        clock: Clock,
        patience: Patience,
        may_call: Callable[[str], bool],
    ) -> None:
        """`may_call` tells whether an address, given as a number, may be called."""
        self._names = names
        self._signer = signer
        self._clock = clock
        self._patience = patience
        self._may_call = may_call

    async def publish(self, url: str, event: Event) -> Verdict:
        """Offer an event there."""
        try:
            async with asyncio.timeout(self._patience.connect_s + 2 * self._patience.answer_s):
                return await self._visit(yarl.URL(url), event)
        except TimeoutError:
            return Unheard("the relay takes too long")
        except (aiohttp.ClientError, OSError, ValueError) as fault:  # ValueError: no address
            return Unheard(f"cannot connect: {type(fault).__name__}")

    async def _visit(self, url: yarl.URL, event: Event) -> Verdict:
        addresses = await self._names.addresses_of(url.host or "", url.port or 443)
        if not all(self._may_call(address) for address in addresses):
            return Unheard("its host is none to call")
        async with aiohttp.ClientSession(
            connector=_pinned(addresses), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            socket = await _connect(session, str(url), self._patience)
            line = _line(socket, str(url), self._signer, self._clock, self._patience)
            reading = asyncio.create_task(line.read(_ignore))
            try:
                return await line.publish(event)
            finally:
                await line.close()
                await reading


async def look_up(
    url: str,
    wanted: Json,
    *,
    session: aiohttp.ClientSession,
    signer: Signer,
    clock: Clock,
    patience: Patience,
) -> list[Json]:
    """What a relay of ours has of this kind. Raises TimeoutError, ClientError, OSError."""
    line = _line(await _connect(session, url, patience), url, signer, clock, patience)
    reading = asyncio.create_task(line.read(_ignore))
    try:
        return await line.ask(wanted)
    finally:
        await line.close()
        await reading


def _pinned(addresses: Sequence[str]) -> aiohttp.TCPConnector:
    pinned = Pinned(addresses)
    # The socket is guarded as well, for aiohttp follows redirects and resolves no numbers.
    return aiohttp.TCPConnector(
        resolver=pinned, use_dns_cache=False, force_close=True, socket_factory=pinned.open_socket
    )


def _is_before(at_s: object, than_s: int) -> TypeGuard[int]:
    return isinstance(at_s, int) and at_s < than_s


async def _connect(
    session: aiohttp.ClientSession, url: str, patience: Patience
) -> aiohttp.ClientWebSocketResponse:
    async with asyncio.timeout(patience.connect_s):
        return await session.ws_connect(
            url,
            heartbeat=patience.ping_s,
            max_msg_size=FRAME_BYTES_MAX,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )


def _line(
    socket: aiohttp.ClientWebSocketResponse,
    url: str,
    signer: Signer,
    clock: Clock,
    patience: Patience,
) -> Line:
    return Line(socket, url=url, signer=signer, clock=clock, answer_s=patience.answer_s)


async def _ignore(_event: dict[str, Any]) -> None:
    """We came to bring something."""
