"""Many creditors at once, and a program that is killed again and again at random moments."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.values.bolt11 import decode
from tests.process.creditor import Creditor, Drawer
from tests.process.world import StubWorld

AT_ONCE = 6


class Payback:
    """Creditors who come while `running`; each is paid in the end, once."""

    def __init__(self, world: StubWorld) -> None:
        self._world = world
        self._is_over = False
        self.creditors: list[Creditor] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Creditors come while the block runs; after it the last of them are waited for."""
        coming = [asyncio.create_task(self._come_and_go(number)) for number in range(AT_ONCE)]
        try:
            yield
            self._is_over = True
            await asyncio.gather(*coming)
        finally:
            for task in coming:
                task.cancel()

    def check(self) -> None:
        """Of each creditor's invoices exactly one was paid."""
        sent = {known for known, msat in self._world.outside().received.items() if msat < 0}
        for creditor in self.creditors:
            hashes = [decode(text).payment_hash for text in creditor.named]
            assert sum(payment_hash in sent for payment_hash in hashes) == 1, creditor.path

    async def _come_and_go(self, number: int) -> None:
        kind = Drawer if number % 2 else Creditor
        while not self._is_over:
            world = self._world
            creditor = kind(world.program, world.pay, world.new_invoice)
            self.creditors.append(creditor)
            await creditor.become_one()
            await creditor.be_paid()


async def pay_back_under_kills(world: StubWorld, *, kills: int, seed: int) -> None:
    """Kill at random moments; then everybody has been paid, once."""
    payback, dice = Payback(world), random.Random(seed)
    async with payback.running():
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.05, 1.0))  # the moment is the dice's
            await world.program.restart()
    payback.check()
