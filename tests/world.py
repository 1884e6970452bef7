"""A whole core on one database, between a fake wallet, a fake agent and a clock moved by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from core.app import Core, open_core
from core.books import job_rows, ledger, refunds
from core.books.audit import audit
from core.books.credentials import Bearer
from core.books.lifecycle import INTAKE
from core.books.refunds import Debt
from core.config import load
from core.desk.job_desk import JobOrder
from core.values.money import Msat
from core.values.tokens import to_bearer
from tests.conftest import Database
from tests.fakes import FakeAgent, FakeWallet
from tests.hand_clock import HandClock

ALICE, BOB = "192.0.2.1", "192.0.2.2"
REQUEST = "Sort these names."
EVAL_FEE_SATS = 21
PRICE_SATS = 15  # of 5 tokens in and 1,000 tokens out, as `tests.fakes.ACCEPTED` estimates
TTL_S, DEADLINE_S, LEASE_S = 86_400, 600, 15
LOOPS_THAT_SLEEP = 7  # pulse, sweep, tidy, health, reconciler, watchdog, audit
PATIENCE_S = 30.0


@dataclass(eq=False)
class World:
    """One running core, and what tests do with it."""

    core: Core
    wallet: FakeWallet
    agent: FakeAgent
    clock: HandClock
    tokens: dict[str, Bearer] = field(default_factory=dict)  # by the id of their job

    @property
    def jobs(self):
        return self.core.desk.jobs

    @property
    def store(self):
        return self.core.store

    @property
    def bulletin(self):
        return self.jobs.bulletin

    async def order(self, request=REQUEST, *, client=ALICE, **wishes):
        """A new job, and the token that moves its money."""
        opened = await self.jobs.request_job(JobOrder(request, **wishes), client=client)
        token = self.tokens[opened.job.job_id] = self.bearer(opened.token)
        return opened.job, token

    def bearer(self, token) -> Bearer:
        return self.core.desk.verify(to_bearer(token), None)

    async def evaluating(self, request=REQUEST):
        """A job whose evaluation is paid for."""
        job, _ = await self.order(request)
        self.wallet.pay(job.eval_invoice)
        return await self.becomes(job.job_id, "evaluating")

    async def quoted(self, request=REQUEST):
        """A job whose price is known."""
        job, _ = await self.order(request)
        self.wallet.pay(job.eval_invoice)
        return await self.becomes(job.job_id, "awaiting_work_payment")

    async def executing(self, request=REQUEST):
        """A job whose work is paid for."""
        job = await self.quoted(request)
        self.wallet.pay(job.work_invoice)
        return await self.becomes(job.job_id, "executing")

    async def becomes(self, job_id, state):
        """Wait until the job is, or has been, in this state; the job as it was then."""
        changes = self.jobs.job_changes(job_id, after_version=0)
        async with asyncio.timeout(PATIENCE_S), aclosing(changes):
            async for job in changes:
                if getattr(job, "state", None) == state:
                    return job
        raise AssertionError(f"the job ended without ever being {state}")

    async def view(self, job_id):
        return await self.jobs.job(job_id)

    async def record(self, job_id):
        return await self.store.read(job_rows.record, job_id)

    async def debt(self, job_id) -> Debt:
        rows = await self.store.read(refunds.of_account, job_id)
        house = sum(row.debt.house for row in rows)
        return Debt(Msat(house), Msat(sum(row.debt.own for row in rows)))

    async def revenue(self):
        return await self.store.read(ledger.house_balance, ledger.REVENUE)

    async def hears_of_debt(self, job_id) -> Debt:
        """Wait until something is owed back to this job."""
        with self.bulletin.listen(job_id) as news:
            while not (await self.debt(job_id)).total:
                assert await news.wait(PATIENCE_S)
        return await self.debt(job_id)

    async def given_back(self) -> None:
        """Wait until the steps that run have given their leases back."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self.core.worker._running)

    async def retried(self, *, after) -> None:
        """Let the time until the next try pass, after each of these calls of the agent."""
        for number in after:
            await self.agent.calls.reaches(number)
            await self.given_back()
            await self.pass_time(60)

    async def pass_time(self, seconds) -> None:
        """Let time pass for the loops, and have the worker look at what is due by then."""
        await self.clock.pass_time(seconds)
        self.bulletin.post([INTAKE])


@asynccontextmanager
async def opened(
    database: Database,
    *,
    wallet: FakeWallet | None = None,
    agent: FakeAgent | None = None,
    clock: HandClock | None = None,
    **settings: str,
) -> AsyncIterator[World]:
    """A core on this database, with these settings by their names; its books balance at the end."""
    clock = clock or HandClock()
    wallet, agent = wallet or FakeWallet(clock), agent or FakeAgent()
    settings |= {"SERVER__DATA_DIR": str(database.data_dir), "DATABASE__URL": database.url}
    config = load(None, {f"BOLTWORK_{name}": text for name, text in settings.items()})
    async with open_core(config, clock=clock, wallet=wallet, agent=agent) as core:
        await clock.rest(LOOPS_THAT_SLEEP)
        yield World(core, wallet, agent, clock)
        assert await core.store.read(audit) == []
