"""Recovered: what the wallet knows and these books have lost, booked again.

An older copy of the database was restored, or a payment that counted as failed was made after all.
Every invoice and payout carries at the wallet its kind and its ids, so the account is found, and
made again where it is gone. What was asked for is gone with it: such a job has failed, and all that
was paid for it is owed back at the house's cost; such a session has its money and, where the mark
names it, its token.
"""

import re

from core.books import (
    credentials,
    freezes,
    invoices,
    job_rows,
    jobs,
    ledger,
    lifecycle,
    payouts,
    refunds,
    sessions,
    settlement,
)
from core.books.invoices import Invoice, Purpose
from core.books.job_rows import NewJob
from core.books.ledger import FEES, OWNER, WALLET, Leg, Transfer
from core.books.payouts import Payout
from core.books.refunds import Debt
from core.books.settlement import Payment
from core.store.port import Tx
from core.values.ids import is_id
from core.values.money import NOTHING, Msat
from core.values.terms import JobTerms
from core.values.tokens import Identifier
from core.wallets.port import Movement


async def payment(tx: Tx, moved: Movement, purpose: Purpose, terms: JobTerms, now_ms: int) -> None:
    """Credit a payment of an invoice that these books have lost."""
    account_id = account_of(moved)
    assert account_id is not None, "a marked payment names its account"
    account_id = await sessions.survivor(tx, account_id)
    await _make_again(tx, moved, account_id, terms, now_ms)
    await invoices.add(tx, _invoice(moved, account_id, purpose, now_ms), client="")
    if not await _is_made_again(tx, account_id):
        await settlement.settle(tx, Payment(moved.payment_hash, moved.amount), terms, now_ms)
        return
    await invoices.mark_paid(tx, moved.payment_hash, now_ms)
    await ledger.transfer(
        tx,
        Transfer(f"settle:{moved.payment_hash}", "deposit", moved.payment_hash, now_ms),
        [Leg(account_id, moved.amount), Leg(WALLET, Msat(-moved.amount))],
    )
    await refunds.owe(tx, account_id, Debt(house=moved.amount), terms.refund_fee, now_ms)
    await jobs.new_version(tx, account_id, now_ms)


async def payout(tx: Tx, moved: Movement, terms: JobTerms, now_ms: int) -> Msat:
    """Book a payout that has left the wallet, so that it is not paid again; return what is missing.

    What the account cannot bear is the owner's loss, and the account is frozen.
    """
    account_id, refund_id = account_of(moved), moved.extra["refund"]
    assert account_id is not None, "a marked payout names its account"
    account_id = await sessions.survivor(tx, account_id)
    await _make_again(tx, moved, account_id, terms, now_ms)
    if is_id("job", account_id):
        paid, house_fee = await _pay_debt(
            tx, moved, job_id=account_id, refund_id=refund_id, terms=terms, now_ms=now_ms
        )
    else:
        paid, house_fee = await _pay_from_balance(tx, moved, account_id, refund_id, now_ms), NOTHING
    missing = Msat(moved.amount + moved.fee - paid - house_fee)
    sides = [(account_id, -paid), (WALLET, moved.amount + moved.fee)]
    sides += [(FEES, -house_fee), (OWNER, -missing)]
    await ledger.transfer(
        tx,
        Transfer(f"paid:{moved.payment_hash}", "withdrawal", refund_id, now_ms, _REASON),
        [Leg(where, Msat(amount)) for where, amount in sides if amount],
    )
    await _note_paid(tx, moved, account_id, refund_id, now_ms)
    if missing:
        await freezes.freeze(
            tx,
            account_id,
            f"the wallet has paid out {missing} msat more than the account held",
            now_ms,
        )
    await payouts.tell(tx, account_id, now_ms)
    return missing


def account_of(moved: Movement) -> str | None:
    """The job or session that the mark of a payment names, if it names one."""
    for kind, name in (("job", "job"), ("ses", "session")):
        named = moved.extra.get(name, "")
        if (kind == "job" and is_id("job", named)) or (kind == "ses" and is_id("ses", named)):
            return named
    return None


_TOKEN_ID = re.compile(r"[0-9a-f]{64}")
_LOST_MODEL = ""
_REASON = "found in the wallet's list"


async def _is_lost(tx: Tx, account_id: str) -> bool:
    return await ledger.account(tx, account_id) is None


async def _is_made_again(tx: Tx, account_id: str) -> bool:
    """Whether this is a job of which nothing is left but its payments."""
    if not is_id("job", account_id):
        return False
    return (await job_rows.record(tx, account_id)).model_id == _LOST_MODEL


