"""The core's books in the words of the wire."""

from collections.abc import Callable

from api import models
from core.books.credentials import Bearer
from core.books.invoices import Invoice
from core.books.job_rows import Quote, TokensUsed
from core.books.jobs import Job
from core.books.refunds import Refund
from core.desk.payout_desk import PayoutDesk
from core.loops.live import WorkDelta
from core.values.clock import rfc3339
from core.values.money import charge_sats
from core.values.pay_links import PayUrl

RefundView = Callable[[Refund], models.Refund]


def refund_view(refund: Refund) -> models.Refund:
    """A refund as everybody may read it who knows its job: where it goes is not told."""
    return own_refund_view(refund).model_copy(update={"destination": None})


def own_refund_view(refund: Refund, claim_lnurl: str | None = None) -> models.Refund:
    """A refund with where it goes, or how it is claimed, for whoever may send it."""
    return models.Refund(
        refund_id=refund.refund_id,
        amount_msat=refund.amount,
        fee_msat=refund.fee,
        state=refund.state,
        destination=refund.destination,
        claim_lnurl=claim_lnurl,
        updated_at=rfc3339(refund.updated_at_ms),
    )


def refund_view_for(bearer: Bearer, payouts: PayoutDesk) -> RefundView:
    """How a session's token may read that session's refunds: as its own if it may withdraw."""
    if not bearer.token.caveats.allows("withdraw"):
        return refund_view
    return lambda refund: own_refund_view(refund, payouts.claim_lnurl(refund))


def job_view(
    job: Job, now_ms: int, *, pay_url: PayUrl, refund_as: RefundView = refund_view
) -> models.Job:
    """A job as whoever sees its refunds in these words may read it."""
    return models.Job(
        job_id=job.job_id,
        state=job.state,
        version=job.version,
        request=job.request,
        metadata=None if job.metadata is None else dict(job.metadata),
        created_at=rfc3339(job.created_at_ms),
        updated_at=rfc3339(job.updated_at_ms),
        deadline_at=_moment(job.deadline_at_ms),
        eval_invoice=_invoice_or_none(job.eval_invoice, now_ms, pay_url=pay_url),
        quote=_quote(job.quote),
        work_invoice=_invoice_or_none(job.work_invoice, now_ms, pay_url=pay_url),
        reason=job.reason,
        result=job.result,
        model=job.model,
        usage=_usage(job.usage),
        error_code=job.error_code,
        error_message=job.error_message,
        refunds=[refund_as(refund) for refund in job.refunds],
    )


def invoice_view(invoice: Invoice, now_ms: int, *, pay_url: PayUrl) -> models.Invoice:
    """An invoice, with the address of its page where there is one."""
    return models.Invoice(
        payment_request=invoice.bolt11,
        payment_hash=invoice.payment_hash,
        amount_sats=charge_sats(invoice.amount),
        purpose=invoice.purpose,
        status=invoice.status(now_ms),
        expires_at=rfc3339(invoice.expires_at_ms),
        paid_at=_moment(invoice.paid_at_ms),
        pay_url=pay_url(invoice.payment_hash),
    )


def delta_view(delta: WorkDelta) -> models.WorkDelta:
    """A piece of the work."""
    return models.WorkDelta(attempt=delta.attempt, offset=delta.offset, text=delta.text)


def _invoice_or_none(
    invoice: Invoice | None, now_ms: int, *, pay_url: PayUrl
) -> models.Invoice | None:
    return None if invoice is None else invoice_view(invoice, now_ms, pay_url=pay_url)


def _quote(quote: Quote | None) -> models.Quote | None:
    if quote is None:
        return None
    return models.Quote(
        price_sats=quote.price_sats,
        input_tokens=quote.input_tokens,
        output_tokens=quote.output_tokens,
        expires_at=rfc3339(quote.expires_at_ms),
    )


def _usage(usage: TokensUsed | None) -> models.Usage | None:
    if usage is None:
        return None
    return models.Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
