"""More work than can be promised."""

from core.books import job_rows, ledger
from core.desk.job_desk import DUE_MAX
from core.values.ids import new_id
from core.values.money import Msat


async def fill_the_queue(tx, due_at_ms):
    """As many jobs as may that wait for a worker, made behind the program's back."""
    for _ in range(DUE_MAX):
        new = job_rows.NewJob(
            job_id=new_id("job"),
            token_id=b"",
            client="192.0.2.2",
            request="",
            metadata=None,
            model_id="offline",
            max_price_sats=None,
            eval_fee=Msat(0),
            wait_until_ms=0,
        )
        await job_rows.add(tx, new, "evaluating", due_at_ms)
        await ledger.open_account(tx, new.job_id)
