"""A customer with a session, who sends each request under a key until it is answered."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from core.values.states import is_final
from tests.process.server import Reply, eventually
from tests.process.world import StubWorld, new_request

T = TypeVar("T")

FILLED_SATS = 100_000
EVAL_FEE_MSAT = 21_000
AT_ONCE = 48
RELEASED_S = 90  # on PostgreSQL other processes may live, so a dead one is missed a while later
ANSWERED_S = 60  # every request is answered within this time, whatever was killed meanwhile


@dataclass(eq=False)
class Spender:
    """One session from its opening on, and every answer by the key that it was asked under."""

    world: StubWorld
    at_once: asyncio.Semaphore  # how many requests of all spenders are under way
    token: str = ""
    asked: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, Reply] = field(default_factory=dict)

    async def live(self, requests: int) -> None:
        """Open a session, pay, and send so many requests at once: jobs and single answers."""
        opened = await self.insist("/sessions", {"amountSats": FILLED_SATS})
        self.token = opened.json()["macaroon"]
        await persist(lambda: self.world.pay(opened.json()["depositInvoice"]["paymentHash"]))
        paths = ["/sessions/me/jobs", "/sessions/me/request"]
        await asyncio.gather(*(self.ask(paths[n % 2]) for n in range(requests)))

    async def ask(self, path: str) -> Reply:
        """One request that the balance pays."""
        fields: dict[str, Any] = {"request": new_request()}
        if path.endswith("/jobs"):
            fields["maxPriceSats"] = 1_000
        return await self.insist(path, fields)

    async def insist(self, path: str, fields: dict[str, Any]) -> Reply:
        """Ask under a fresh key until there is an answer."""
        key = secrets.token_hex(16)
        self.asked[key] = path, fields
        self.answers[key] = await self.ask_under(key)
        return self.answers[key]

    async def ask_under(self, key: str) -> Reply:
        """Ask what this key stands for, again and again until there is an answer."""
        path, fields = self.asked[key]
        headers = {"Idempotency-Key": key, **self.credential(path)}
        async with self.at_once, asyncio.timeout(ANSWERED_S):
            while True:
                reply = await persist(
                    lambda: self.world.program.ask("POST", path, body=fields, headers=headers)
                )
                if reply.status in {200, 201}:
                    return reply
                # The dead process's claim of the key stands until it counts as dead.
                assert (reply.status, reply.json()["code"]) == (409, "request_in_progress")
                await asyncio.sleep(int(reply.headers["Retry-After"]))

    def credential(self, path: str) -> dict[str, str]:
        return {} if path == "/sessions" else {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str) -> Any:
        reply = await self.world.program.get(path, **self.credential(path))
        assert reply.status == 200, reply.body
        return reply.json()

    async def verify(self) -> None:
        """Everything that was answered is answered so again, and was charged once."""
        for key, answer in self.answers.items():
            again = await self.ask_under(key)
            assert (again.status, again.body) == (answer.status, answer.body)
            assert again.headers["Idempotency-Replayed"] == "true"
        ordered = [answer.json() for answer in self.of("/sessions/me/jobs")]
        ended = [await self.ended(job["jobId"]) for job in ordered]
        await eventually(self.is_unheld, within_s=RELEASED_S)
        await self.hold_to(ended)

    async def is_unheld(self) -> bool:
        """Whether nothing is set aside any more, not even by a process that is dead."""
        return (await self.get("/sessions/me"))["heldMsat"] == 0

    async def hold_to(self, ended: list[Any]) -> None:
        """The account shows these jobs and the answers, each once, and nothing else."""
        job_msat = [EVAL_FEE_MSAT + job["quote"]["priceSats"] * 1_000 for job in ended]
        answer_msat = [answer.json()["costMsat"] for answer in self.of("/sessions/me/request")]
        session = await self.get("/sessions/me")
        entries = await self.pages("/sessions/me/ledger")

        assert {job["state"] for job in ended} <= {"complete"}
        listed = {job["jobId"] for job in await self.pages("/sessions/me/jobs")}
        assert listed == {job["jobId"] for job in ended}
        assert session["depositedMsat"] == FILLED_SATS * 1_000
        assert session["spentMsat"] == sum(job_msat) + sum(answer_msat)
        assert session["balanceMsat"] == sum(entry["amountMsat"] for entry in entries)
        assert len(entries) == 1 + 2 * len(job_msat) + len(answer_msat)

    def of(self, path: str) -> list[Reply]:
        """The answers of this route."""
        return [self.answers[key] for key, (asked, _) in self.asked.items() if asked == path]

    async def ended(self, job_id: str) -> Any:
        """The job when it has ended."""
        async with asyncio.timeout(ANSWERED_S):
            job = await self.get(f"/jobs/{job_id}")
            while not is_final(job["state"]):
                job = await self.get(f"/jobs/{job_id}?wait=30&state={job['state']}")
        return job

    async def pages(self, path: str) -> list[Any]:
        """All items of a list."""
        items, cursor = [], ""
        while True:
            page = await self.get(f"{path}?limit=100{cursor}")
            items += page["items"]
            if page["nextCursor"] is None:
                return items
            cursor = f"&cursor={page['nextCursor']}"


async def persist(call: Callable[[], Awaitable[T]]) -> T:
    """What the call returns, as soon as the program lives long enough to answer."""
    while True:
        try:
            return await call()
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)  # the program is gone for a moment


async def spend_under_kills(world: StubWorld, *, sessions: int, requests: int, kills: int) -> None:
    """Many sessions spend at once, and the program is killed each time some more are served."""
    at_once = asyncio.Semaphore(AT_ONCE)
    spenders = [Spender(world, at_once) for _ in range(sessions)]
    total = sessions * (1 + requests)
    living = asyncio.gather(*(spender.live(requests) for spender in spenders))
    try:
        for kill in range(1, kills + 1):
            enough = total * kill // (kills + 1)
            await eventually(lambda: served(spenders) >= enough or living.done(), within_s=300)  # noqa: B023
            if living.done():
                await living
                raise AssertionError("all were served before the last kill")
            await world.program.restart()
        await living
    finally:
        living.cancel()
    await asyncio.gather(*(spender.verify() for spender in spenders))


def served(spenders: list[Spender]) -> int:
    return sum(len(spender.answers) for spender in spenders)
