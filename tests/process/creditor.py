"""Somebody to whom money is owed, and who does not let go until it has come back, once.

A destination that was not acknowledged is named again. Where the debt is due after all, another
invoice is named: which of them is paid, the wallets' journals know.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.process.server import Program, Reply
from tests.process.spender import persist
from tests.process.world import new_request

BACK_S = 300  # a payout that a dead process has begun is another's after a while on PostgreSQL
BACK_SATS = 16  # what arrives of a debt of 21
FILLED_SATS, DRAWN_SATS = 1_000, 500

Pay = Callable[[str], Awaitable[None]]
MakeInvoice = Callable[[int], Awaitable[str]]


@dataclass(eq=False)
class Creditor:
    """A job that was cancelled and paid after that. `new_invoice` is of her own wallet."""

    program: Program
    pay: Pay
    new_invoice: MakeInvoice
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    path: str = ""
    token: str = ""
    named: list[str] = field(default_factory=list)  # her invoices, the newest last
    refunds: set[str] = field(default_factory=set)  # every id that she was ever shown
    sats: int = BACK_SATS

    async def become_one(self, **fields: Any) -> None:
        """Have money owed."""
        order = {"request": new_request(), **fields}
        opened = await self.insist("/jobs", order, key=self.key)
        self.path, self.token = f"/jobs/{opened['jobId']}/refund", opened["jobToken"]
        await self.insist(f"/jobs/{opened['jobId']}/cancel", None)
        await persist(lambda: self.pay(opened["evalInvoice"]["paymentHash"]))
        await self.hears_of(bool)

    async def name_one(self) -> str:
        """An invoice that she will be paid at."""
        self.named.append(await persist(lambda: self.new_invoice(self.sats)))
        return self.named[-1]

    async def ask(self, *, url: str | None = None) -> Reply:
        """Name the newest invoice; whoever is cut off does not know whether that was heard."""
        return await self.program.ask(
            "POST", self.path, body={"to": self.named[-1]}, headers=self.credential, url=url
        )

    async def be_paid(self) -> None:
        """Ask until it has arrived; every id that was ever shown is there all the time."""
        if not self.named:
            await self.name_one()
        async with asyncio.timeout(BACK_S):
            while not any(one["state"] == "paid" for one in await self.look()):
                if any(one["state"] == "due" for one in await self.look()):
                    await self._ask_again()
                await asyncio.sleep(0.1)
        await self.ids_still_stand()

    async def ids_still_stand(self) -> None:
        for refund_id in self.refunds:
            reply = await persist(lambda: self.get(f"/refunds/{refund_id}"))  # noqa: B023
            assert reply.status == 200, reply.body

    async def look(self) -> list[Any]:
        """What is owed, on its way or paid."""
        reply = await persist(lambda: self.get(self.path.removesuffix("/refund")))
        assert reply.status == 200, reply.body
        found = reply.json()["refunds"]
        self.refunds |= {one["refundId"] for one in found}
        return found

    async def hears_of(self, holds: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(BACK_S):
            while not holds(await self.look()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def get(self, path: str) -> Reply:
        return await self.program.ask("GET", path, headers=self.credential)

    @property
    def credential(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def insist(self, path: str, body: Any, *, key: str | None = None) -> Any:
        """The answer, however often the program dies before it comes."""
        headers = {"Idempotency-Key": key or secrets.token_hex(16), **self.credential}
        async with asyncio.timeout(BACK_S):
            while True:
                reply = await persist(
                    lambda: self.program.ask("POST", path, body=body, headers=headers)
                )
                if reply.status < 300:
                    return reply.json()
                assert reply.status in {409, 503}, reply.body
                await asyncio.sleep(0.2)

    async def _ask_again(self) -> None:
        """Name the newest invoice once more, or another where that one was used in vain."""
        reply = await persist(self.ask)
        if reply.status == 400:
            await self.name_one()
        else:
            assert reply.status in {202, 409, 503}, reply.body


@dataclass(eq=False)
class Drawer(Creditor):
    """A session that is withdrawn from."""

    sats: int = DRAWN_SATS

    async def become_one(self, **_fields: Any) -> None:
        opened = await self.insist("/sessions", {"amountSats": FILLED_SATS}, key=self.key)
        self.path, self.token = "/sessions/me/withdraw", opened["macaroon"]
        await persist(lambda: self.pay(opened["depositInvoice"]["paymentHash"]))
        async with asyncio.timeout(BACK_S):
            while (await self._session())["state"] != "active":  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def be_paid(self) -> None:
        """Ask until it is accepted, and wait until it has arrived."""
        if not self.named:
            await self.name_one()
        async with asyncio.timeout(BACK_S):
            while not any(one["state"] == "paid" for one in await self.look()):
                if all(one["state"] == "credited" for one in await self.look()):
                    await self._ask_again()
                await asyncio.sleep(0.1)
        await self.ids_still_stand()

    async def look(self) -> list[Any]:
        reply = await persist(lambda: self.get("/sessions/me/refunds"))
        assert reply.status == 200, reply.body
        found = reply.json()["items"]
        self.refunds |= {one["refundId"] for one in found}
        return found

    async def _session(self) -> Any:
        return (await persist(lambda: self.get("/sessions/me"))).json()


async def cut_off(call: Awaitable[Any]) -> None:
    """Send something whose answer a kill may cut off."""
    with contextlib.suppress(aiohttp.ClientError):
        await call
