"""The desk for jobs: pay for one piece of work.

A method checks what can be checked without money, makes the foreign call that is needed, and then
writes one transaction. What it returns has been committed.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from core.agents.port import Model
from core.books import (
    allowances,
    invoices,
    job_rows,
    jobs,
    lifecycle,
    refund_orders,
    session_jobs,
)
from core.books.allowances import Allowance
from core.books.credentials import Bearer
from core.books.invoices import Invoice, Purpose
from core.books.job_rows import NewJob, Record
from core.books.jobs import Job
from core.desk.answers import AnswerBook, Keep
from core.gate import Gate
from core.loops.live import Live, Watcher, WorkDelta
from core.store.bulletin import Bulletin, News
from core.store.port import Store, Tx
from core.values import pricing
from core.values.clock import Clock
from core.values.destinations import ToAddress, parse_address
from core.values.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    PriceAboveMaximum,
    QueueFull,
    RateLimited,
    WrongState,
)
from core.values.ids import new_id
from core.values.money import Msat, from_sats
from core.values.pricing import Pricing
from core.values.states import is_final
from core.values.terms import JobTerms
from core.values.tokens import JOB_HASH, Identifier, TokenKeys, mint, new_token_id
from core.wallets.port import Wallet, WalletInvoice

DUE_MAX = 1_000  # jobs that may wait for a worker or have one


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What a customer asks for. What becomes due of the job goes to `refund_to` by itself."""

    request: str
    max_price_sats: int | None = None
    metadata: Mapping[str, str] | None = None
    refund_to: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedJob:
    """A job that was opened, and the token that moves its money, shown this once."""

    job: Job
    token: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDesk:
    """Opens, shows, follows and cancels jobs."""

    store: Store
    bulletin: Bulletin
    wallet: Wallet
    live: Live
    clock: Clock
    gate: Gate
    answers: AnswerBook
    token_keys: TokenKeys
    terms: JobTerms
    pricing: Pricing
    model: Model
    open_invoices_per_client: int  # 0 is no limit
    free_evaluations: Allowance
    insecure_hosts: tuple[str, ...]

    async def request_job(
        self, order: JobOrder, *, client: str, keep: Keep[OpenedJob] | None = None
    ) -> OpenedJob:
        """Open a job with the invoice of its evaluation.

        Raises InvalidRequest, PriceAboveMaximum, RateLimited, WalletUnavailable, QueueFull,
        ShuttingDown.
        """
        self.check_fields(order)
        refund_to = self._refund_address(order)
        if order.max_price_sats is not None and order.max_price_sats < self.pricing.min_sats:
            raise PriceAboveMaximum(f"No work costs less than {self.pricing.min_sats} sats.")
        token = Identifier(JOB_HASH, new_token_id())
        new = NewJob(
            job_id=new_id("job"),
            token_id=token.token_id,
            client=client,
            request=order.request,
            metadata=order.metadata,
            model_id=self.model.id,
            max_price_sats=order.max_price_sats,
            eval_fee=self.terms.eval_fee,
            wait_until_ms=self.clock.now_ms() + self.terms.unpaid_ttl_ms,
        )
        made = None
        if new.eval_fee:
            await self.store.read(self._refuse_a_crowd, client)
            made = await self._create_invoice(
                new.job_id, "eval", new.eval_fee, token_id=new.token_id
            )
        opening = _Opening(new, made, refund_to, mint(self.token_keys, token))
        return await self.store.write(self._open, opening, keep)

    async def job(self, job_id: str) -> Job:
        """A job as its customer sees it. Raises NotFound."""
        return await self.store.read(jobs.view, job_id)

    async def wait_job(self, job_id: str, *, not_state: str | None, wait_s: float) -> Job:
        """The job as soon as its state is another, it has ended, or the time is over.

        Without `not_state`: as soon as the state is not what it was at the call. Raises NotFound.
        """
        ends = self.clock.monotonic() + wait_s
        with self.bulletin.listen(job_id) as news:
            job = await self.job(job_id)
            old = job.state if not_state is None else not_state
            while job.state == old and not is_final(job.state):
                left_s = ends - self.clock.monotonic()
                if left_s <= 0 or not await news.wait(left_s):
                    break
                job = await self.job(job_id)
        return job

    async def job_changes(
        self, job_id: str, *, after_version: int | None
    ) -> AsyncGenerator[Job | WorkDelta, None]:
        """Every version of a job after this one, and live text between them, until it has ended.

        Without `after_version` the first is the job as it is. Raises NotFound.
        """
        with self.bulletin.listen(job_id) as news, self.live.watch(job_id) as watcher:
            job = await self.job(job_id)
            seen = job.version - 1 if after_version is None else min(after_version, job.version)
            while True:
                for job in await self.store.read(jobs.versions_after, job_id, seen):
                    seen = job.version
                    yield job
                if is_final(job.state):
                    return
                async with aclosing(_pieces_until(news, watcher)) as pieces:
                    async for piece in pieces:
                        yield piece

    async def own_job(self, job_id: str, bearer: Bearer) -> Record:
        """The job that this token belongs to, its own or that of its session, to spend on.

        Raises NotFound for any other job, Unauthorized, Forbidden.
        """
        job = await self.store.read(job_rows.record, job_id)
        if job.session_id is not None:
            return await self.store.read(session_jobs.own_job, job_id, bearer)
        if not hmac.compare_digest(job.token_id, bearer.token.token_id):
            raise NotFound
        if not bearer.token.caveats.allows("spend"):
            raise Forbidden("The token lacks the right to spend.")
        return job

    async def renew_invoice(
        self, job_id: str, bearer: Bearer, *, client: str, keep: Keep[Invoice] | None = None
    ) -> Invoice:
        """A fresh invoice for what the job waits for, at the same price; the old stays watched.

        Raises NotFound, Forbidden, WrongState, RateLimited, WalletUnavailable, ShuttingDown.
        """
        job = await self.own_job(job_id, bearer)
        purpose, amount = _awaited(job)
        await self.store.read(self._refuse_too_many, client)
        self.gate.check_intake()
        made = await self._create_invoice(job_id, purpose, amount, token_id=job.token_id)
        return await self.store.write(
            self._add_invoice, job, made, purpose=purpose, client=client, keep=keep
        )

    async def cancel_job(
        self, job_id: str, bearer: Bearer, *, keep: Keep[Job] | None = None
    ) -> Job:
        """End a job at its customer's wish; again is no change.

        Raises NotFound, Forbidden, WrongState.
        """
        await self.own_job(job_id, bearer)
        return await self.store.write(self._cancel, job_id, keep)

    def check_fields(self, order: JobOrder) -> None:
        """Raise InvalidRequest where the request is more than the model can take."""
        if pricing.estimated_tokens(order.request) > self.model.context_tokens:
            raise InvalidRequest("The request is too long for the model.", pointer="/request")

    async def check_capacity(self, tx: Tx) -> None:
        """Raise QueueFull or ShuttingDown where no more work is taken in.

        Asked last: what the customer can cure comes first, and what was written so far goes.
        """
        self.gate.check_intake()
        if await job_rows.count_due(tx, DUE_MAX) >= DUE_MAX:
            raise QueueFull("too many jobs wait for a worker")

    def _refund_address(self, order: JobOrder) -> ToAddress | None:
        if order.refund_to is None:
            return None
        return parse_address(
            order.refund_to, insecure_hosts=self.insecure_hosts, pointer="/refundTo"
        )

    async def _open(self, tx: Tx, opening: "_Opening", keep: Keep[OpenedJob] | None) -> OpenedJob:
        now_ms = self.clock.now_ms()
        new, made, invoice = opening.new, opening.invoice, None
        if made is None:
            await allowances.use_or_refuse(tx, self.free_evaluations, new.client, now_ms)
            await self.check_capacity(tx)
        else:
            await self._refuse_a_crowd(tx, new.client)
            invoice = invoices.fresh(made, new.job_id, "eval", now_ms)
        job = await lifecycle.open_job(tx, new, invoice, now_ms=now_ms)
        if opening.refund_to is not None:
            await refund_orders.add(tx, new.job_id, opening.refund_to.text)
        opened = OpenedJob(job, opening.token)
        await self.answers.keep(tx, keep, opened, now_ms)
        return opened

    async def _add_invoice(
        self,
        tx: Tx,
        seen: Record,
        made: WalletInvoice,
        *,
        purpose: Purpose,
        client: str,
        keep: Keep[Invoice] | None,
    ) -> Invoice:
        now_ms = self.clock.now_ms()
        job = await job_rows.record(tx, seen.job_id)
        if job.state != seen.state:
            raise WrongState(f"The job is {job.state} by now; nothing is to be paid.")
        await self._refuse_too_many(tx, client)
        invoice = invoices.fresh(made, job.job_id, purpose, now_ms)
        await invoices.add(tx, invoice, client=client)
        await jobs.new_version(tx, job.job_id, now_ms)
        await self.answers.keep(tx, keep, invoice, now_ms)
        return invoice

    async def _cancel(self, tx: Tx, job_id: str, keep: Keep[Job] | None) -> Job:
        now_ms = self.clock.now_ms()
        job = await lifecycle.cancel(tx, job_id, self.terms, now_ms)
        await self.answers.keep(tx, keep, job, now_ms)
        return job

    async def _refuse_a_crowd(self, tx: Tx, client: str) -> None:
        """Asked before the wallet is called, and again after it: many may call at once."""
        await self._refuse_too_many(tx, client)
        await self.check_capacity(tx)

    async def _refuse_too_many(self, tx: Tx, client: str) -> None:
        limit = self.open_invoices_per_client
        if limit and await invoices.count_open(tx, client, self.clock.now_ms()) >= limit:
            raise RateLimited(
                "Too many of your invoices are open; pay or cancel some first.", retry_after_s=60
            )

    async def _create_invoice(
        self, job_id: str, purpose: Purpose, amount: Msat, *, token_id: bytes
    ) -> WalletInvoice:
        """An invoice that names at the wallet whose it is, should these books be lost."""
        return await self.wallet.create_invoice(
            amount,
            memo="Evaluation" if purpose == "eval" else "Work",
            expiry_s=self.terms.invoice_expiry_s,
            extra={"kind": purpose, "job": job_id, "token": token_id.hex()},
        )


