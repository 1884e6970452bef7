"""A whole core whose wallet tells of no payment by itself, and whose clock the test moves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from core.app import Core
from core.books import credentials, invoices, sessions
from core.books.credentials import Bearer
from core.books.metering import Ask
from core.books.settlement import Payment
from core.desk.till import Challenge
from core.values.pricing import Prices
from core.values.tokens import attenuate, to_bearer
from core.wallets.port import LookUp, NotPaid, Settlement, Unknown
from tests.api.actors import MoodyWallet
from tests.hand_clock import HandClock

CLIENT, OTHER_CLIENT = "192.0.2.1", "192.0.2.2"

Mood = Literal["honest", "behind", "silent"]


class QuietWallet(MoodyWallet):
    """A stub wallet that must be asked; `moods` are its answers for single hashes."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mood: Mood = "honest"
        self.moods: dict[str, Mood] = {}
        self.made = 0
        self.looks = 0
        self.look_lasts_s = 0.0
        self.looked = asyncio.Event()

    async def create_invoice(self, *args, **kwargs):
        made = await super().create_invoice(*args, **kwargs)
        self.made += 1
        return made

    async def look_up(self, payment_hash: str) -> LookUp:
        self.looks += 1
        self.looked.set()
        self._clock.advance(self.look_lasts_s)
        match self.moods.get(payment_hash, self.mood):
            case "honest":
                return await super().look_up(payment_hash)
            case "behind":
                return NotPaid()
            case "silent":
                return Unknown("says the test")

    async def settlements(self) -> AsyncIterator[Settlement | None]:
        yield None
        await asyncio.Event().wait()

    def preimage_of(self, payment_hash: str) -> bytes:
        """What whoever pays this invoice gets from the network."""
        return bytes.fromhex(self._find(payment_hash)["preimage"])


@dataclass(frozen=True, slots=True)
class Counter:
    """A core, and the customers before its desk."""

    core: Core
    wallet: QuietWallet
    clock: HandClock

    @property
    def till(self):
        return self.core.desk.till

    async def open(self, amount_sats=1_000, *, client=CLIENT):
        """A session that nobody has paid yet: its root token and the invoice of its deposit."""
        opened = await self.core.desk.sessions.open_session(amount_sats, client=client)
        return self.bearer(opened.macaroon), opened.deposit_invoice

    async def fill(self, amount_sats=1_000):
        """The root token of a session with this much on it."""
        root, bill = await self.open(amount_sats)
        await self.wallet.pay(bill.payment_hash)
        await self.book(bill)
        return root

    async def spent_down(self):
        """The root token of a session that was active and has nothing left."""
        root = await self.fill(100)
        await self.spend(root, 100_000)
        return root

    async def book(self, bill):
        """The payment is heard of at last."""
        await self.till.settler.book(Payment(bill.payment_hash, bill.amount))

    def bearer(self, macaroon, preimage=None, *caveats) -> Bearer:
        for caveat in caveats:
            macaroon = attenuate(macaroon, caveat)
        return self.core.desk.verify(to_bearer(macaroon), preimage)

    def narrowed(self, bearer, *caveats) -> Bearer:
        """A copy of a token, narrowed offline."""
        return self.bearer(bearer.token.raw, bearer.preimage, *caveats)

    async def paid(self, challenge: Challenge) -> Bearer:
        """The credential that a challenge becomes when it is paid."""
        preimage = await self.wallet.pay(challenge.invoice.payment_hash)
        return self.bearer(challenge.macaroon, bytes.fromhex(preimage))

    async def ask(self, bearer, msat, *, client=CLIENT):
        """Hold exactly this much, at least the least that a request costs (1,000 msat)."""
        ask = Ask("offline", Prices(1_000, 0), body_bytes=msat, choices=1, wanted=1)
        return await self.core.desk.meter.hold(bearer, ask, client=client)

    async def spend(self, bearer, msat):
        hold = await self.ask(bearer, msat)
        return await self.core.desk.meter.charge(hold, hold.amount, ref="a request")

    async def session(self, bearer):
        standing = await self.core.store.read(credentials.standing, bearer)
        return await self.core.store.read(sessions.view, standing.session_id)

    async def bills_of(self, session_id):
        return await self.core.store.read(invoices.of_account, session_id)

    async def count(self, table):
        return await self.core.store.read(_count, table)


async def _count(tx, table):
    row = await tx.one(f"SELECT COUNT(*) AS n FROM {table}")
    return row["n"]
