"""The watchdog: takes no money while customers' money is not safe, and says so.

It compares what customers are owed with what the wallet holds, and audits the books part by part.
Both recover by themselves: the first good look lets the intake go on. The operator's own pause
stands in the database, so it outlives a restart and all processes heed it.
"""

from dataclasses import dataclass, field

import structlog

from core.books import audit, cover, settings
from core.books.audit import START, Fault, Place
from core.loops.intake import Intake
from core.store.port import Store
from core.values.clock import Clock
from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.port import Wallet

LOOK_S = 10.0
# A payment that arrives between the two questions looks like money that is missing, once.
SHORT_LOOKS = 3
AUDIT_S = 20.0
AUDIT_RESTS = 9  # after each part an audit rests this many times as long as it has worked
FAULTS_NAMED = 20

PAUSED = "paused"  # the setting that holds the reason of the operator's pause

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Balance:
    """What the watchdog has seen last."""

    owed: Msat
    to_hold: Msat
    wallet: Msat


@dataclass(eq=False)
class Watchdog:
    """Looks, and stops the intake."""

    store: Store
    wallet: Wallet
    intake: Intake
    clock: Clock
    seen: Balance | None = None
    faults: tuple[Fault, ...] = ()
    _short_looks: int = field(default=0)

    async def watch(self) -> None:
        """Look at the operator's pause and at the wallet, for ever."""
        while True:
            await self.heed_operator()
            await self.look_at_wallet()
            await self.clock.sleep(LOOK_S)

    async def audit(self) -> None:
        """Audit all books, again and again, in a tenth of the time at most."""
        while True:
            await self.audit_once()
            await self.clock.sleep(AUDIT_S)

    async def heed_operator(self) -> None:
        """Stop or go on as the operator has said last, at whatever process."""
        reason = await self.store.read(settings.get, PAUSED)
        if reason:
            self.intake.stop("operator", reason)
        else:
            self.intake.go_on("operator")

    async def look_at_wallet(self) -> None:
        """Stop where the wallet holds too little at several looks in a row."""
        try:
            balance = await self.wallet.balance()
        except WalletUnavailable:
            return  # nothing was said about the money; readiness tells of it
        owed = await self.store.read(cover.owed)
        self.seen = Balance(owed.total, owed.to_hold, balance)
        if balance >= owed.to_hold:
            self._short_looks = 0
            self.intake.go_on("wallet")
            return
        self._short_looks += 1
        if self._short_looks >= SHORT_LOOKS:
            self.intake.stop("wallet", _shortage(self.seen))

    async def audit_once(self) -> None:
        """Audit all books once; stop at the first fault, go on when there is none.

        It rests after each part, so that large books are read beside the work, not instead of it.
        """
        found: list[Fault] = []
        place: Place | None = START
        while place is not None:
            began_s = self.clock.monotonic()
            faults, place = await self.store.read(audit.audit_part, place)
            found += faults
            if found:
                self._note(found)
            rest_s = AUDIT_RESTS * (self.clock.monotonic() - began_s)
            if rest_s > 0:
                await self.clock.sleep(rest_s)
        self._note(found)

    def _note(self, found: list[Fault]) -> None:
        news = [fault for fault in found if fault not in self.faults][:FAULTS_NAMED]
        for fault in news:
            log.error("books are wrong", rule=fault.rule, where=fault.where)
        self.faults = tuple(found)
        if found:
            self.intake.stop("books", f"not so: {found[0].rule}: {found[0].where}")
        else:
            self.intake.go_on("books")


def _shortage(seen: Balance) -> str:
    return f"the wallet holds {seen.wallet} msat and must hold {seen.to_hold} msat for customers"
