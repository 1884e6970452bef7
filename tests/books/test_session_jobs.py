"""A session's jobs: every way they can end, who may pay for them, and what counts against whom."""

import asyncio
from dataclasses import replace

import pytest

from core.books import job_rows, ledger, lifecycle
from core.books.audit import audit
from core.books.metering import MoneyMissing
from core.values.errors import Forbidden, NotFound, RateLimited, Unauthorized, WrongState
from core.values.money import NOTHING, Msat
from tests.books.paid_jobs import FEE, NOW_MS, PRICE, TERMS
from tests.books.paid_sessions import SessionBooks, budget, narrowed

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUDGET = 200_000


@pytest.fixture
def books(shared_store):
    return SessionBooks(shared_store)


async def money(books, bearer, job_id):
    """On the session, on the job, earned, credited back, and counted against the one budget."""
    assert await books.store.read(audit) == []
    return (
        await books.on_account(await books.session_of(bearer)),
        await books.on_account(job_id),
        await books.revenue_of(job_id),
        await books.credited(job_id),
        *await books.counted(bearer),
    )


async def asked(books):
    return await books.child(await books.fill(), budget(BUDGET))


# How a job ends: what its session has, what lies on the job, earned, credited, budget (used, held)


@pytest.mark.parametrize(
    ("fee", "state", "expected"),
    [
        (FEE, "asked", (979_000, 21_000, 0, [], (0, 21_000))),
        (FEE, "evaluating", (979_000, 21_000, 0, [], (0, 21_000))),
        (FEE, "awaiting_work_payment", (979_000, 21_000, 0, [], (0, 21_000))),
        (FEE, "executing", (945_000, 55_000, 0, [], (0, 55_000))),
        (NOTHING, "asked", (1_000_000, 0, 0, [], (0, 0))),
        (NOTHING, "awaiting_work_payment", (1_000_000, 0, 0, [], (0, 0))),
        (NOTHING, "executing", (966_000, 34_000, 0, [], (0, 34_000))),
    ],
)
async def test_an_open_job_holds_what_was_paid_for_it(books, fee, state, expected):
    bearer = await asked(books)

    job_id = await books.work_on(bearer, state, fee=fee)

    assert await money(books, bearer, job_id) == expected


@pytest.mark.parametrize(
    ("fee", "state", "code", "expected"),
    [
        (FEE, "asked", "cancelled", (1_000_000, 0, 0, [21_000], (0, 0))),
        (FEE, "asked", "evaluation_failed", (1_000_000, 0, 0, [21_000], (0, 0))),
        (FEE, "evaluating", "cancelled", (979_000, 0, 21_000, [], (21_000, 0))),
        (FEE, "evaluating", "evaluation_failed", (1_000_000, 0, 0, [21_000], (0, 0))),
        (FEE, "awaiting_work_payment", "cancelled", (979_000, 0, 21_000, [], (21_000, 0))),
        (FEE, "awaiting_work_payment", "quote_expired", (979_000, 0, 21_000, [], (21_000, 0))),
        (FEE, "executing", "work_failed", (1_000_000, 0, 0, [55_000], (0, 0))),
        (FEE, "executing", "deadline_exceeded", (1_000_000, 0, 0, [55_000], (0, 0))),
        (NOTHING, "asked", "cancelled", (1_000_000, 0, 0, [], (0, 0))),
        (NOTHING, "evaluating", "evaluation_failed", (1_000_000, 0, 0, [], (0, 0))),
        (NOTHING, "awaiting_work_payment", "quote_expired", (1_000_000, 0, 0, [], (0, 0))),
        (NOTHING, "executing", "work_failed", (1_000_000, 0, 0, [34_000], (0, 0))),
        (NOTHING, "executing", "deadline_exceeded", (1_000_000, 0, 0, [34_000], (0, 0))),
    ],
)
async def test_what_a_job_that_failed_costs_and_gives_back(books, fee, state, code, expected):
    bearer = await asked(books)
    job_id = await books.work_on(bearer, state, fee=fee)

    assert await books.fail(job_id, code)

    job = await books.view(job_id)
    assert (job.state, job.error_code) == ("failed", code)
    assert await money(books, bearer, job_id) == expected


