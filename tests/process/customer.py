"""A customer with one job, who remembers everything that was said to her."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from core.values.states import is_final
from tests.process.server import Program, Reply
from tests.process.world import new_request

END_S = 60  # every job ends within this time after a start
FREE_S = 30  # and whatever a dead process had begun is free by then
COME_BACK = frozenset({409, 503})
_PURPOSES = {"awaiting_eval_payment": "evalInvoice", "awaiting_work_payment": "workInvoice"}

Pay = Callable[[str], Awaitable[None]]


@dataclass(eq=False)
class Customer:
    """One job from its order to its end; `pay` is how her wallet pays a hash, once."""

    program: Program
    pay: Pay
    request: str = field(default_factory=new_request)
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    opened: Reply | None = None
    job: dict[str, Any] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)

    @property
    def job_id(self) -> str:
        assert self.opened is not None
        return str(self.opened.json()["jobId"])

    @property
    def first_hash(self) -> str:
        """The payment hash of the invoice that came with the job."""
        assert self.opened is not None
        return str(self.opened.json()["evalInvoice"]["paymentHash"])

    @property
    def credential(self) -> dict[str, str]:
        """The header that moves the job's money."""
        assert self.opened is not None
        return {"Authorization": f"Bearer {self.opened.json()['jobToken']}"}

    def as_known_now(self) -> "Customer":
        """The same customer, who will not know what she is told from now on."""
        return replace(self, job=dict(self.job), versions=dict(self.versions))

    async def order(self, *, url: str | None = None) -> Reply:
        """Order, or order again under the same key: then the answer must be the same.

        While the first one still runs, or none can be taken, she comes back when she is told.
        """
        async with asyncio.timeout(FREE_S):
            reply = await self._order_once(url)
            while reply.status in COME_BACK:
                await asyncio.sleep(int(reply.headers["Retry-After"]))
                reply = await self._order_once(url)
        assert reply.status == 201, reply.body
        if self.opened is not None:
            assert reply.body == self.opened.body
            assert reply.headers["Idempotency-Replayed"] == "true"
        self.opened = reply
        return reply

    async def _order_once(self, url: str | None) -> Reply:
        return await self.program.ask(
            "POST",
            "/jobs",
            body={"request": self.request},
            headers={"Idempotency-Key": self.key},
            url=url,
        )

    async def look(self, query: str = "") -> dict[str, Any]:
        """Read the job; nothing that was said before may be untrue now."""
        reply = await self.program.get(f"/jobs/{self.job_id}{query}")
        assert reply.status == 200, reply.body
        return self.remember(reply.json())

    def remember(self, job: dict[str, Any]) -> dict[str, Any]:
        """Compare with what is known, and know it from now on."""
        said = self.versions.setdefault(job["version"], job["state"])
        assert said == job["state"], f"version {job['version']} was {said}, is {job['state']}"
        if self.job:
            assert job["version"] >= self.job["version"], "the job went back"
            if is_final(self.job["state"]):
                assert (job["state"], job["result"]) == (self.job["state"], self.job["result"])
        self.job = job
        return job

    async def reach(self, *states: str) -> dict[str, Any]:
        """Wait until the job is in one of these states."""
        async with asyncio.timeout(END_S):
            job = await self.look()
            while job["state"] not in states:
                job = await self.look(f"?wait=30&state={job['state']}")
        return job

    async def pay_for(self, state: str) -> None:
        """Pay what a job in this state waits for."""
        job = await self.reach(state)
        await self.pay(job[_PURPOSES[state]]["paymentHash"])

    async def be_quoted(self) -> None:
        """Order, pay the evaluation and get a price."""
        await self.order()
        await self.pay_for("awaiting_eval_payment")
        await self.reach("awaiting_work_payment")

    async def see_it_through(self) -> dict[str, Any]:
        """Order if that was not acknowledged, pay what is asked, and wait for the end."""
        await self.order()
        async with asyncio.timeout(END_S):
            while not is_final((job := await self.look())["state"]):
                if job["state"] in _PURPOSES:
                    await self.pay(job[_PURPOSES[job["state"]]]["paymentHash"])
                await self.look(f"?wait=30&state={job['state']}")
        return self.job