@dataclass(frozen=True, slots=True)
class _Opening:
    """Everything that a new job is opened with."""

    new: NewJob
    invoice: WalletInvoice | None
    refund_to: ToAddress | None
    token: bytes


def _awaited(job: Record) -> tuple[Purpose, Msat]:
    """What the job waits for. Raises WrongState."""
    if job.session_id is not None:
        raise WrongState("A session's job is paid from its balance, without invoices.")
    if job.state == "awaiting_eval_payment":
        return "eval", job.eval_fee
    if job.state == "awaiting_work_payment":
        assert job.price_sats is not None, "a job that waits for the work's payment has a price"
        return "work", from_sats(job.price_sats)
    raise WrongState(f"A job that is {job.state} has nothing to be paid.")


async def _pieces_until(news: News, watcher: Watcher) -> AsyncGenerator[WorkDelta, None]:
    """Live text as it comes, until there is news of the job itself."""
    heard = asyncio.ensure_future(news.wait(None))
    piece = asyncio.ensure_future(watcher.next())
    try:
        while True:
            await asyncio.wait([heard, piece], return_when=asyncio.FIRST_COMPLETED)
            if piece.done():
                yield piece.result()
                piece = asyncio.ensure_future(watcher.next())
            elif heard.done():
                return
    finally:
        heard.cancel()
        piece.cancel()
        await asyncio.gather(heard, piece, return_exceptions=True)
