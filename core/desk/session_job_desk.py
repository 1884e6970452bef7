"""The desk for jobs that a session pays: no invoices, no job token, what is due comes back."""

from dataclasses import dataclass
from functools import partial

from core.books import allowances, jobs, session_jobs
from core.books.credentials import Bearer
from core.books.job_rows import NewJob
from core.books.jobs import Job
from core.desk.answers import AnswerBook, Keep
from core.desk.job_desk import JobDesk, JobOrder
from core.desk.session_desk import own
from core.desk.till import Till
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.ids import new_id
from core.values.terms import JobTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionJobDesk:
    """Opens, lists and accepts jobs of a session."""

    store: Store
    till: Till
    clock: Clock
    answers: AnswerBook
    jobs: JobDesk
    terms: JobTerms

    async def request_job(
        self,
        session_id: str,
        bearer: Bearer,
        order: JobOrder,
        *,
        client: str,
        keep: Keep[Job] | None = None,
    ) -> Job:
        """Open a job; its evaluation fee is paid from the balance.

        Raises Unauthorized, NotFound, Forbidden, InvalidRequest, WrongState, RateLimited,
        PaymentRequired, WalletUnavailable, QueueFull, ShuttingDown.
        """
        own_id = await self.store.read(own, session_id, bearer, "spend")
        self.jobs.check_fields(order)
        new = NewJob(
            job_id=new_id("job"),
            token_id=bearer.token.token_id,
            client=client,
            request=order.request,
            metadata=order.metadata,
            model_id=self.jobs.model.id,
            max_price_sats=order.max_price_sats,
            eval_fee=self.terms.eval_fee,
            wait_until_ms=0,
            session_id=own_id,
            caveats=bearer.token.caveats.texts,
        )

        attempt = partial(self._open, new=new, bearer=bearer, keep=keep)
        return await self.till.sell(attempt, bearer, client=client)

    async def check(self, job_id: str, bearer: Bearer) -> None:
        """Raise Unauthorized, NotFound or Forbidden where this is no job to spend on."""
        await self.store.read(session_jobs.own_job, job_id, bearer)

    async def accept(
        self, job_id: str, bearer: Bearer, *, client: str, keep: Keep[Job] | None = None
    ) -> Job:
        """Pay the quoted work from the job's own session.

        Raises Unauthorized, NotFound, Forbidden, WrongState, RateLimited, PaymentRequired,
        InvalidRequest, WalletUnavailable, ShuttingDown.
        """
        attempt = partial(self._accept, job_id=job_id, bearer=bearer, keep=keep)
        return await self.till.sell(attempt, bearer, client=client)

    async def list_jobs(
        self, session_id: str, bearer: Bearer, *, before: tuple[int, str] | None, limit: int
    ) -> list[Job]:
        """A session's jobs, newest first. Raises Unauthorized, NotFound, Forbidden."""
        return await self.store.read(_list, session_id, bearer, before, limit)

    async def _open(self, tx: Tx, new: NewJob, bearer: Bearer, keep: Keep[Job] | None) -> Job:
        now_ms = self.clock.now_ms()
        if not new.eval_fee:
            await allowances.use_or_refuse(tx, self.jobs.free_evaluations, new.client, now_ms)
        job = await session_jobs.open_job(tx, new, bearer, now_ms=now_ms)
        await self.jobs.check_capacity(tx)
        await self.answers.keep(tx, keep, job, now_ms)
        return job

    async def _accept(self, tx: Tx, job_id: str, bearer: Bearer, keep: Keep[Job] | None) -> Job:
        now_ms = self.clock.now_ms()
        job = await session_jobs.accept(tx, job_id, bearer, self.terms, now_ms)
        await self.answers.keep(tx, keep, job, now_ms)
        return job


async def _list(
    tx: Tx, session_id: str, bearer: Bearer, before: tuple[int, str] | None, limit: int
) -> list[Job]:
    own_id = await own(tx, session_id, bearer, "read")
    return await jobs.of_session(tx, own_id, before=before, limit=limit)
