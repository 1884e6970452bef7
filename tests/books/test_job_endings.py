"""Every way a job can end, by every way it can have been paid: where each msat is afterwards.

The fee is 21 sats, the price 34; who pays too much pays 7,001 msat more, who pays too little 1
msat less and then the whole of another invoice. What is due is then sent, at a routing cost of
1,001 msat: a debt that pays its own way pays that too, and has what is left of its reserve due.
"""

import secrets
from dataclasses import replace

import pytest

from core.books import ledger, payouts, refunds
from core.books.audit import audit
from core.books.ledger import FEES
from core.books.refunds import Debt
from core.values.destinations import Target
from core.values.money import Msat, from_sats
from core.values.states import ERROR_CODES
from tests.books.paid_jobs import FEE, NOW_MS, PRICE, TERMS, Books

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTING = Msat(1_001)

# Of each: what came in, what we earned, what is owed at the house's cost and at its own; and when
# what is due was sent, what that took from the job's account, and what is owed still.
EXPECTED = {
    "eval_unpaid": {
        "as asked": (0, 0, 0, 0, 0, 0),
        "fee late": (21_000, 0, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (20_999, 0, 0, 20_999, 16_001, 4_998),
    },
    "cancelled, unpaid": {
        "as asked": (0, 0, 0, 0, 0, 0),
        "fee late": (21_000, 0, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (20_999, 0, 0, 20_999, 16_001, 4_998),
    },
    "cancelled before the evaluation": {
        "as asked": (21_000, 0, 0, 21_000, 17_001, 3_999),
        "fee late": (42_000, 0, 0, 42_000, 38_001, 3_999),
        "fee late, too little": (41_999, 0, 0, 41_999, 37_001, 4_998),
        "fee twice": (42_000, 0, 0, 42_000, 38_001, 3_999),
        "fee too much": (28_001, 0, 0, 28_001, 24_001, 4_000),
        "fee first too little": (41_999, 0, 0, 41_999, 37_001, 4_998),
    },
    "cancelled in the evaluation": {
        "as asked": (21_000, 21_000, 0, 0, 0, 0),
        "fee late": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
        "fee twice": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee too much": (28_001, 21_000, 0, 7_001, 0, 7_001),
        "fee first too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
    },
    "evaluation_failed": {
        "as asked": (21_000, 0, 21_000, 0, 21_000, 0),
        "fee late": (42_000, 0, 21_000, 21_000, 38_001, 3_999),
        "fee late, too little": (41_999, 0, 21_000, 20_999, 37_001, 4_998),
        "fee twice": (42_000, 0, 21_000, 21_000, 38_001, 3_999),
        "fee too much": (28_001, 0, 21_000, 7_001, 24_001, 4_000),
        "fee first too little": (41_999, 0, 21_000, 20_999, 37_001, 4_998),
    },
    "rejected": {
        "as asked": (21_000, 21_000, 0, 0, 0, 0),
        "fee late": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
        "fee twice": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee too much": (28_001, 21_000, 0, 7_001, 0, 7_001),
        "fee first too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
    },
    "rejected, fee returned": {
        "as asked": (21_000, 0, 0, 21_000, 17_001, 3_999),
        "fee late": (42_000, 0, 0, 42_000, 38_001, 3_999),
        "fee late, too little": (41_999, 0, 0, 41_999, 37_001, 4_998),
        "fee twice": (42_000, 0, 0, 42_000, 38_001, 3_999),
        "fee too much": (28_001, 0, 0, 28_001, 24_001, 4_000),
        "fee first too little": (41_999, 0, 0, 41_999, 37_001, 4_998),
    },
    "cancelled with a quote": {
        "as asked": (21_000, 21_000, 0, 0, 0, 0),
        "fee late": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
        "fee twice": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee too much": (28_001, 21_000, 0, 7_001, 0, 7_001),
        "fee first too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
        "work late": (55_000, 21_000, 0, 34_000, 30_001, 3_999),
        "everything late": (76_000, 21_000, 0, 55_000, 51_001, 3_999),
    },
    "quote_expired": {
        "as asked": (21_000, 21_000, 0, 0, 0, 0),
        "fee late": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
        "fee twice": (42_000, 21_000, 0, 21_000, 17_001, 3_999),
        "fee too much": (28_001, 21_000, 0, 7_001, 0, 7_001),
        "fee first too little": (41_999, 21_000, 0, 20_999, 16_001, 4_998),
        "work late": (55_000, 21_000, 0, 34_000, 30_001, 3_999),
        "everything late": (76_000, 21_000, 0, 55_000, 51_001, 3_999),
    },
    "work_failed": {
        "as asked": (55_000, 0, 55_000, 0, 55_000, 0),
        "fee late": (76_000, 0, 55_000, 21_000, 72_001, 3_999),
        "fee late, too little": (75_999, 0, 55_000, 20_999, 71_001, 4_998),
        "fee twice": (76_000, 0, 55_000, 21_000, 72_001, 3_999),
        "fee too much": (62_001, 0, 55_000, 7_001, 58_001, 4_000),
        "fee first too little": (75_999, 0, 55_000, 20_999, 71_001, 4_998),
        "work late": (89_000, 0, 55_000, 34_000, 85_001, 3_999),
        "work twice": (89_000, 0, 55_000, 34_000, 85_001, 3_999),
        "work too much": (62_001, 0, 55_000, 7_001, 58_001, 4_000),
        "work first too little": (88_999, 0, 55_000, 33_999, 84_001, 4_998),
        "everything late": (110_000, 0, 55_000, 55_000, 106_001, 3_999),
    },
    "deadline_exceeded": {
        "as asked": (55_000, 0, 55_000, 0, 55_000, 0),
        "fee late": (76_000, 0, 55_000, 21_000, 72_001, 3_999),
        "fee late, too little": (75_999, 0, 55_000, 20_999, 71_001, 4_998),
        "fee twice": (76_000, 0, 55_000, 21_000, 72_001, 3_999),
        "fee too much": (62_001, 0, 55_000, 7_001, 58_001, 4_000),
        "fee first too little": (75_999, 0, 55_000, 20_999, 71_001, 4_998),
        "work late": (89_000, 0, 55_000, 34_000, 85_001, 3_999),
        "work twice": (89_000, 0, 55_000, 34_000, 85_001, 3_999),
        "work too much": (62_001, 0, 55_000, 7_001, 58_001, 4_000),
        "work first too little": (88_999, 0, 55_000, 33_999, 84_001, 4_998),
        "everything late": (110_000, 0, 55_000, 55_000, 106_001, 3_999),
    },
    "complete": {
        "as asked": (55_000, 55_000, 0, 0, 0, 0),
        "fee late": (76_000, 55_000, 0, 21_000, 17_001, 3_999),
        "fee late, too little": (75_999, 55_000, 0, 20_999, 16_001, 4_998),
        "fee twice": (76_000, 55_000, 0, 21_000, 17_001, 3_999),
        "fee too much": (62_001, 55_000, 0, 7_001, 0, 7_001),
        "fee first too little": (75_999, 55_000, 0, 20_999, 16_001, 4_998),
        "work late": (89_000, 55_000, 0, 34_000, 30_001, 3_999),
        "work twice": (89_000, 55_000, 0, 34_000, 30_001, 3_999),
        "work too much": (62_001, 55_000, 0, 7_001, 0, 7_001),
        "work first too little": (88_999, 55_000, 0, 33_999, 29_001, 4_998),
        "everything late": (110_000, 55_000, 0, 55_000, 51_001, 3_999),
    },
}
CELLS = [(end, way) for end, ways in EXPECTED.items() for way in ways]
UNPAID = {"eval_unpaid", "cancelled, unpaid"}
UNQUOTED = {
    "cancelled before the evaluation",
    "cancelled in the evaluation",
    "evaluation_failed",
    "rejected",
    "rejected, fee returned",
}
WORKED_ON = {"work_failed", "deadline_exceeded", "complete"}


@pytest.fixture
def books(shared_store):
    return Books(shared_store)


@pytest.mark.parametrize(("end", "way"), CELLS, ids=lambda word: word.replace(",", ""))
async def test_all_that_came_in_is_earned_owed_or_paid_back(books, end, way):
    job_id = await lead_to(books, end, way)
    came_in, earned, house, own, paid_back, still_owed = EXPECTED[end][way]

    before = (await books.money_in(job_id), await books.earned(job_id), await books.debt(job_id))
    house_cost = await pay_out(books, job_id)
    after = (await books.money_in(job_id), await books.earned(job_id), await paid(books, job_id))

    assert before == (came_in, earned, Debt(house=Msat(house), own=Msat(own)))
    assert after == (came_in, earned, paid_back)
    assert (await books.debt(job_id)).total == still_owed
    assert came_in == earned + paid_back + still_owed
    assert house_cost == (ROUTING if paid_back and not own else 0)
    assert await books.store.read(audit) == []


async def lead_to(books, end, way):
    """A job that was paid in this way and has ended so."""
    terms = replace(TERMS, keeps_fee_on_reject=end != "rejected, fee returned")
    books.terms = terms
    job_id = await books.open()
    for _ in range(3):
        await books.renew(job_id, "eval", FEE)
    if end not in UNPAID:
        await pay(books, job_id, "eval", way)
    if end not in UNPAID | UNQUOTED:
        await books.begin_evaluation(job_id)
        assert await books.quote(job_id)
        for _ in range(3):
            await books.renew(job_id, "work", PRICE)
    if end in WORKED_ON:
        await pay(books, job_id, "work", way)
    await bring_to_its_end(books, job_id, end)
    if way in {"fee late", "everything late"}:
        await books.pay(job_id, "eval")
    if way == "fee late, too little":
        await books.pay(job_id, "eval", amount=FEE - 1)
    if way in {"work late", "everything late"}:
        await books.pay(job_id, "work")
    return job_id


async def pay(books, job_id, purpose, way):
    name, asked = ("fee", FEE) if purpose == "eval" else ("work", PRICE)
    if way == f"{name} first too little":
        await books.pay(job_id, purpose, amount=asked - 1)
    await books.pay(job_id, purpose, amount=asked + 7_001 if way == f"{name} too much" else None)
    if way == f"{name} twice":
        await books.pay(job_id, purpose)


async def bring_to_its_end(books, job_id, end):
    match end:
        case "cancelled in the evaluation":
            await books.begin_evaluation(job_id)
            await books.cancel(job_id)
        case "rejected" | "rejected, fee returned":
            assert await books.reject(job_id)
        case "complete":
            assert await books.complete(job_id)
        case _ if end.startswith("cancelled"):
            await books.cancel(job_id)
        case _:
            assert await books.fail(job_id, end)


async def pay_out(books, job_id):
    """Send what is due, if it is 10 sats or more; what that cost the house."""
    due = [row for row in await books.store.read(refunds.of_account, job_id) if row.state == "due"]
    if not due or due[0].amount < from_sats(10):
        return 0
    [refund] = due
    target = Target("to", "lnbcrt1", secrets.token_hex(32), refund.amount, NOW_MS + 3_600_000)
    await books.store.write(payouts.start_refund, refund, target, TERMS.refund_fee, NOW_MS)
    [payout] = await books.store.write(
        payouts.take_due, now_ms=NOW_MS, until_ms=NOW_MS + 1, limit=10
    )
    before = await books.store.read(ledger.house_balance, FEES)
    assert await books.store.write(payouts.arrived, payout, ROUTING, TERMS.refund_fee, NOW_MS)
    return before - await books.store.read(ledger.house_balance, FEES)


async def paid(books, job_id):
    """What was paid back of a job, and what its debt has paid for the routing of that."""
    return -sum(entry.amount for entry in await books.entries(job_id) if entry.kind == "withdrawal")


async def test_the_table_has_every_end():
    ends = {end.split(",")[0].split(" ")[0] for end in EXPECTED}

    assert ends == {*ERROR_CODES, "rejected", "complete"}