@pytest.mark.parametrize(
    ("fee", "keeps_fee", "expected"),
    [
        (FEE, True, (979_000, 0, 21_000, [], (21_000, 0))),
        (FEE, False, (1_000_000, 0, 0, [21_000], (0, 0))),
        (NOTHING, True, (1_000_000, 0, 0, [], (0, 0))),
    ],
)
async def test_what_a_rejected_job_costs(shared_store, fee, keeps_fee, expected):
    books = SessionBooks(shared_store, replace(TERMS, keeps_fee_on_reject=keeps_fee))
    bearer = await asked(books)
    job_id = await books.work_on(bearer, "evaluating", fee=fee)

    assert await books.reject(job_id)

    assert (await books.view(job_id)).state == "rejected"
    assert await money(books, bearer, job_id) == expected


@pytest.mark.parametrize(
    ("fee", "expected"),
    [
        (FEE, (945_000, 0, 55_000, [], (55_000, 0))),
        (NOTHING, (966_000, 0, 34_000, [], (34_000, 0))),
    ],
)
async def test_what_a_complete_job_costs(books, fee, expected):
    bearer = await asked(books)
    job_id = await books.work_on(bearer, "executing", fee=fee)

    assert await books.complete(job_id)

    assert (await books.view(job_id)).result == "Alice, Bob"
    assert await money(books, bearer, job_id) == expected


async def test_what_came_back_was_not_spent(books):
    bearer = await asked(books)
    await books.complete(await books.work_on(bearer, "executing"))
    await books.fail(await books.work_on(bearer, "executing"), "work_failed")

    session = await books.session(await books.session_of(bearer))

    assert (session.balance, session.spent, session.deposited) == (945_000, 55_000, 1_000_000)


async def test_a_job_says_where_its_money_went(books):
    bearer = await asked(books)
    job_id = await books.work_on(bearer, "executing")

    await books.fail(job_id, "work_failed")

    job = await books.view(job_id)
    [refund] = job.refunds
    assert (refund.state, refund.amount, refund.fee) == ("credited", 55_000, 0)
    assert refund.destination == await books.session_of(bearer)
    assert (job.eval_invoice, job.work_invoice) == (None, None)


async def test_an_answer_that_comes_after_the_end_earns_nothing(books):
    bearer = await asked(books)
    job_id = await books.work_on(bearer, "executing")
    late = await books.record(job_id)
    await books.fail(job_id, "deadline_exceeded")

    done = await books.store.write(
        lifecycle.complete, late, "Late.", job_rows.TokensUsed(1, 1), terms=TERMS, now_ms=NOW_MS
    )

    assert not done
    assert await money(books, bearer, job_id) == (1_000_000, 0, 0, [55_000], (0, 0))


# Who starts the work


@pytest.mark.parametrize(
    ("max_price_sats", "state"),
    [
        (34, "executing"),
        (35, "executing"),
        (33, "awaiting_work_payment"),
        (0, "awaiting_work_payment"),
        (None, "awaiting_work_payment"),
    ],
)
async def test_at_or_under_its_maximum_the_work_starts_by_itself(books, max_price_sats, state):
    root = await books.fill()
    job_id = await books.ask(root, max_price_sats=max_price_sats)

    await books.quote(job_id)

    job = await books.view(job_id)
    assert (job.state, job.quote.price_sats) == (state, 34)
    assert job.quote.expires_at_ms == NOW_MS + 86_400_000


async def test_every_change_of_a_job_that_starts_by_itself_can_be_seen(books):
    root = await books.fill()
    job_id = await books.work_on(root, "executing")

    states = [version.state for version in await books.versions(job_id)]

    assert states == ["evaluating", "awaiting_work_payment", "executing"]


