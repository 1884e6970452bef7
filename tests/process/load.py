"""Mixed load: customers who order, pay, watch, repeat themselves and change their minds.

The server may die under them at any moment. An order is sent until it is answered; who is cut off
later gives up. What was told stays true: `Load.verify` and `Load.end_all` hold the server to it.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.process.customer import COME_BACK, Customer
from tests.process.server import eventually
from tests.process.world import StubWorld, World

AT_ONCE = 8


class Load:
    """Customers who come and go while `running`; all of them are remembered."""

    def __init__(self, world: World | StubWorld, *, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self.customers: list[Customer] = []
        self._verified = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Customers come while the block runs; at its end they are where they are."""
        tasks = [asyncio.create_task(self._come_and_go()) for _ in range(AT_ONCE)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    @property
    def acknowledged(self) -> list[Customer]:
        """Those whose order was answered."""
        return [customer for customer in self.customers if customer.opened is not None]

    async def grow_by(self, orders: int) -> None:
        """Wait until so many more orders are acknowledged."""
        goal = len(self.acknowledged) + orders
        await eventually(lambda: len(self.acknowledged) >= goal)

    async def verify(self) -> None:
        """Everything said to those who came since the last look is still so."""
        fresh, self._verified = self.customers[self._verified :], len(self.customers)
        for customer in fresh:
            if customer.opened is not None:
                await customer.order()
                await customer.look()

    async def end_all(self) -> None:
        """Every job comes to its end; an order that was cut off is sent again."""
        await asyncio.gather(*(customer.see_it_through() for customer in self.customers))

    async def _come_and_go(self) -> None:
        while True:
            customer = Customer(self._world.program, self._world.pay)
            self.customers.append(customer)
            while customer.opened is None:
                try:
                    await customer.order()
                    await self._live(customer)
                except aiohttp.ClientError:
                    await asyncio.sleep(0.2)  # the server is gone

    async def _live(self, customer: Customer) -> None:
        """One customer's life after the order, as the dice fall."""
        if self._happens(0.2):
            await customer.order()
        if self._happens(0.1):
            return
        watcher = self._watcher(customer)
        try:
            await self._pay(customer, "awaiting_eval_payment")
            if self._happens(0.1):
                await self._cancel(customer)
            job = await customer.reach("awaiting_work_payment", "rejected", "failed")
            if job["state"] != "awaiting_work_payment" or self._happens(0.1):
                return
            await self._pay(customer, "awaiting_work_payment")
            if self._happens(0.1):
                await self._cancel(customer)
            await customer.reach("complete", "failed")
        finally:
            if watcher is not None:
                await _end(watcher)

    def _happens(self, chance: float) -> bool:
        return self._random.random() < chance

    def _watcher(self, customer: Customer) -> asyncio.Task[None] | None:
        return asyncio.create_task(_watch(customer)) if self._happens(0.4) else None

    async def _pay(self, customer: Customer, state: str) -> None:
        """Pay, sometimes a renewed invoice, sometimes both."""
        if self._happens(0.2):
            if self._happens(0.3):
                await customer.pay_for(state)
            reply = await customer.program.post(
                f"/jobs/{customer.job_id}/invoice", **customer.credential
            )
            assert reply.status in {201, *COME_BACK}, reply.body
            if reply.status == 201:
                await customer.pay(reply.json()["paymentHash"])
                return
        job = await customer.look()
        if job["state"] == state:
            await customer.pay_for(state)

    async def _cancel(self, customer: Customer) -> None:
        reply = await customer.program.post(
            f"/jobs/{customer.job_id}/cancel", **customer.credential
        )
        assert reply.status in {200, 409}, reply.body
        if reply.status == 200:
            assert customer.remember(reply.json())["errorCode"] == "cancelled"


async def _end(watcher: asyncio.Task[None]) -> None:
    watcher.cancel()
    (outcome,) = await asyncio.gather(watcher, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome


async def _watch(customer: Customer) -> None:
    with contextlib.suppress(aiohttp.ClientError):
        async with customer.program.events(customer.job_id) as events:
            async for event in events:
                if event.name == "job":
                    customer.versions.setdefault(event.data["version"], event.data["state"])
                    assert customer.versions[event.data["version"]] == event.data["state"]
