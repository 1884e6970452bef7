"""The keeper: what must happen because time has passed.

Sweeps ask indexes that hold open rows only, so that a round costs microseconds whatever the size
of the books.
"""

import asyncio
from dataclasses import dataclass

import structlog

from core.books import (
    allowances,
    idempotency,
    invoices,
    job_rows,
    jobs,
    ledger,
    lifecycle,
    metering,
    processes,
    refund_orders,
    requests,
    sessions,
    settings,
)
from core.books.job_rows import Record
from core.loops.settle import Settler
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.states import ErrorCode
from core.values.terms import JobTerms
from core.wallets.port import NotPaid, Unknown

PULSE_S = 1.0
SWEEP_S = 1.0
TIDY_S = 60.0
BATCH = 100
JUMP_MS = 2_000  # the wall clock may drift this much from the monotonic one between two beats
PAUSE_S = 10.0  # before the wallet is asked again when it gave no answer
ONE_JUMP_MS = 10_000  # processes that see a jump within this time see the same one
POSTPONED_MS = 60_000  # nobody's job ends on an answer that the wallet did not give

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Keeper:
    """Keeps deadlines, waits and retention."""

    store: Store
    settler: Settler
    clock: Clock
    terms: JobTerms
    process_id: str

    def __post_init__(self) -> None:
        self._wall_ms = self.clock.now_ms()
        self._steady_s = self.clock.monotonic()
        self._looking = asyncio.Lock()

    async def pulse(self) -> None:
        """Give signs of life, and let no jump of the clock count as running time."""
        while True:
            await self.clock.sleep(PULSE_S)
            now_ms = await self._heed_jumps()
            await self.store.write(processes.see, self.process_id, now_ms)

    async def sweep(self) -> None:
        """End what has waited too long, and give back what a dead process held."""
        while True:
            await self._end_overdue()
            await self._void_stale_holds()
            answered = await self._end_waited_out()
            await self.clock.sleep(SWEEP_S if answered else PAUSE_S)

    async def tidy(self) -> None:
        """Forget what need not be kept."""
        while True:
            now_ms = self.clock.now_ms()
            await self.store.write(idempotency.forget_expired, now_ms)
            await self.store.write(allowances.forget_old, now_ms)
            await self.store.write(processes.bury_silent, self.process_id, now_ms)
            ended_before_ms = now_ms - self.terms.retention_ms
            for job_id in await self.store.read(job_rows.past_retention, ended_before_ms, BATCH):
                await self.store.write(_retire, job_id)
            await self.clock.sleep(TIDY_S)

    async def _heed_jumps(self) -> int:
        """The time; where the wall clock has jumped since the last look, deadlines jumped first."""
        async with self._looking:
            now_ms, now_s = self.clock.now_ms(), self.clock.monotonic()
            jump_ms = (now_ms - self._wall_ms) - int((now_s - self._steady_s) * 1000)
            if abs(jump_ms) > JUMP_MS:
                log.warning("clock jumped", by_ms=jump_ms)
                await self.store.write(_shift_once, jump_ms, now_ms)
            self._wall_ms, self._steady_s = now_ms, now_s
            return now_ms

    async def _end_overdue(self) -> None:
        now_ms = await self._heed_jumps()
        for job in await self.store.read(job_rows.overdue, now_ms, BATCH):
            await self._fail(job, "deadline_exceeded")

    async def _void_stale_holds(self) -> None:
        now_ms = self.clock.now_ms()
        stale = await self.store.read(ledger.stale_holds, now_ms, process_id=self.process_id)
        for hold_id in stale:
            await self.store.write(metering.release, hold_id, now_ms)
            log.warning("stale hold released", hold=hold_id)

    async def _end_waited_out(self) -> bool:
        """End jobs and sessions whose wait is over; False where the wallet gave no answer."""
        now_ms = self.clock.now_ms()
        for job in await self.store.read(job_rows.waited_out, now_ms, BATCH):
            match await self._is_unpaid(job.job_id):
                case True:
                    await self._fail(job, _END_OF_WAIT[job.state])
                case None:
                    later_ms = self.clock.now_ms() + POSTPONED_MS
                    await self.store.write(job_rows.postpone, job, later_ms)
                    return False
        for session_id in await self.store.read(sessions.waited_out, now_ms, BATCH):
            match await self._is_unpaid(session_id):
                case True:
                    await self.store.write(sessions.end_unpaid, session_id, now_ms)
                case None:
                    later_ms = self.clock.now_ms() + POSTPONED_MS
                    await self.store.write(sessions.wait_longer, session_id, later_ms)
                    return False
        return True

    async def _is_unpaid(self, account_id: str) -> bool | None:
        """Whether the wallet says, now, that no open invoice was paid; None where it does not say.

        Without an open invoice nobody can pay: a job that waits for the wallet itself has none.
        """
        bills = await self.store.read(invoices.of_account, account_id)
        answers = [
            await self.settler.ask(bill.payment_hash) for bill in bills if bill.state == "open"
        ]
        for answer in answers:
            if isinstance(answer, Unknown):
                log.warning("end of a wait put off", account=account_id, reason=answer.reason)
                return None
        return all(isinstance(answer, NotPaid) for answer in answers)

    async def _fail(self, job: Record, code: ErrorCode) -> None:
        now_ms = self.clock.now_ms()
        if await self.store.write(lifecycle.fail, job, code, self.terms, now_ms):
            log.info("job failed", job=job.job_id, code=code)


_END_OF_WAIT: dict[str, ErrorCode] = {
    "awaiting_eval_payment": "eval_unpaid",
    "evaluating": "evaluation_failed",
    "awaiting_work_payment": "quote_expired",
}


async def _shift_once(tx: Tx, jump_ms: int, now_ms: int) -> None:
    """Shift the jobs' times, unless another process of this machine has seen the same jump."""
    last_ms = await settings.get(tx, "clock_jumped_at_ms")
    if last_ms is None or abs(now_ms - int(last_ms)) > ONE_JUMP_MS:
        await job_rows.shift_times(tx, jump_ms)
        await settings.put(tx, "clock_jumped_at_ms", str(now_ms))


async def _retire(tx: Tx, job_id: str) -> None:
    """Forget a job's texts; one that was never paid goes whole."""
    await jobs.forget_versions(tx, job_id)
    await requests.forget_text(tx, job_id)
    if await ledger.has_entries(tx, job_id):
        await job_rows.forget_texts(tx, job_id)
        return
    await invoices.forget_of_account(tx, job_id)
    await refund_orders.forget(tx, job_id)
    await ledger.close_unused_account(tx, job_id)
    await job_rows.forget(tx, job_id)