async def test_work_that_was_accepted_starts_with_its_deadline(books):
    root = await books.fill()
    job_id = await books.work_on(root, "awaiting_work_payment")

    job = await books.accept(job_id, root)

    assert (job.state, job.deadline_at_ms) == ("executing", NOW_MS + 600_000)
    assert await books.on_account(job_id) == 55_000


async def test_work_is_accepted_once_however_many_ask_at_once(books):
    root = await books.fill()
    job_id = await books.work_on(root, "awaiting_work_payment")

    outcomes = await asyncio.gather(
        *(books.accept(job_id, root) for _ in range(20)), return_exceptions=True
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(each) for each in refused] == [WrongState] * 19
    assert await books.on_account(await books.session_of(root)) == 945_000


async def test_work_that_nobody_accepts_in_time_keeps_the_fee(books):
    root = await books.fill()
    job_id = await books.work_on(root, "awaiting_work_payment")

    due = await books.store.read(job_rows.waited_out, NOW_MS + 86_400_000, 10_000)
    early = await books.store.read(job_rows.waited_out, NOW_MS + 86_399_999, 10_000)

    assert job_id in {job.job_id for job in due}
    assert job_id not in {job.job_id for job in early}


async def waits_until_root_accepts(books, root, job_id, *, now_ms=NOW_MS):
    """The quote starts nothing, costs nothing, and the root token can still pay for it."""
    session_id = await books.session_of(root)
    before = await books.on_account(session_id)

    assert await books.quote(job_id, now_ms=now_ms)

    assert (await books.view(job_id)).state == "awaiting_work_payment"
    assert await books.on_account(session_id) == before
    assert await books.store.read(audit) == []
    assert (await books.accept(job_id, root)).state == "executing"


async def test_the_work_waits_where_its_token_was_revoked(books):
    root = await books.fill()
    child = await books.child(root)
    job_id = await books.ask(child, max_price_sats=100)

    await books.revoke(child)

    await waits_until_root_accepts(books, root, job_id)


async def test_the_work_waits_where_the_parent_of_its_token_was_revoked(books):
    root = await books.fill()
    child = await books.child(root)
    job_id = await books.ask(await books.child(child), max_price_sats=100)

    await books.revoke(child)

    await waits_until_root_accepts(books, root, job_id)


async def test_the_work_waits_where_its_token_has_expired(books):
    root = await books.fill()
    child = await books.child(root, f"expires_at={NOW_MS // 1000 + 60}")
    job_id = await books.ask(child, max_price_sats=100)

    await waits_until_root_accepts(books, root, job_id, now_ms=NOW_MS + 60_000)


async def test_the_work_starts_until_the_last_moment_of_its_token(books):
    root = await books.fill()
    child = await books.child(root, f"expires_at={NOW_MS // 1000 + 60}")
    job_id = await books.ask(child, max_price_sats=100)

    await books.quote(job_id, now_ms=NOW_MS + 59_999)

    assert (await books.view(job_id)).state == "executing"


async def test_a_copy_narrowed_offline_is_asked_for_by_its_own_limits(books):
    root = await books.fill()
    copy = narrowed(root, "max_request_msat=33999")
    job_id = await books.ask(copy, max_price_sats=100)

    await waits_until_root_accepts(books, root, job_id)


async def test_the_work_waits_where_a_budget_is_short_by_one_msat(books):
    root = await books.fill()
    child = await books.child(root, budget(54_999))
    job_id = await books.ask(child, max_price_sats=100)

    await waits_until_root_accepts(books, root, job_id)


async def test_the_work_waits_where_one_budget_of_several_is_short(books):
    root = await books.fill()
    shared = budget(54_999)
    child = await books.child(root, budget(BUDGET), shared, budget(BUDGET))
    job_id = await books.ask(child, max_price_sats=100)

    await waits_until_root_accepts(books, root, job_id)

    assert await books.counted(child) == [(0, 21_000)] * 3


