"""The core's sessions in the words of the wire, and back."""

import base64
import hashlib
import re
from collections.abc import Sequence

from api import models as wire
from api import session_models as models
from api.views import RefundView, invoice_view, job_view
from core.books.credentials import Credential
from core.books.jobs import Job
from core.books.ledger import Entry
from core.books.refunds import Refund
from core.books.sessions import Session
from core.desk.session_desk import TokenOrder
from core.values.clock import rfc3339, unix_s
from core.values.errors import InvalidRequest
from core.values.ids import Kind, id_from_bytes, is_id
from core.values.pay_links import PayUrl

_NUMBER = re.compile("[0-9]{1,17}")


def session_view(session: Session, now_ms: int, *, pay_url: PayUrl) -> models.Session:
    """A session as its customer sees it."""
    assert session.state != "ended", "nobody has a credential for a session that has ended"
    waited_for = [
        invoice_view(invoice, now_ms, pay_url=pay_url) for invoice in session.open_invoices
    ]
    return models.Session(
        session_id=session.session_id,
        state=session.state,
        balance_msat=session.balance,
        held_msat=session.held,
        spent_msat=session.spent,
        deposited_msat=session.deposited,
        open_invoices=[invoice for invoice in waited_for if invoice.status == "open"],
        created_at=rfc3339(session.created_at_ms),
        expires_at=None,
    )


def entries_view(session_id: str, entries: Sequence[Entry], limit: int) -> models.EntryPage:
    """A page of the ledger; `entries` may hold one more than `limit`, which is the next page's."""
    shown = entries[:limit]
    more = len(entries) > limit
    return models.EntryPage(
        items=[_entry(session_id, entry) for entry in shown],
        next_cursor=to_cursor(str(shown[-1].number)) if more else None,
    )


def jobs_view(
    jobs: Sequence[Job], limit: int, *, now_ms: int, pay_url: PayUrl, refund_as: RefundView
) -> models.JobPage:
    """A page of jobs; `jobs` may hold one more than `limit`."""
    shown = jobs[:limit]
    more = len(jobs) > limit
    last = to_cursor(f"{shown[-1].created_at_ms} {shown[-1].job_id}") if more else None
    items = [job_view(job, now_ms, pay_url=pay_url, refund_as=refund_as) for job in shown]
    return models.JobPage(items=items, next_cursor=last)


def refunds_view(
    refunds: Sequence[Refund], views: Sequence[wire.Refund], limit: int
) -> models.RefundPage:
    """A page of refunds; there may be one more than `limit`."""
    more = len(refunds) > limit
    last = refunds[limit - 1] if more else None
    place = None if last is None else to_cursor(f"{last.created_at_ms} {last.refund_id}")
    return models.RefundPage(items=list(views[:limit]), next_cursor=place)


def tokens_view(tokens: Sequence[Credential], limit: int) -> models.TokenPage:
    """A page of tokens; `tokens` may hold one more than `limit`."""
    shown = tokens[:limit]
    more = len(tokens) > limit
    items = [
        models.TokenInfo(token_id=token.name, label=token.label, caveats=list(token.caveats))
        for token in shown
    ]
    last = to_cursor(f"{shown[-1].created_at_ms} {shown[-1].name}") if more else None
    return models.TokenPage(items=items, next_cursor=last)


def token_order(fields: models.TokenOrder) -> TokenOrder:
    """The order that these fields give. Raises InvalidRequest."""
    return TokenOrder(
        label=fields.label,
        budget_msat=fields.budget_msat,
        max_request_msat=fields.max_request_msat,
        expires_at_s=None if fields.expires_at is None else _expiry_s(fields.expires_at),
        models=fields.models,
        rights=fields.rights,
    )


def entries_before(cursor: str | None) -> int | None:
    """Where a page of the ledger goes on. Raises InvalidRequest."""
    if cursor is None:
        return None
    text = _from_cursor(cursor)
    if not _NUMBER.fullmatch(text):
        raise _bad_cursor()
    return int(text)


def made_before(cursor: str | None, kind: Kind) -> tuple[int, str] | None:
    """Where a page of jobs or tokens goes on. Raises InvalidRequest."""
    if cursor is None:
        return None
    made_at_ms, _, name = _from_cursor(cursor).partition(" ")
    if not (_NUMBER.fullmatch(made_at_ms) and is_id(kind, name)):
        raise _bad_cursor()
    return int(made_at_ms), name


def to_cursor(place: str) -> str:
    """A place in a list, opaque."""
    return base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()


def _from_cursor(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        raise _bad_cursor() from None


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest("This cursor is not one of ours.", pointer="/cursor")


def _entry(session_id: str, entry: Entry) -> models.Entry:
    name = hashlib.sha256(f"{session_id} {entry.number}".encode()).digest()
    return models.Entry(
        entry_id=id_from_bytes("ent", name),
        at=rfc3339(entry.at_ms),
        kind=entry.kind,
        amount_msat=entry.amount,
        balance_msat=entry.balance,
        ref=entry.ref,
    )


def _expiry_s(moment: str) -> int:
    try:
        at_s = unix_s(moment)
    except ValueError:
        at_s = -1
    if at_s < 0:
        raise InvalidRequest(
            "This must be a time since 1970 as RFC 3339 writes it.", pointer="/expiresAt"
        )
    return at_s
