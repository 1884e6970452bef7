"""Retention: what is forgotten of a job and when, and what stays."""

from dataclasses import replace

import pytest

from core.agents.port import AgentFault
from core.books import allowances, idempotency, invoices, ledger, refunds
from core.books.allowances import Allowance
from core.books.idempotency import Receipt
from core.books.refunds import Debt
from core.values.errors import NotFound
from core.values.money import Msat
from tests.world import ALICE, TTL_S

FEE, PRICE = Msat(21_000), Msat(15_000)
DAY_S = 86_400
RETENTION_S = 30 * DAY_S


async def test_a_job_that_was_never_paid_goes_whole(world):
    job, token = await world.order(metadata={"a": "b"})
    await world.jobs.cancel_job(job.job_id, token)

    await world.pass_time(RETENTION_S - 60)
    assert (await world.view(job.job_id)).request == "Sort these names."
    await world.pass_time(60)

    with pytest.raises(NotFound):
        await world.view(job.job_id)
    assert await world.store.read(invoices.of_account, job.job_id) == []
    assert await world.store.read(ledger.account, job.job_id) is None


async def test_of_a_paid_job_the_texts_go_and_the_amounts_stay(world):
    job, _ = await world.order(metadata={"a": "b"})
    world.wallet.pay(job.eval_invoice)
    quoted = await world.becomes(job.job_id, "awaiting_work_payment")
    world.wallet.pay(quoted.work_invoice)
    before = await world.becomes(job.job_id, "complete")

    await world.pass_time(RETENTION_S)

    after = await world.view(job.job_id)
    assert (after.request, after.metadata, after.reason, after.result) == (None,) * 4
    assert after.quote == replace(before.quote, summary="")  # the agent's words are a text, too
    assert (after.state, after.usage) == (before.state, before.usage)
    assert after.work_invoice == before.work_invoice
    assert await world.revenue() == FEE + PRICE


async def test_what_is_owed_stays_when_the_texts_have_gone(world):
    world.agent.works.append((AgentFault("refused", retry=False),))
    job = await world.executing()
    await world.becomes(job.job_id, "failed")

    await world.pass_time(RETENTION_S)

    [due] = await world.store.read(refunds.of_account, job.job_id)
    assert (due.state, due.debt) == ("due", Debt(house=Msat(FEE + PRICE)))


async def test_a_late_payment_of_a_job_without_texts_is_owed_back(world):
    job = await world.quoted()
    await world.pass_time(TTL_S)
    await world.pass_time(RETENTION_S)
    assert (await world.view(job.job_id)).request is None

    world.wallet.pay(job.work_invoice)

    assert await world.hears_of_debt(job.job_id) == Debt(own=PRICE)


async def test_a_job_without_texts_can_still_be_followed(world):
    job = await world.executing()
    await world.becomes(job.job_id, "complete")
    await world.pass_time(RETENTION_S)
    after = await world.view(job.job_id)

    from_now = [change async for change in world.jobs.job_changes(job.job_id, after_version=None)]
    from_start = [change async for change in world.jobs.job_changes(job.job_id, after_version=0)]
    from_end = [
        change async for change in world.jobs.job_changes(job.job_id, after_version=after.version)
    ]

    assert (from_now, from_start, from_end) == ([after], [after], [])


async def test_keys_and_free_uses_whose_time_is_over_are_forgotten(world):
    receipt = Receipt("alice", "a key", b"fingerprint", world.core.worker.process_id)
    now_ms = world.clock.now_ms()
    await world.store.write(idempotency.claim, receipt, now_ms)
    await world.store.write(allowances.use, Allowance("demo", 5), ALICE, now_ms)

    await world.pass_time(DAY_S)

    assert await world.store.read(_left_over) == (0, 0)


async def _left_over(tx):
    keys = await tx.one("SELECT COUNT(*) AS n FROM idempotency_keys")
    uses = await tx.one("SELECT COUNT(*) AS n FROM free_uses")
    return keys["n"], uses["n"]