async def test_a_budget_may_be_used_up_to_its_last_msat(books):
    child = await books.child(await books.fill(), budget(55_000))

    job_id = await books.work_on(child, "executing")
    await books.complete(job_id)

    assert await books.counted(child) == [(55_000, 0)]
    with pytest.raises(Forbidden):
        await books.ask(child)


async def test_fee_and_price_each_stay_within_the_largest_request(books):
    child = await books.child(await books.fill(), "max_request_msat=34000")

    job_id = await books.work_on(child, "executing")

    assert await books.on_account(job_id) == 55_000


async def test_a_fee_above_the_largest_request_is_refused(books):
    child = await books.child(await books.fill(), "max_request_msat=20999")

    with pytest.raises(Forbidden):
        await books.ask(child)


async def test_the_work_waits_where_the_money_is_short_by_one_msat(books):
    root = await books.fill(Msat(54_999))
    job_id = await books.ask(root, max_price_sats=100)

    await books.quote(job_id)

    assert (await books.view(job_id)).state == "awaiting_work_payment"
    with pytest.raises(MoneyMissing) as missing:
        await books.accept(job_id, root)
    assert (missing.value.missing, missing.value.needed) == (1, 34_000)
    assert missing.value.balance == 33_999


async def test_a_session_may_be_spent_to_its_last_msat(books):
    root = await books.fill(Msat(55_000))

    job_id = await books.work_on(root, "executing")
    await books.complete(job_id)

    assert await books.on_account(await books.session_of(root)) == 0
    with pytest.raises(MoneyMissing):
        await books.ask(root)


async def test_the_work_waits_where_a_running_request_holds_the_money(books):
    root = await books.fill(Msat(55_000))
    session_id = await books.session_of(root)
    job_id = await books.ask(root, max_price_sats=100)
    await books.store.write(ledger.hold, f"hold:{job_id}", session_id, Msat(1), NOW_MS + 1)

    await books.quote(job_id)

    assert (await books.view(job_id)).state == "awaiting_work_payment"
    with pytest.raises(RateLimited):
        await books.accept(job_id, root)
    await books.store.write(ledger.post, f"hold:{job_id}", NOTHING, ref="", now_ms=NOW_MS)
    assert (await books.accept(job_id, root)).state == "executing"


async def test_exactly_as_many_works_start_as_the_money_pays_for(books):
    root = await books.fill(Msat(20 * 21_000 + 5 * 34_000 + 33_999))
    asked = [await books.ask(root, max_price_sats=34) for _ in range(20)]

    await asyncio.gather(*(books.quote(job_id) for job_id in asked))

    states = [(await books.view(job_id)).state for job_id in asked]
    assert states.count("executing") == 5
    assert states.count("awaiting_work_payment") == 15
    assert await books.on_account(await books.session_of(root)) == 33_999
    assert await books.store.read(audit) == []


