"""A wallet at a simulated LNbits, for the tests of the LNbits wallet."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from structlog.typing import EventDict

from core.wallets.lnbits import LnbitsWallet
from core.wallets.port import Settlement
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import FaultKind
from tests.wallets import contract
from tests.wallets.contract import World, caught_up, listening

NEVER_S = 3_600.0
SWIFT = 40
FAULTS: list[FaultKind] = [
    "reset",
    "lost_reply",
    "slow",
    "429",
    "500",
    "html",
    "truncated",
    "404",
]


class SwiftClock:
    """A clock on which a minute passes in one and a half seconds."""

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def monotonic(self) -> float:
        return time.monotonic() * SWIFT

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SWIFT)


@asynccontextmanager
async def wallet_at(sim: SimulatedLnbits, **more: Any) -> AsyncIterator[LnbitsWallet]:
    """A wallet whose rounds do not come by themselves, where nothing else is said."""
    settings: dict[str, Any] = {
        "url": sim.url,
        "invoice_key": sim.shop_key,
        "network": sim.books.network,
        "clock": SwiftClock(),
        "catch_up_s": NEVER_S,
        "timeout_s": 0.5,
    }
    wallet = LnbitsWallet(**{**settings, **more})
    try:
        yield wallet
    finally:
        await wallet.aclose()


@asynccontextmanager
async def world_at(sim: SimulatedLnbits, **more: Any) -> AsyncIterator[World]:
    async with wallet_at(sim, **more) as wallet:
        yield World(wallet, sim.books.network, lambda invoice: sim.pay(invoice.payment_hash))


class Lines:
    """What was logged, and a way to wait for it."""

    def __init__(self) -> None:
        self.entries: list[EventDict] = []
        self._news = asyncio.Event()

    def note(self, _: Any, __: str, entry: EventDict) -> EventDict:
        self._news.set()
        return entry

    def of_level(self, level: str) -> list[str]:
        return [entry["event"] for entry in self.entries if entry["log_level"] == level]

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(contract.PATIENCE_S):
            while len(self.entries) < count:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def pushed_to(
    world: World, sim: SimulatedLnbits
) -> AsyncIterator[AsyncIterator[Settlement | None]]:
    """A listener that has caught up and whose socket is open."""
    async with listening(world) as heard:
        await caught_up(heard)
        await sim.wait_for_calls("socket", 1)
        yield heard


@asynccontextmanager
async def waiting_for_news(
    heard: AsyncIterator[Settlement | None],
) -> AsyncIterator[asyncio.Future[Settlement | None]]:
    """The listener waits in the background meanwhile."""
    waiting = asyncio.ensure_future(anext(heard))
    yield waiting
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


def ordered(sim: SimulatedLnbits) -> str:
    """The hash of an invoice that somebody ordered at LNbits, not through the wallet."""
    shop = sim.books.shop
    return sim.books.invoice(
        shop, sats=1, memo="x", expiry_s=900, extra={}, webhook=None
    ).payment_hash


async def settle_old_ones(sim: SimulatedLnbits, count: int) -> None:
    """Payments of two days ago."""
    sim.books.clock_offset_s = -2 * 86_400
    for _ in range(count):
        await sim.settle(ordered(sim))
    sim.books.clock_offset_s = 0


async def first_of(heard: AsyncIterator[Settlement | None]) -> Settlement:
    while (news := await anext(heard)) is None:
        pass
    return news


async def until_caught_up(heard: AsyncIterator[Settlement | None]) -> AsyncIterator[Settlement]:
    while (news := await anext(heard)) is not None:
        yield news
