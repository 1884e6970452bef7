"""The worker: leases jobs that are due and takes their next step, many at a time.

A lease has a deadline and a heartbeat; when the process dies, the job is due again as soon as the
lease runs out. A heartbeat that finds the lease lost (the job was cancelled, say) stops the step.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from core.books import job_rows, lifecycle
from core.books.job_rows import Record
from core.loops.steps import Steps
from core.store.bulletin import Bulletin, News
from core.values.errors import DatabaseUnavailable, Unavailable

SLOTS = 64
LEASE_MS = 15_000
BEAT_S = 5.0
LOOK_S = 5.0  # another process may have made a job due without our hearing

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Worker:
    """One process's share of the work."""

    steps: Steps
    bulletin: Bulletin
    process_id: str
    beat_s: float = BEAT_S
    _running: dict[asyncio.Task[None], Record] = field(default_factory=dict)
    _slot_freed: asyncio.Event = field(default_factory=asyncio.Event)
    _leasing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _draining: bool = False

    async def run(self) -> None:
        """Work until drained, then idle."""
        with self.bulletin.listen(lifecycle.INTAKE) as news:
            while not self._draining:
                async with self._leasing:
                    await self._fill_slots()
                await self._wait(news)
        await asyncio.Event().wait()

    async def drain(self, grace_s: float) -> None:
        """Lease nothing more, let running steps end within the grace, give back the rest."""
        self._draining = True
        self._slot_freed.set()
        async with self._leasing:  # what is being leased at this moment becomes a step first
            pass
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        left = dict(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for job in left.values():
            await self._give_back(job)

    async def _give_back(self, job: Record) -> None:
        try:
            await self.steps.store.write(job_rows.retry_at, job, self.steps.clock.now_ms())
        except DatabaseUnavailable as fault:  # then the lease runs out by itself
            log.warning("lease not given back", job=job.job_id, reason=fault.reason)

    async def _fill_slots(self) -> None:
        free = SLOTS - len(self._running)
        now_ms = self.steps.clock.now_ms()
        due_ms = await self.steps.store.read(job_rows.next_due_ms)
        if free <= 0 or due_ms is None or due_ms > now_ms:
            return
        leased = await self.steps.store.write(
            job_rows.lease_due,
            self.process_id,
            now_ms=now_ms,
            until_ms=now_ms + LEASE_MS,
            limit=free,
        )
        for job in leased:
            task = asyncio.create_task(self._serve(job), name=job.job_id)
            self._running[task] = job
            task.add_done_callback(self._free_slot)

    async def _wait(self, news: News) -> None:
        """Wait for news, for a free slot, or for the next job's time."""
        due_ms = await self.steps.store.read(job_rows.next_due_ms)
        wait_s = LOOK_S
        if due_ms is not None and len(self._running) < SLOTS:
            wait_s = min(LOOK_S, max(0.0, (due_ms - self.steps.clock.now_ms()) / 1000))
        self._slot_freed.clear()
        await news.wait_beside(self._slot_freed, wait_s)

    def _free_slot(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._slot_freed.set()

    async def _serve(self, job: Record) -> None:
        """Take one step, with a heartbeat beside it."""
        step = asyncio.create_task(self.steps.advance(job))
        beat = asyncio.create_task(self._beat_until_lost(job))
        try:
            await asyncio.wait([step, beat], return_when=asyncio.FIRST_COMPLETED)
            if step.done():
                step.result()
        except Unavailable as fault:  # the job is due again when its lease has run out
            log.warning("step not finished", job=job.job_id, reason=fault.reason)
        except Exception:  # our own mistake in one job must not stop the others
            log.exception("step died", job=job.job_id)
        finally:
            step.cancel()
            beat.cancel()
            await asyncio.gather(step, beat, return_exceptions=True)

    async def _beat_until_lost(self, job: Record) -> None:
        with self.bulletin.listen(job.job_id) as news:
            while True:
                await news.wait(self.beat_s)
                until_ms = self.steps.clock.now_ms() + LEASE_MS
                try:
                    is_ours = await self.steps.store.write(job_rows.beat, job, until_ms)
                except DatabaseUnavailable:  # a lease outlives some missed beats, and so does work
                    continue
                if not is_ours:
                    return