async def test_exactly_as_many_jobs_open_as_the_money_pays_for(books):
    root = await books.fill(Msat(20 * 21_000 + 20_999))

    outcomes = await asyncio.gather(*(books.ask(root) for _ in range(200)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    assert len(outcomes) - len(refused) == 20
    assert {type(each) for each in refused} == {MoneyMissing}
    assert await books.on_account(await books.session_of(root)) == 20_999


# Budgets over several jobs


async def test_what_running_jobs_hold_of_a_budget_may_come_back(books):
    child = await books.child(await books.fill(), budget(41_999))
    first = await books.work_on(child, "evaluating")

    with pytest.raises(RateLimited):
        await books.ask(child)
    await books.fail(first, "evaluation_failed")

    await books.ask(child)


async def test_what_was_earned_of_a_budget_is_gone(books):
    child = await books.child(await books.fill(), budget(41_999))
    await books.reject(await books.work_on(child, "evaluating"))

    with pytest.raises(Forbidden):
        await books.ask(child)


async def test_ten_tokens_of_one_budget_share_it(books):
    root = await books.fill()
    parent = await books.child(root, budget(5 * 21_000))
    children = [await books.child(parent) for _ in range(10)]

    outcomes = await asyncio.gather(
        *(books.ask(child) for child in children), return_exceptions=True
    )

    opened = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(opened) == 5
    assert await books.counted(parent) == [(0, 105_000)]
    for job_id in opened:
        await books.begin_evaluation(job_id)
        await books.reject(job_id)
    assert await books.counted(children[7]) == [(105_000, 0)]
    assert await books.store.read(audit) == []


async def test_every_level_of_budgets_counts(books):
    root = await books.fill()
    parent = await books.child(root, budget(BUDGET))
    child = await books.child(parent, budget(BUDGET))

    await books.complete(await books.work_on(child, "executing"))
    await books.reject(await books.work_on(parent, "evaluating"))

    assert await books.counted(child) == [(76_000, 0), (55_000, 0)]


async def test_the_stricter_of_two_limits_of_one_budget_counts(books):
    root = await books.fill()
    parent = await books.child(root, budget(BUDGET, "00" * 8))
    copy = narrowed(parent, budget(20_999, "00" * 8))

    with pytest.raises(Forbidden):
        await books.ask(copy)
    await books.ask(parent)


async def test_a_budget_of_another_session_with_the_same_id_is_another(books):
    one = await books.child(await books.fill(), budget(21_000, "ab" * 8))
    other = await books.child(await books.fill(), budget(21_000, "ab" * 8))

    await books.ask(one)
    await books.ask(other)

    assert await books.counted(one) == await books.counted(other) == [(0, 21_000)]


async def test_work_accepted_by_another_token_counts_against_that_one(books):
    root = await books.fill()
    one, other = await books.child(root, budget(BUDGET)), await books.child(root, budget(BUDGET))
    job_id = await books.work_on(one, "awaiting_work_payment")

    await books.accept(job_id, other)
    await books.complete(job_id)

    assert await books.counted(one) == [(21_000, 0)]
    assert await books.counted(other) == [(34_000, 0)]


# A session that is closed


async def test_a_job_that_waits_for_the_works_payment_ends_with_its_session(books):
    root = await books.fill()
    job_id = await books.work_on(root, "awaiting_work_payment")

    await books.close(root)

    job = await books.view(job_id)
    assert (job.state, job.error_code) == ("failed", "cancelled")
    assert await books.on_account(await books.session_of(root)) == 979_000


async def test_an_evaluation_in_a_closed_session_finishes_and_starts_no_work(books):
    root = await books.fill()
    job_id = await books.ask(root, max_price_sats=100)
    await books.begin_evaluation(job_id)
    await books.close(root)

    assert await books.quote(job_id)

    job = await books.view(job_id)
    assert (job.state, job.error_code) == ("failed", "cancelled")
    assert await books.revenue_of(job_id) == 21_000
    assert await books.on_account(await books.session_of(root)) == 979_000
    assert await books.store.read(audit) == []


async def test_a_rejection_in_a_closed_session_is_a_rejection(books):
    root = await books.fill()
    job_id = await books.work_on(root, "evaluating")
    await books.close(root)

    await books.reject(job_id)

    assert (await books.view(job_id)).state == "rejected"


async def test_work_in_a_closed_session_finishes_and_is_charged(books):
    root = await books.fill()
    job_id = await books.work_on(root, "executing")
    await books.close(root)

    await books.complete(job_id)

    assert (await books.view(job_id)).state == "complete"
    assert await books.on_account(await books.session_of(root)) == 945_000


async def test_work_that_fails_in_a_closed_session_is_credited_to_it(books):
    root = await books.fill()
    job_id = await books.work_on(root, "executing")
    await books.close(root)

    await books.fail(job_id, "work_failed")

    session = await books.session(await books.session_of(root))
    assert (session.state, session.balance) == ("closed", 1_000_000)


async def test_what_is_paid_into_a_closed_session_opens_nothing(books):
    session_id, root = await books.wait_for_deposit()
    await books.close(root)

    await books.pay(session_id, "deposit")

    assert (await books.session(session_id)).state == "closed"
    assert await books.on_account(session_id) == 1_000_000


async def test_in_a_closed_session_nothing_new_is_spent(books):
    root = await books.fill()
    await books.close(root)

    with pytest.raises(WrongState):
        await books.ask(root)


async def test_closing_and_accepting_at_once_is_one_or_the_other(books):
    root = await books.fill()
    session_id = await books.session_of(root)
    job_id = await books.work_on(root, "awaiting_work_payment")

    await asyncio.gather(books.close(root), books.accept(job_id, root), return_exceptions=True)

    found = (await books.view(job_id)).state, await books.on_account(session_id)
    assert found in {("executing", 945_000), ("failed", 979_000)}
    assert await books.store.read(audit) == []


# Who may accept


async def test_a_job_of_another_session_is_not_found(books):
    mine, other = await books.fill(), await books.fill()
    job_id = await books.work_on(mine, "awaiting_work_payment")

    with pytest.raises(NotFound):
        await books.accept(job_id, other)


async def test_a_one_off_job_is_no_sessions_job(books):
    root = await books.fill()
    job_id = await books.in_state("awaiting_work_payment")

    with pytest.raises(NotFound):
        await books.accept(job_id, root)


async def test_accepting_needs_the_right_to_spend(books):
    root = await books.fill()
    job_id = await books.work_on(root, "awaiting_work_payment")

    with pytest.raises(Forbidden):
        await books.accept(job_id, narrowed(root, "rights=read,topup,withdraw,manage"))
    with pytest.raises(Forbidden):
        await books.accept(job_id, narrowed(root, "models=another"))
    with pytest.raises(Forbidden):
        await books.accept(job_id, narrowed(root, "max_request_msat=33999"))
    assert (await books.view(job_id)).state == "awaiting_work_payment"


async def test_a_token_for_other_models_opens_no_job(books):
    root = await books.fill()

    with pytest.raises(Forbidden):
        await books.ask(narrowed(root, "models=another"))
    await books.ask(narrowed(root, "models=another,offline"))


async def test_a_closed_session_is_told_before_the_tokens_limits(books):
    root = await books.fill()
    await books.close(root)

    for limit in ("models=another", "max_request_msat=0", budget(0)):
        with pytest.raises(WrongState):
            await books.ask(narrowed(root, limit))


async def test_a_token_that_was_revoked_accepts_nothing(books):
    root = await books.fill()
    child = await books.child(root)
    job_id = await books.work_on(child, "awaiting_work_payment")
    await books.revoke(child)

    with pytest.raises(Unauthorized):
        await books.accept(job_id, child)


async def test_revoking_its_token_does_not_stop_work_that_is_paid(books):
    root = await books.fill()
    child = await books.child(root)
    job_id = await books.work_on(child, "executing")
    await books.revoke(child)

    assert await books.complete(job_id)


@pytest.mark.parametrize("state", ["evaluating", "executing"])
async def test_only_a_job_that_waits_for_it_can_be_accepted(books, state):
    root = await books.fill()
    job_id = await books.work_on(root, state)

    with pytest.raises(WrongState):
        await books.accept(job_id, root)


async def test_what_fee_and_price_cost_stands_on_the_sessions_account(books):
    root = await books.fill()
    job_id = await books.work_on(root, "executing")
    await books.fail(job_id, "work_failed")

    session_id = await books.session_of(root)
    entries = await books.store.read(ledger.page, session_id, before=None, limit=10)

    assert [(entry.kind, entry.amount, entry.balance) for entry in entries] == [
        ("refund", 55_000, 1_000_000),
        ("charge", -PRICE, 945_000),
        ("charge", -FEE, 979_000),
        ("deposit", 1_000_000, 1_000_000),
    ]
    assert [entry.ref for entry in entries[:3]] == [job_id] * 3
