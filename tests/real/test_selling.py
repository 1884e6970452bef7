"""The whole product at a real LNbits: a job and a session, paid by a second wallet."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.app import Core, open_core
from core.books.audit import audit
from core.config import load
from core.desk.ask_desk import Question
from core.desk.job_desk import JobOrder
from core.values.clock import SystemClock
from core.values.tokens import to_bearer
from core.wallets.lnbits import LnbitsWallet
from tests.real.lnbits_server import RealLnbits
from tests.real.test_lnbits_wallet import NEVER_S, proxy_without_sockets

CLIENT = "192.0.2.1"
ORDER = JobOrder("Sort these names: Zoe, Adam, Mia")


@asynccontextmanager
async def shop_at(
    lnbits: RealLnbits, folder: Path, *, url: str = "", catch_up_s: float = 2.0
) -> AsyncIterator[Core]:
    environ = {"BOLTWORK_SERVER__DATA_DIR": str(folder), "BOLTWORK_WALLET__NETWORK": "mainnet"}
    wallet = LnbitsWallet(
        url=url or lnbits.url,
        invoice_key=lnbits.new_wallet().invoice_key,
        network="mainnet",  # which is what the invoices of FakeWallet say
        clock=SystemClock(),
        catch_up_s=catch_up_s,
        requests_per_minute=600,
    )
    async with open_core(load(None, environ), wallet=wallet) as core:
        yield core
        assert await core.store.read(audit) == []


async def sold(core: Core, lnbits: RealLnbits) -> list[float]:
    """Sell one job; how long after each payment's own call its news was here."""
    opened = await core.desk.jobs.request_job(ORDER, client=CLIENT)
    job = opened.job
    assert job.eval_invoice is not None
    delays_s = [await _pay(core, lnbits, job.job_id, job.eval_invoice.bolt11, job.state)]
    job = await core.desk.jobs.wait_job(job.job_id, not_state="evaluating", wait_s=10)
    assert job.work_invoice is not None
    delays_s.append(await _pay(core, lnbits, job.job_id, job.work_invoice.bolt11, job.state))
    job = await core.desk.jobs.wait_job(job.job_id, not_state="executing", wait_s=10)
    assert (job.state, job.result) == ("complete", "Adam, Mia, Zoe")
    return delays_s


async def _pay(core: Core, lnbits: RealLnbits, job_id: str, bolt11: str, state: str) -> float:
    moved = asyncio.create_task(core.desk.jobs.wait_job(job_id, not_state=state, wait_s=20))
    await lnbits.pay(bolt11)
    paid_at = time.monotonic()
    assert (await moved).state != state
    return time.monotonic() - paid_at


async def test_a_job_is_sold_and_its_payments_heard_over_the_socket(
    lnbits: RealLnbits, tmp_path: Path
) -> None:
    async with shop_at(lnbits, tmp_path, catch_up_s=NEVER_S) as core:
        delays_s = await sold(core, lnbits)

    assert max(delays_s) < 0.3


async def test_a_job_is_sold_and_its_payments_heard_without_a_socket(
    lnbits: RealLnbits, tmp_path: Path
) -> None:
    async with (
        proxy_without_sockets(lnbits.url) as url,
        shop_at(lnbits, tmp_path, url=url) as core,
    ):
        delays_s = await sold(core, lnbits)

    assert max(delays_s) < 5


async def test_a_session_is_filled_spent_topped_up_and_closed(
    lnbits: RealLnbits, tmp_path: Path
) -> None:
    async with shop_at(lnbits, tmp_path) as core:
        desk = core.desk
        opened = await desk.sessions.open_session(100, client=CLIENT)
        bearer = desk.verify(to_bearer(opened.macaroon))
        await lnbits.pay(opened.deposit_invoice.bolt11)

        question = Question("Sort these names: Zoe, Adam", body_bytes=60)
        answered: Any = await desk.asks.ask(question, bearer, client=CLIENT, ref="first")
        topup = await desk.sessions.top_up("me", bearer, 200, client=CLIENT)
        await lnbits.pay(topup.bolt11)
        await core.desk.till.settler.ask(topup.payment_hash)
        second = await desk.asks.ask(question, bearer, client=CLIENT, ref="second")
        closed = await desk.sessions.close_session("me", bearer)

        entries = await desk.sessions.entries("me", bearer, before=None, limit=100)

    assert answered.result == "Adam, Zoe"
    assert closed.state == "closed"
    assert closed.balance == 300_000 - answered.cost - second.cost
    assert sum(entry.amount for entry in entries) == closed.balance
    assert [entry.kind for entry in entries] == ["charge", "topup", "charge", "deposit"]
