"""The reconciler: compares the books with the wallet's own list, at the start and every hour.

Until the first comparison is whole, no money is taken: an older copy of the database may have been
restored, and what was paid out since then must not be spent again. How far the list was compared
stands in the database itself, so a restored copy knows by itself how far to go back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from core.books import reconcile, settings
from core.books.reconcile import Found
from core.loops.intake import Intake
from core.store.port import Store
from core.values.clock import Clock
from core.values.errors import WalletUnavailable
from core.values.terms import JobTerms
from core.wallets.port import Movement, Paid, Payer, Sent, Wallet

EVERY_S = 3_600.0
AGAIN_S = 5.0  # while the wallet cannot be compared with
OVERLAP_MS = 600_000  # the wallet's clock may be behind ours
YOUNG_MS = 60_000  # what is younger may have been booked before it was listed
ASKED_MAX = 100
BATCH = 100

COMPARED_TO = "reconciled_to_ms"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that only the operator can clear up."""

    what: str
    payment_hash: str


@dataclass(eq=False)
class Reconciler:
    """Books what the books lack, and tells of what does not fit."""

    store: Store
    wallet: Wallet
    payer: Payer | None
    intake: Intake
    clock: Clock
    terms: JobTerms
    alarms: tuple[Alarm, ...] = ()
    was_compared: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Compare, for ever; soon again where the wallet gave no whole list."""
        while True:
            try:
                await self.compare()
            except WalletUnavailable as fault:
                log.warning("wallet not compared", reason=fault.reason)
                await self.clock.sleep(AGAIN_S)
            else:
                self.intake.go_on("start")
                self.was_compared.set()
                await self.clock.sleep(EVERY_S)

    async def compare(self) -> None:
        """Compare once, in both directions. Raises WalletUnavailable."""
        began_ms = self.clock.now_ms()
        last_ms = int(await self.store.read(settings.get, COMPARED_TO) or 0)
        since_ms = max(0, min(last_ms, began_ms) - OVERLAP_MS)
        listed = await self.wallet.movements(since_ms=since_ms)
        alarms = [*await self._book(listed), *await self._not_listed(listed, last_ms, began_ms)]
        for alarm in alarms:
            if alarm not in self.alarms:
                log.error("wallet and books differ", what=alarm.what, hash=alarm.payment_hash)
        self.alarms = tuple(alarms)
        # What is not cleared up is looked at again the next time.
        if not any(alarm.what == _UNCOVERED for alarm in alarms):
            await self.store.write(settings.put, COMPARED_TO, str(began_ms))

    async def _book(self, listed: Sequence[Movement]) -> list[Alarm]:
        """Book what the books lack; what came in is booked before what went out."""
        holds = await self.wallet.balance()
        alarms = []
        in_order = sorted(listed, key=lambda moved: moved.direction)
        for start in range(0, len(in_order), BATCH):
            batch = in_order[start : start + BATCH]
            now_ms = self.clock.now_ms()
            found = await self.store.write(
                reconcile.book_all, batch, wallet_holds=holds, terms=self.terms, now_ms=now_ms
            )
            for what, moved in zip(found, batch, strict=True):
                if what != "known":
                    _tell(what, moved)
                if what in _ALARMS:
                    alarms.append(Alarm(_ALARMS[what], moved.payment_hash))
        return alarms

    async def _not_listed(
        self, listed: Sequence[Movement], since_ms: int, began_ms: int
    ) -> list[Alarm]:
        """What the books have booked meanwhile, and the wallet does not show."""
        shown = {moved.payment_hash for moved in listed}
        until_ms = began_ms - YOUNG_MS
        booked = await self.store.read(reconcile.booked, since_ms - YOUNG_MS, until_ms)
        missing = [name for name in booked if name.partition(":")[2] not in shown][:ASKED_MAX]
        absent = [name for name in missing if await self._is_absent(name)]
        return [Alarm(_NOT_SHOWN, name.partition(":")[2]) for name in absent]

    async def _is_absent(self, transfer_id: str) -> bool:
        """Whether the wallet, asked after this one payment, does not show it as settled."""
        kind, _, payment_hash = transfer_id.partition(":")
        if kind == "settle":
            return not isinstance(await self.wallet.look_up(payment_hash), Paid)
        if self.payer is None:
            return False
        return not isinstance(await self.payer.outcome(payment_hash), Sent)


_UNCOVERED = "paid out without an order, and what is left does not cover what customers are owed"
_NOT_SHOWN = "in the books, and the wallet does not show it"
_ALARMS: dict[Found, str] = {
    "uncovered": _UNCOVERED,
    "shortfall": "paid out for an account that did not hold it; the account is frozen",
}


def _tell(found: Found, moved: Movement) -> None:
    log.warning(
        "wallet knew more than the books",
        found=found,
        hash=moved.payment_hash,
        amount_msat=moved.amount,
    )