async def _make_again(
    tx: Tx, moved: Movement, account_id: str, terms: JobTerms, now_ms: int
) -> None:
    if not await _is_lost(tx, account_id):
        return
    if is_id("job", account_id):
        await _make_job(tx, account_id, _token_of(moved), terms, now_ms)
    else:
        await _make_session(tx, moved, account_id, now_ms)


async def _make_job(
    tx: Tx, job_id: str, token_id: bytes | None, terms: JobTerms, now_ms: int
) -> None:
    await ledger.open_account(tx, job_id)
    lost = NewJob(
        job_id=job_id,
        token_id=token_id or b"",  # no token opens it: only the operator can give the money back
        client="",
        request="",
        metadata=None,
        model_id=_LOST_MODEL,
        max_price_sats=None,
        eval_fee=NOTHING,
        wait_until_ms=now_ms,
    )
    await job_rows.add(tx, lost, "evaluating", now_ms)
    job = await job_rows.record(tx, job_id)
    await lifecycle.fail(tx, job, "evaluation_failed", terms, now_ms)
    await job_rows.forget_texts(tx, job_id)


async def _make_session(tx: Tx, moved: Movement, session_id: str, now_ms: int) -> None:
    is_challenge = "challenge" in moved.extra
    await sessions.add(
        tx, session_id, client="", wait_until_ms=now_ms, is_challenge=is_challenge, now_ms=now_ms
    )
    token_id = _token_of(moved)
    if token_id is None:
        return
    await credentials.add(
        tx,
        Identifier(bytes.fromhex(moved.payment_hash), token_id),
        session_id=session_id,
        parent_id=None,
        needs_preimage=is_challenge,
        label="",
        caveats=(),
        inherited_count=0,
        now_ms=now_ms,
    )


async def _pay_debt(
    tx: Tx, moved: Movement, *, job_id: str, refund_id: str, terms: JobTerms, now_ms: int
) -> tuple[Msat, Msat]:
    """Take a payout from a job's debt; return what the debt bears, and the house of the fee."""
    due = next((one for one in await refunds.of_account(tx, job_id) if one.state == "due"), None)
    debt = Debt() if due is None else due.debt
    house = min(debt.house, moved.amount)
    own = min(debt.own, moved.amount - house)
    own_fee = min(moved.fee, debt.own - own) if own else 0
    if due is not None:
        await refunds.turn_paid(
            tx, due, refund_id, amount=moved.amount, fee=moved.fee, now_ms=now_ms
        )
        rest = Debt(Msat(debt.house - house), Msat(debt.own - own - own_fee))
        await refunds.owe(tx, job_id, rest, terms.refund_fee, now_ms)
    else:
        await _add_paid(tx, moved, job_id, refund_id, now_ms)
    is_covered = house + own == moved.amount
    return Msat(house + own + own_fee), Msat(moved.fee - own_fee if is_covered else 0)


async def _pay_from_balance(
    tx: Tx, moved: Movement, session_id: str, refund_id: str, now_ms: int
) -> Msat:
    """What a session can bear of a payout."""
    account = await ledger.account(tx, session_id)
    assert account is not None, "the session was made again"
    await _add_paid(tx, moved, session_id, refund_id, now_ms)
    return Msat(min(account.free, moved.amount + moved.fee))


async def _add_paid(tx: Tx, moved: Movement, account_id: str, refund_id: str, now_ms: int) -> None:
    await refunds.add_paid(
        tx,
        refund_id,
        account_id,
        amount=moved.amount,
        fee=moved.fee,
        destination=moved.bolt11,
        now_ms=now_ms,
    )


async def _note_paid(tx: Tx, moved: Movement, account_id: str, refund_id: str, now_ms: int) -> None:
    """Remember the invoice, so that it is never offered again."""
    payout = Payout(
        payment_hash=moved.payment_hash,
        refund_id=refund_id,
        account_id=account_id,
        bolt11=moved.bolt11,
        invoice_expires_at_ms=now_ms,
        amount=moved.amount,
        own_fee=moved.fee,
        house_fee=NOTHING,
        state="paid",
    )
    await payouts.note_paid(tx, payout, now_ms)


def _invoice(moved: Movement, account_id: str, purpose: Purpose, now_ms: int) -> Invoice:
    return Invoice(
        payment_hash=moved.payment_hash,
        account_id=account_id,
        purpose=purpose,
        bolt11=moved.bolt11,
        amount=moved.amount,
        state="open",
        created_at_ms=now_ms,
        expires_at_ms=now_ms,
        paid_at_ms=None,
    )


def _token_of(moved: Movement) -> bytes | None:
    """The token's id, 32 bytes in hex, if the mark names it."""
    token = moved.extra.get("token", "")
    return bytes.fromhex(token) if _TOKEN_ID.fullmatch(token) else None
