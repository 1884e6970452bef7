"""A wallet and an agent that wait for the test, so that a moment can be looked at."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.agents.port import Delta, Message, Model, Usage, Verdict
from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.port import WalletInvoice
from core.wallets.stub import StubWallet


class MoodyWallet(StubWallet):
    """A stub wallet that is slow or down when the test says so."""

    is_down = False

    def slow_down(self) -> tuple[asyncio.Event, asyncio.Event]:
        """From now on: tell with the first event that an invoice is wanted, wait for the second."""
        self._pace = (asyncio.Event(), asyncio.Event())
        return self._pace

    async def create_invoice(
        self, amount: Msat, *, memo: str, expiry_s: int, extra: Mapping[str, str]
    ) -> WalletInvoice:
        self._check()
        if hasattr(self, "_pace"):
            wanted, go_on = self._pace
            wanted.set()
            await go_on.wait()
        return await super().create_invoice(amount, memo=memo, expiry_s=expiry_s, extra=extra)

    async def balance(self) -> Msat:
        self._check()
        return await super().balance()

    def _check(self) -> None:
        if self.is_down:
            raise WalletUnavailable("down, says the test")


@dataclass(eq=False)
class PacedAgent:
    """Accepts everything, and works piece by piece as the test feeds it; None ends the work."""

    pieces: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)

    async def evaluate(self, model: Model, request: str) -> Verdict:
        return Verdict("accept", f"{model.id} can do it", request, 10)

    async def stream(
        self, _model: Model, _messages: Sequence[Message], *, max_output_tokens: int
    ) -> AsyncIterator[Delta | Usage]:
        while (piece := await self.pieces.get()) is not None:
            yield Delta(piece)
        yield Usage(10, max_output_tokens)

    async def ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass
