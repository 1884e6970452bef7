"""The gate: whether this process takes in new money and new work, and whether it is ready.

The gate closes for good when the process is told to stop, and for new money whenever the intake is
closed. Readiness is looked at in the background, so that asking for it is instant and costs an
outside party nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from core.agents.port import Agent
from core.books import settings
from core.loops.intake import Intake, Reason
from core.loops.supervisor import Supervisor
from core.store.port import Store
from core.values.clock import Clock
from core.values.errors import DatabaseUnavailable, ShuttingDown, WalletUnavailable
from core.wallets.port import Wallet

LOOK_S = 10.0
LOOK_AGAIN_S = 1.0  # while somebody is not ready

_SERVES: Mapping[str, str] = {"settler": "wallet", "reconciler": "wallet", "worker": "model"}
_SHOWN_AS: Mapping[Reason, str] = {"start": "wallet", "wallet": "wallet", "books": "database"}

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Gate:
    """Open until the process is told to stop."""

    intake: Intake = field(default_factory=Intake)
    is_draining: bool = False

    def check(self) -> None:
        """Raise where nothing new is begun, be it free or money that goes back.

        That is ShuttingDown, and before the books were compared with the wallet WalletUnavailable.
        """
        if self.is_draining:
            raise ShuttingDown("draining")
        self.intake.check_started()

    def check_intake(self) -> None:
        """Raise ShuttingDown, Paused or WalletUnavailable where no new money is taken."""
        self.check()
        self.intake.check()

    def close(self) -> None:
        """Take nothing new from now on."""
        self.is_draining = True


@dataclass(eq=False)
class Health:
    """What of the outside was ready when it was last looked at."""

    store: Store
    wallet: Wallet
    agent: Agent
    clock: Clock
    gate: Gate
    supervisor: Supervisor
    doors: dict[str, Callable[[], bool]] = field(default_factory=dict)  # whether each is served
    away_since_ms: dict[str, int] = field(default_factory=dict)  # by who did not answer
    _not_ready: frozenset[str] = field(default=frozenset({"database", "wallet", "model"}))

    async def run(self) -> None:
        """Look, for ever; sooner again while somebody is not ready."""
        while True:
            database, wallet, model = await asyncio.gather(
                self._database(), self._wallet(), self._model()
            )
            found = {"database": database, "wallet": wallet, "model": model}
            not_ready = frozenset(name for name, is_ready in found.items() if not is_ready)
            if not_ready != self._not_ready:
                log.info("readiness changed", not_ready=sorted(not_ready))
            self._not_ready = not_ready
            self._note_absences(not_ready | self._closed_doors())
            await self.clock.sleep(LOOK_AGAIN_S if not_ready else LOOK_S)

    def not_ready(self) -> list[str]:
        """Who is not ready: database, wallet, model, telegram, nostr, draining.

        A loop that is down counts as the one whom it serves. A wallet that holds too little, and
        books that do not balance, are not ready; a pause of the operator's is no fault.
        """
        down = {_SERVES.get(loop, "database") for loop in self.supervisor.down}
        names = set(self._not_ready | down | self._closed_doors())
        names |= {_SHOWN_AS[reason] for reason in self.gate.intake.reasons if reason in _SHOWN_AS}
        if self.gate.is_draining:
            names.add("draining")
        return sorted(names)

    def _closed_doors(self) -> frozenset[str]:
        return frozenset(name for name, is_served in self.doors.items() if not is_served())

    def _note_absences(self, names: frozenset[str]) -> None:
        now_ms = self.clock.now_ms()
        self.away_since_ms = {name: self.away_since_ms.get(name, now_ms) for name in names}

    async def _database(self) -> bool:
        try:
            await self.store.read(settings.get, "secret_check")
        except DatabaseUnavailable:
            return False
        return True

    async def _wallet(self) -> bool:
        try:
            await self.wallet.balance()
        except WalletUnavailable:
            return False
        return True

    async def _model(self) -> bool:
        return await self.agent.ready()
