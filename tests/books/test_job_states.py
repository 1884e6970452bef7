"""Every state times every event, and every payment in every state: where the job goes, whose money.

The tables are written out by hand, so that a wrong edge in the program cannot correct its own test.
In every cell all money that came in is accounted for: money in = revenue + what is owed + what the
open job still needs.
"""

import pytest

from core.books.audit import audit
from core.values.errors import WrongState
from core.values.states import EVENTS, STATES
from tests.books.paid_jobs import FEE, PRICE, Books

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Where a job of each state stands before anything happens:
# money in, revenue, owed with the house paying the fee of the refund, owed paying its own.
BEFORE = {
    "awaiting_eval_payment": (0, 0, 0, 0),
    "evaluating": (21_000, 0, 0, 0),
    "rejected": (21_000, 21_000, 0, 0),
    "awaiting_work_payment": (21_000, 0, 0, 0),
    "executing": (55_000, 0, 0, 0),
    "complete": (55_000, 55_000, 0, 0),
    "failed": (55_000, 0, 55_000, 0),  # by work_failed
}

# (state, event): state afterwards, error code, money in, revenue, owed by the house, owed own.
AWAITING_EVAL = ("awaiting_eval_payment", None, 0, 0, 0, 0)
EVALUATING = ("evaluating", None, 21_000, 0, 0, 0)
REJECTED = ("rejected", None, 21_000, 21_000, 0, 0)
AWAITING_WORK = ("awaiting_work_payment", None, 21_000, 0, 0, 0)
EXECUTING = ("executing", None, 55_000, 0, 0, 0)
COMPLETE = ("complete", None, 55_000, 55_000, 0, 0)
FAILED = ("failed", "work_failed", 55_000, 0, 55_000, 0)

TABLE = {
    ("awaiting_eval_payment", "eval_paid"): ("evaluating", None, 21_000, 0, 0, 0),
    ("awaiting_eval_payment", "rejected"): AWAITING_EVAL,
    ("awaiting_eval_payment", "quoted"): AWAITING_EVAL,
    ("awaiting_eval_payment", "evaluation_failed"): AWAITING_EVAL,
    ("awaiting_eval_payment", "work_paid"): ("awaiting_eval_payment", None, 34_000, 0, 0, 34_000),
    ("awaiting_eval_payment", "work_done"): AWAITING_EVAL,
    ("awaiting_eval_payment", "work_failed"): AWAITING_EVAL,
    ("awaiting_eval_payment", "deadline_exceeded"): AWAITING_EVAL,
    ("awaiting_eval_payment", "eval_unpaid"): ("failed", "eval_unpaid", 0, 0, 0, 0),
    ("awaiting_eval_payment", "quote_expired"): AWAITING_EVAL,
    ("awaiting_eval_payment", "cancelled"): ("failed", "cancelled", 0, 0, 0, 0),
    ("evaluating", "eval_paid"): ("evaluating", None, 42_000, 0, 0, 21_000),
    ("evaluating", "rejected"): ("rejected", None, 21_000, 21_000, 0, 0),
    ("evaluating", "quoted"): ("awaiting_work_payment", None, 21_000, 0, 0, 0),
    ("evaluating", "evaluation_failed"): ("failed", "evaluation_failed", 21_000, 0, 21_000, 0),
    ("evaluating", "work_paid"): ("evaluating", None, 55_000, 0, 0, 34_000),
    ("evaluating", "work_done"): EVALUATING,
    ("evaluating", "work_failed"): EVALUATING,
    ("evaluating", "deadline_exceeded"): EVALUATING,
    ("evaluating", "eval_unpaid"): EVALUATING,
    ("evaluating", "quote_expired"): EVALUATING,
    ("evaluating", "cancelled"): ("failed", "cancelled", 21_000, 21_000, 0, 0),
    ("rejected", "eval_paid"): ("rejected", None, 42_000, 21_000, 0, 21_000),
    ("rejected", "rejected"): REJECTED,
    ("rejected", "quoted"): REJECTED,
    ("rejected", "evaluation_failed"): REJECTED,
    ("rejected", "work_paid"): ("rejected", None, 55_000, 21_000, 0, 34_000),
    ("rejected", "work_done"): REJECTED,
    ("rejected", "work_failed"): REJECTED,
    ("rejected", "deadline_exceeded"): REJECTED,
    ("rejected", "eval_unpaid"): REJECTED,
    ("rejected", "quote_expired"): REJECTED,
    ("rejected", "cancelled"): REJECTED,
    ("awaiting_work_payment", "eval_paid"): (
        *("awaiting_work_payment", None),
        *(42_000, 0, 0, 21_000),
    ),
    ("awaiting_work_payment", "rejected"): AWAITING_WORK,
    ("awaiting_work_payment", "quoted"): AWAITING_WORK,
    ("awaiting_work_payment", "evaluation_failed"): AWAITING_WORK,
    ("awaiting_work_payment", "work_paid"): ("executing", None, 55_000, 0, 0, 0),
    ("awaiting_work_payment", "work_done"): AWAITING_WORK,
    ("awaiting_work_payment", "work_failed"): AWAITING_WORK,
    ("awaiting_work_payment", "deadline_exceeded"): AWAITING_WORK,
    ("awaiting_work_payment", "eval_unpaid"): AWAITING_WORK,
    ("awaiting_work_payment", "quote_expired"): ("failed", "quote_expired", 21_000, 21_000, 0, 0),
    ("awaiting_work_payment", "cancelled"): ("failed", "cancelled", 21_000, 21_000, 0, 0),
    ("executing", "eval_paid"): ("executing", None, 76_000, 0, 0, 21_000),
    ("executing", "rejected"): EXECUTING,
    ("executing", "quoted"): EXECUTING,
    ("executing", "evaluation_failed"): EXECUTING,
    ("executing", "work_paid"): ("executing", None, 89_000, 0, 0, 34_000),
    ("executing", "work_done"): ("complete", None, 55_000, 55_000, 0, 0),
    ("executing", "work_failed"): ("failed", "work_failed", 55_000, 0, 55_000, 0),
    ("executing", "deadline_exceeded"): ("failed", "deadline_exceeded", 55_000, 0, 55_000, 0),
    ("executing", "eval_unpaid"): EXECUTING,
    ("executing", "quote_expired"): EXECUTING,
    ("executing", "cancelled"): EXECUTING,
    ("complete", "eval_paid"): ("complete", None, 76_000, 55_000, 0, 21_000),
    ("complete", "rejected"): COMPLETE,
    ("complete", "quoted"): COMPLETE,
    ("complete", "evaluation_failed"): COMPLETE,
    ("complete", "work_paid"): ("complete", None, 89_000, 55_000, 0, 34_000),
    ("complete", "work_done"): COMPLETE,
    ("complete", "work_failed"): COMPLETE,
    ("complete", "deadline_exceeded"): COMPLETE,
    ("complete", "eval_unpaid"): COMPLETE,
    ("complete", "quote_expired"): COMPLETE,
    ("complete", "cancelled"): COMPLETE,
    ("failed", "eval_paid"): ("failed", "work_failed", 76_000, 0, 55_000, 21_000),
    ("failed", "rejected"): FAILED,
    ("failed", "quoted"): FAILED,
    ("failed", "evaluation_failed"): FAILED,
    ("failed", "work_paid"): ("failed", "work_failed", 89_000, 0, 55_000, 34_000),
    ("failed", "work_done"): FAILED,
    ("failed", "work_failed"): FAILED,
    ("failed", "deadline_exceeded"): FAILED,
    ("failed", "eval_unpaid"): FAILED,
    ("failed", "quote_expired"): FAILED,
    ("failed", "cancelled"): FAILED,
}

