"""The steps of a job: evaluate it, and do its work.

A foreign call stands alone between two transactions. It is counted before it is made, and what
comes back is written only by whoever still has the lease: a late answer is thrown away.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from core.agents.port import Agent, AgentFault, BadVerdict, Delta, Message, Model, Usage, Verdict
from core.books import invoices, job_rows, lifecycle, session_jobs
from core.books.job_rows import Quote, Record, TokensUsed
from core.loops.intake import Intake
from core.loops.live import Live, WorkDelta
from core.store.port import Store
from core.values import pricing
from core.values.clock import Clock
from core.values.errors import Paused, Unavailable, WalletUnavailable
from core.values.money import from_sats
from core.values.pricing import Pricing
from core.values.states import ErrorCode
from core.values.terms import JobTerms
from core.values.text import storable
from core.wallets.port import Wallet

BAD_VERDICTS_MAX = 2  # an answer that is no verdict is asked for once more
RETRY_FIRST_S = 0.5
RETRY_LONGEST_S = 60.0
COMPARING_S = 1.0  # a start takes about so long to compare the books with the wallet
PAUSED_S = 10.0  # a price that is known waits for the operator, or for the wallet to be filled

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Steps:
    """What the steps need; `models` by their public id (one may have been taken off sale)."""

    store: Store
    wallet: Wallet
    agent: Agent
    clock: Clock
    live: Live
    terms: JobTerms
    pricing: Pricing
    models: Mapping[str, Model]
    intake: Intake

    async def advance(self, job: Record) -> None:
        """Take the next step of a leased job."""
        match job.state:
            case "evaluating":
                await self._evaluate(job)
            case "executing":
                await self._execute(job)
            case "awaiting_eval_payment" | "awaiting_work_payment":
                raise AssertionError("only paid jobs are leased")
            case "rejected" | "complete" | "failed":
                raise AssertionError("only open jobs are leased")
            case _:
                assert_never(job.state)

    async def _evaluate(self, job: Record) -> None:
        if job.price_sats is not None:  # the verdict is kept; only its invoice is missing
            await self._ask_for_price(job, job.price_sats)
            return
        model = self.models.get(job.model_id)
        if model is None or job.eval_calls >= self.terms.eval_calls_max:
            await self._fail(job, "evaluation_failed")
            return
        if not await self.store.write(job_rows.count_eval_call, job):
            return
        try:
            verdict = await self.agent.evaluate(model, job.request)
        except BadVerdict as fault:
            log.warning("verdict unusable", job=job.job_id, reason=fault.reason)
            await self.store.write(job_rows.count_bad_verdict, job)
            may_retry = job.bad_verdicts + 1 < BAD_VERDICTS_MAX
            await self._after_evaluation_fault(job, may_retry=may_retry)
        except AgentFault as fault:
            log.warning("evaluation call failed", job=job.job_id, reason=fault.reason)
            await self._after_evaluation_fault(job, may_retry=fault.retry)
        else:
            await self._judge(job, model, verdict)

    async def _judge(self, job: Record, model: Model, verdict: Verdict) -> None:
        if verdict.decision == "reject":
            await self._reject(job, storable(verdict.reason))
            return
        quote = self._quote(job, model, verdict)
        # A session's job above its maximum waits for accept instead.
        is_one_off = job.session_id is None
        if is_one_off and quote.price_sats > (job.max_price_sats or quote.price_sats):
            await self._reject(
                job,
                f"The work would cost {quote.price_sats} sats, more than your maximum of"
                f" {job.max_price_sats} sats.",
            )
            return
        wait_until_ms = self.clock.now_ms() + self.terms.unpaid_ttl_ms
        reason = storable(verdict.reason)
        if await self.store.write(job_rows.keep_quote, job, quote, reason, wait_until_ms):
            await self._ask_for_price(job, quote.price_sats)

    async def _ask_for_price(self, job: Record, price_sats: int) -> None:
        try:
            self.intake.check()
        except Unavailable as fault:  # the verdict is kept; what is not asked for is not paid
            log.info("price waits for the intake", job=job.job_id, reason=fault.reason)
            pause_s = PAUSED_S if isinstance(fault, Paused) else COMPARING_S
            await self._again_in(job, pause_s)
            return
        if job.session_id is None:
            await self._bill(job, price_sats)
            return
        priced = replace(job, price_sats=price_sats)
        if await self.store.write(session_jobs.quote, priced, self.terms, self.clock.now_ms()):
            log.info("job quoted", job=job.job_id, price_sats=price_sats)

    async def _bill(self, job: Record, price_sats: int) -> None:
        """Make the invoice of the work; a wallet that cannot is asked again later."""
        try:
            made = await self.wallet.create_invoice(
                from_sats(price_sats),
                memo="Work",
                expiry_s=self.terms.invoice_expiry_s,
                extra={"kind": "work", "job": job.job_id, "token": job.token_id.hex()},
            )
        except WalletUnavailable as fault:
            log.warning("work invoice not made", job=job.job_id, reason=fault.reason)
            await self._retry(job, calls=job.attempt)
            return
        now_ms = self.clock.now_ms()
        invoice = invoices.fresh(made, job.job_id, "work", now_ms)
        if await self.store.write(lifecycle.quote, job, invoice, self.terms, now_ms):
            log.info("job quoted", job=job.job_id, price_sats=price_sats)

    async def _execute(self, job: Record) -> None:
        assert job.deadline_at_ms is not None, "a job that executes has a deadline"
        left_s = (job.deadline_at_ms - self.clock.now_ms()) / 1000
        if left_s <= 0:
            await self._fail(job, "deadline_exceeded")
            return
        model = self.models.get(job.model_id)
        if model is None or job.work_calls >= self.terms.work_calls_max:
            await self._fail(job, "work_failed")
            return
        if not await self.store.write(job_rows.count_work_call, job):
            return
        try:
            async with asyncio.timeout(left_s):
                text, used = await self._work(job, model)
        except TimeoutError:
            await self._fail(job, "deadline_exceeded")
        except AgentFault as fault:
            log.warning("work call failed", job=job.job_id, reason=fault.reason)
            if fault.retry and job.work_calls + 1 < self.terms.work_calls_max:
                await self._retry(job, calls=job.work_calls)
            else:
                await self._fail(job, "work_failed")
        else:
            await self._deliver(job, text, used)

    async def _work(self, job: Record, model: Model) -> tuple[str, TokensUsed]:
        assert job.quote_output_tokens is not None, "a job that executes has a quote"
        limit = pricing.work_output_limit(model.max_output_tokens, job.quote_output_tokens)
        messages = [Message("user", job.request)]
        text, reported = "", Usage(None, None)
        async for piece in self.agent.stream(model, messages, max_output_tokens=limit):
            match piece:
                case Delta():
                    fresh = storable(piece.text)
                    self.live.publish(job.job_id, WorkDelta(job.work_calls + 1, len(text), fresh))
                    text += fresh
                case Usage():
                    reported = piece
                case _:
                    assert_never(piece)
        return text, _used(job.request, text, reported)

    async def _deliver(self, job: Record, text: str, used: TokensUsed) -> None:
        if not text.strip():
            log.warning("work came back empty", job=job.job_id)
            await self._fail(job, "work_failed")
            return
        now_ms = self.clock.now_ms()
        done = await self.store.write(
            lifecycle.complete, job, text, used, terms=self.terms, now_ms=now_ms
        )
        if done:
            log.info("job complete", job=job.job_id)

    async def _reject(self, job: Record, reason: str) -> None:
        now_ms = self.clock.now_ms()
        if await self.store.write(lifecycle.reject, job, reason, self.terms, now_ms):
            log.info("job rejected", job=job.job_id)

    async def _after_evaluation_fault(self, job: Record, *, may_retry: bool) -> None:
        if may_retry and job.eval_calls + 1 < self.terms.eval_calls_max:
            await self._retry(job, calls=job.eval_calls)
        else:
            await self._fail(job, "evaluation_failed")

    async def _fail(self, job: Record, code: ErrorCode) -> None:
        now_ms = self.clock.now_ms()
        if await self.store.write(lifecycle.fail, job, code, self.terms, now_ms):
            log.info("job failed", job=job.job_id, code=code)

    async def _retry(self, job: Record, *, calls: int) -> None:
        await self._again_in(job, min(RETRY_LONGEST_S, RETRY_FIRST_S * 2.0 ** min(calls, 10)))

    async def _again_in(self, job: Record, seconds: float) -> None:
        at_ms = self.clock.now_ms() + int(seconds * 1000)
        await self.store.write(job_rows.retry_at, job, at_ms)

    def _quote(self, job: Record, model: Model, verdict: Verdict) -> Quote:
        input_tokens = pricing.estimated_tokens(job.request)
        output_tokens = pricing.clamp_estimate(
            verdict.estimated_output_tokens, model.max_output_tokens
        )
        price = pricing.price_sats(
            self.pricing, model.prices, input_tokens=input_tokens, output_tokens=output_tokens
        )
        summary = storable(verdict.summary)
        return Quote(price, input_tokens, output_tokens, expires_at_ms=0, summary=summary)


def _used(request: str, text: str, reported: Usage) -> TokensUsed:
    """The reported tokens; where they are missing or absurd, four bytes are one token."""
    sent, made = reported.input_tokens, reported.output_tokens
    return TokensUsed(
        pricing.estimated_tokens(request) if sent is None else sent,
        pricing.estimated_tokens(text) if made is None else made,
    )
