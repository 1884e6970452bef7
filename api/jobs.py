"""Jobs over HTTP: order, read, follow, renew the invoice, cancel."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from api import models
from api.events import send_changes
from api.patience import unless_stopped
from api.route import EVENTS, AnyRoute, Auth, Call, Reply, Route, answer
from api.views import RefundView, invoice_view, job_view, own_refund_view, refund_view
from core.books.credentials import Bearer
from core.books.invoices import Invoice
from core.books.jobs import Job
from core.books.refunds import Refund
from core.desk.answers import Answer
from core.desk.job_desk import JobDesk, JobOrder, OpenedJob
from core.desk.payout_desk import PayoutDesk
from core.values.clock import Clock
from core.values.errors import InvalidRequest
from core.values.pay_links import PayUrl
from core.values.tokens import to_bearer

_EVENT_ID: Final = re.compile(r"[0-9]{1,15}")
_TAG: Final = "Jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRoutes:
    """The routes under /jobs."""

    desk: JobDesk
    payouts: PayoutDesk
    clock: Clock
    stopping: asyncio.Event
    public_url: str
    pay_url: PayUrl

    def table(self) -> list[AnyRoute]:
        """All of them."""
        return [
            Route(
                method="POST",
                path="/jobs",
                handler=self.order,
                summary="Order a piece of work",
                tag=_TAG,
                body=models.JobOrder,
                is_keyed=True,
                replies=(
                    Reply(
                        201,
                        "The job, the token that moves its money, and what to pay first.",
                        models.JobOpened,
                        headers={"Location": "Where to read the job."},
                    ),
                ),
                problems=("price_above_maximum", *_MAKES_INVOICE),
            ),
            Route(
                method="GET",
                path="/jobs/{jobId}",
                handler=self.read,
                summary="Read a job, or wait for it to change",
                tag=_TAG,
                auth=Auth.LOOKED_AT,
                query=models.JobWait,
                replies=(Reply(200, "The job.", models.Job),),
                problems=("not_found", "database_unavailable"),
            ),
            Route(
                method="GET",
                path="/jobs/{jobId}/events",
                handler=self.follow,
                summary="Follow a job as Server-Sent Events",
                tag=_TAG,
                auth=Auth.LOOKED_AT,
                request_headers={"Last-Event-ID": "The version seen last; later ones follow."},
                replies=(
                    Reply(
                        200,
                        "`event: job` per change, `event: delta` per piece of work.",
                        media_type=EVENTS,
                    ),
                ),
                problems=("not_found", "database_unavailable"),
            ),
            Route(
                method="POST",
                path="/jobs/{jobId}/invoice",
                handler=self.renew,
                summary="Get a fresh invoice for what the job waits for",
                tag=_TAG,
                auth=Auth.NEEDED,
                is_keyed=True,
                replies=(Reply(201, "The invoice; the old one stays watched.", models.Invoice),),
                problems=("not_found", "forbidden", "wrong_state", *_MAKES_INVOICE),
            ),
            Route(
                method="POST",
                path="/jobs/{jobId}/cancel",
                handler=self.cancel,
                summary="Cancel a job",
                tag=_TAG,
                auth=Auth.NEEDED,
                is_keyed=True,
                replies=(Reply(200, "The job; again the same.", models.Job),),
                problems=("not_found", "forbidden", "wrong_state", "database_unavailable"),
            ),
        ]

    async def order(self, call: Call[models.JobOrder, None]) -> Answer:
        """Open a job."""
        fields = call.body()
        order = JobOrder(fields.request, fields.max_price_sats, fields.metadata, fields.refund_to)
        render = partial(self._opened, now_ms=self.clock.now_ms())
        opened = await self.desk.request_job(order, client=call.client, keep=call.keep(render))
        return render(opened)

    async def read(self, call: Call[None, models.JobWait]) -> Answer:
        """Show a job, at once or when it has changed."""
        job_id = call.path_id("jobId", "job")
        job = await self.desk.job(job_id)
        query = call.query()
        if query.wait:
            job = await self._changed(job_id, query)
        render = await self._rendering(job_id, call.bearer)
        return render(job)

    async def follow(self, call: Call[None, None]) -> web.StreamResponse:
        """Stream a job's changes."""
        job_id = call.path_id("jobId", "job")
        await self.desk.job(job_id)
        after_version = _last_event_id(call.request)
        changes = self.desk.job_changes(job_id, after_version=after_version)
        return await send_changes(
            call.request,
            changes,
            clock=self.clock,
            pay_url=self.pay_url,
            stopping=self.stopping,
            refund_as=await self._refund_view(job_id, call.bearer),
        )

    async def renew(self, call: Call[None, None]) -> Answer:
        """Make a fresh invoice."""
        job_id = call.path_id("jobId", "job")
        await self.desk.own_job(job_id, call.needed_bearer)
        call.body()
        render = partial(_invoice, now_ms=self.clock.now_ms(), pay_url=self.pay_url)
        invoice = await self.desk.renew_invoice(
            job_id, call.needed_bearer, client=call.client, keep=call.keep(render)
        )
        return render(invoice)

    async def cancel(self, call: Call[None, None]) -> Answer:
        """End a job at its customer's wish."""
        job_id = call.path_id("jobId", "job")
        await self.desk.own_job(job_id, call.needed_bearer)
        call.body()
        render = await self._rendering(job_id, call.needed_bearer)
        return render(
            await self.desk.cancel_job(job_id, call.needed_bearer, keep=call.keep(render))
        )

    async def _refund_view(self, job_id: str, bearer: Bearer | None) -> RefundView:
        """How the one who asks may read the job's refunds."""
        if await self.payouts.may_send(job_id, bearer):
            return self._own_refund
        return refund_view

    def _own_refund(self, refund: Refund) -> models.Refund:
        return own_refund_view(refund, self.payouts.claim_lnurl(refund))

    async def _changed(self, job_id: str, query: models.JobWait) -> Job:
        waiting = self.desk.wait_job(job_id, not_state=query.state, wait_s=query.wait)
        changed = await unless_stopped(waiting, self.stopping)
        return await self.desk.job(job_id) if changed is None else changed

    async def _rendering(self, job_id: str, bearer: Bearer | None) -> Callable[[Job], Answer]:
        refund_as = await self._refund_view(job_id, bearer)
        return partial(_job, now_ms=self.clock.now_ms(), pay_url=self.pay_url, refund_as=refund_as)

    def _opened(self, opened: OpenedJob, now_ms: int) -> Answer:
        job, invoice = opened.job, opened.job.eval_invoice
        view = None if invoice is None else invoice_view(invoice, now_ms, pay_url=self.pay_url)
        body = models.JobOpened(
            job_id=job.job_id,
            job_token=to_bearer(opened.token),
            state=job.state,
            eval_invoice=view,
        )
        return answer(body, 201, Location=f"{self.public_url}/jobs/{job.job_id}")


def _invoice(invoice: Invoice, *, now_ms: int, pay_url: PayUrl) -> Answer:
    return answer(invoice_view(invoice, now_ms, pay_url=pay_url), 201)


def _job(job: Job, *, now_ms: int, pay_url: PayUrl, refund_as: RefundView) -> Answer:
    return answer(job_view(job, now_ms, pay_url=pay_url, refund_as=refund_as))


_MAKES_INVOICE: Final = (
    "rate_limited",
    "wallet_unavailable",
    "database_unavailable",
    "queue_full",
    "paused",
    "shutting_down",
)


def _last_event_id(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID")
    if text is None:
        return None
    if _EVENT_ID.fullmatch(text) is None:
        raise InvalidRequest("Last-Event-ID must be the number of a version.")
    return int(text)
