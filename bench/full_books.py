"""Books to look into: little that is open, and any number of things that ended long ago.

What is open is opened by the program's own functions, the rest is written by plain SQL.
"""

import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from core.books import invoices, job_rows, ledger, sessions
from core.books.job_rows import NewJob
from core.books.ledger import WALLET, Leg, Transfer
from core.store.dialect import translate
from core.store.migrate import as_statements, for_postgres
from core.store.port import Store, Tx
from core.values.ids import new_id
from core.values.money import Msat
from core.values.states import State
from core.values.tokens import new_token_id
from core.wallets.port import WalletInvoice

NOW_MS = 1_800_000_000_000
LATER_MS = NOW_MS + 900_000
EARLIER_MS = NOW_MS - 1_000
FEW = 10
MANY = 1_000
HOLD = Msat(1_000)

# Ids are random, as the program's are: their rows lie anywhere in an index.
_RANDOM = "/*pg md5(random()::text) -- */ lower(hex(randomblob(16)))"
_SETTLED = f"""
INSERT INTO jobs (job_id, token_id, caveats, client, state, version, request, model_id,
    eval_fee_msat, created_at_ms, updated_at_ms, ended_at_ms, attempt, eval_calls, bad_verdicts,
    work_calls, result)
  SELECT 'job_' || {_RANDOM}
    , CAST('token' AS BLOB), '', '192.0.2.1', 'complete', 5, 'Sort these names: Zoe, Adam, Mia.',
    'offline', 21000, n, n, n, 4, 1, 0, 1, 'Adam, Mia, Zoe' FROM numbers;
INSERT INTO invoices (payment_hash, account_id, purpose, bolt11, amount_msat, state, client,
    created_at_ms, expires_at_ms, paid_at_ms)
  SELECT {_RANDOM}
    , 'job', 'eval', 'lnbcrt210n1', 21000, 'paid', '192.0.2.1', n, n, n FROM numbers;
INSERT INTO holds (hold_id, account_id, amount_msat, state, used_msat, owner, expires_at_ms)
  SELECT {_RANDOM}
    , 'ses_settled', 1000, 'posted', 500, 'gone', n FROM numbers;
INSERT INTO sessions (session_id, state, is_challenge, client, created_at_ms)
  SELECT 'ses_' || {_RANDOM}
    , 'active', 0, '192.0.2.1', n FROM numbers;
"""


async def fill_sqlite(store: Store, path: Path, settled: int) -> None:
    """Fill the open store whose file this is."""
    await store.write(open_a_few)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA cache_size = -400000")
    for statement in statements(settled):
        connection.execute(statement)
    connection.commit()
    connection.close()


async def fill_postgres(store: Store, dsn: str, settled: int) -> None:
    """Fill the open store that this address leads to."""
    await store.write(open_a_few)
    connection = await asyncpg.connect(dsn)
    for statement in statements(settled):
        await connection.execute(translate(for_postgres(statement)).text)
    await connection.execute("VACUUM ANALYZE")  # as it does by itself, in time
    await connection.close()


def statements(settled: int) -> Sequence[str]:
    """What was settled long ago."""
    # A recursive query counts on both databases.
    numbers = (
        "CREATE TEMPORARY TABLE numbers AS WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL"
        f" SELECT n + 1 FROM counted WHERE n < {settled}) SELECT n FROM counted"
    )
    return (numbers, *as_statements(_SETTLED), "DROP TABLE numbers")


async def open_a_few(tx: Tx) -> None:
    """What is open: 10 of each that is due, 1,000 open invoices, and 1,000 holds."""
    for _ in range(FEW):
        await open_job(tx, state="evaluating")
        await open_job(tx, state="awaiting_eval_payment")
        await tx.run(
            "UPDATE jobs SET state = 'executing', deadline_at_ms = :earlier_ms WHERE job_id = :id",
            earlier_ms=EARLIER_MS,
            id=await open_job(tx, state="evaluating"),
        )
        await sessions.add(
            tx,
            new_id("ses"),
            client="",
            wait_until_ms=EARLIER_MS,
            is_challenge=False,
            now_ms=EARLIER_MS,
        )
    for _ in range(MANY):
        made = WalletInvoice(secrets.token_hex(32), "lnbcrt210n1", Msat(21_000), LATER_MS)
        await invoices.add(tx, invoices.fresh(made, "job", "eval", NOW_MS), client="192.0.2.1")
    await hold_many(tx)


async def open_job(tx: Tx, *, state: State) -> str:
    """Open a job that is due, or has waited long enough; return its id."""
    job_id = new_id("job")
    new = NewJob(
        job_id=job_id,
        token_id=new_token_id(),
        client="",
        request="Sort these names: Zoe, Adam, Mia.",
        metadata=None,
        model_id="offline",
        max_price_sats=None,
        eval_fee=Msat(21_000),
        wait_until_ms=EARLIER_MS,
    )
    await ledger.open_account(tx, job_id)
    await job_rows.add(tx, new, state, EARLIER_MS)
    return job_id


async def hold_many(tx: Tx) -> None:
    """Hold money of one session a thousand times; ten holds are stale."""
    await ledger.open_account(tx, "ses_settled")
    await ledger.transfer(
        tx,
        Transfer("deposit", "deposit", "", NOW_MS),
        [Leg("ses_settled", Msat(MANY * HOLD)), Leg(WALLET, Msat(-MANY * HOLD))],
    )
    for number in range(MANY):
        expires_at_ms = EARLIER_MS if number < FEW else LATER_MS
        await ledger.hold(tx, f"hold{number}", "ses_settled", HOLD, expires_at_ms)