NEEDS = {"evaluating": FEE, "awaiting_work_payment": FEE, "executing": FEE + PRICE}


@pytest.fixture
def books(shared_store):
    return Books(shared_store)


async def standing(books, job_id):
    """Where the job and its money stand: the right side of the table."""
    job = await books.view(job_id)
    debt = await books.debt(job_id)
    money_in, earned = await books.money_in(job_id), await books.earned(job_id)
    assert money_in == earned + debt.total + NEEDS.get(job.state, 0)
    assert await books.store.read(audit) == []
    return (job.state, job.error_code, money_in, earned, debt.house, debt.own)


async def bring_about(books, job_id, event):
    """Let the event happen in whatever state the job is."""
    match event:
        case "eval_paid":
            assert await books.pay(job_id, "eval")
        case "work_paid":
            assert await books.pay(job_id, "work")
        case "rejected":
            return await books.reject(job_id)
        case "quoted":
            return await books.quote(job_id)
        case "work_done":
            return await books.complete(job_id)
        case "cancelled":
            return await cancelled(books, job_id)
        case code:
            return await books.fail(job_id, code)
    return True


async def cancelled(books, job_id):
    try:
        await books.cancel(job_id)
    except WrongState:
        return False
    return True


async def test_the_table_names_every_state_with_every_event():
    assert set(TABLE) == {(state, event) for state in STATES for event in EVENTS}
    assert len(TABLE) == 77


@pytest.mark.parametrize("state", STATES)
async def test_a_job_is_brought_into_each_state(books, state):
    job_id = await books.in_state(state)

    found = await standing(books, job_id)

    assert found == (state, "work_failed" if state == "failed" else None, *BEFORE[state])


@pytest.mark.parametrize(("state", "event"), TABLE, ids=lambda word: word)
async def test_each_event_in_each_state(books, state, event):
    job_id = await books.in_state(state)
    if event == "work_paid" and not await books.has_bill(job_id, "work"):
        await books.renew(job_id, "work", PRICE)  # an invoice that should not be there
    before = await books.view(job_id)

    happened = await bring_about(books, job_id, event)

    after = await books.view(job_id)
    assert await standing(books, job_id) == TABLE[state, event]
    if happened:
        assert after.version == before.version + 1, "each change is one version"
    else:
        assert after == before, "an event that cannot happen changes nothing"
