"""Durable debits a second, 64 callers against one at a time: `python -m bench.store`.

A debit is a guarded update and two ledger rows, each committed to disk before it is acknowledged.
Goal: 64 callers do >= 8 times the rate of one, on both databases. The drivers without a store
around them stand beside it, and PostgreSQL's round trip, which bounds it: a function waits for
the answer to each of its statements. Medians of three rounds, all kinds taking turns in each.
"""

import asyncio
import itertools
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from bench.figures import Effort, Figure, main
from core.store.bulletin import Bulletin
from core.store.migrate import Migration
from core.store.port import Store, Tx
from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore
from core.values.errors import Refused
from tests.postgres_server import private_server

CALLERS = 64
ACCOUNTS = 1_000
SYNCS = 300

SCHEMA = [
    Migration(
        1,
        "0001_debits.sql",
        """
CREATE TABLE accounts (
  account_id INTEGER PRIMARY KEY,
  balance INTEGER NOT NULL CHECK (balance >= 0),
  held INTEGER NOT NULL
) STRICT;
CREATE TABLE entries (
  entry_id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL,
  leg TEXT NOT NULL,
  amount INTEGER NOT NULL
) STRICT;
CREATE INDEX entries_of_account ON entries (account_id, entry_id);
""",
    )
]
DEBIT = (
    "UPDATE accounts SET balance = balance - :amount, held = held + :amount"
    " WHERE account_id = :account_id AND balance >= :amount"
)
ENTRY = (
    "INSERT INTO entries (entry_id, account_id, leg, amount)"
    " VALUES (:entry_id, :account_id, :leg, :amount)"
)

Debit = Callable[[int, int], Awaitable[None]]
Call = Callable[[], Awaitable[None]]
Kinds = dict[str, tuple[Call, int]]


async def debit(tx: Tx, account_id: int, entry_id: int) -> None:
    if not await tx.run(DEBIT, account_id=account_id, amount=5):
        raise Refused("The balance does not cover this.")
    for place, (leg, amount) in enumerate((("balance", -5), ("held", 5))):
        await tx.run(
            ENTRY, entry_id=entry_id + place, account_id=account_id, leg=leg, amount=amount
        )


async def open_accounts(tx: Tx) -> None:
    for account_id in range(ACCOUNTS):
        await tx.run(
            "INSERT INTO accounts VALUES (:account_id, 1000000000, 0)", account_id=account_id
        )


async def measure(effort: Effort) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, private_server() as private:
        dsn = private.server.dsn_of(await private.server.create())
        async with (
            sqlite_kinds(Path(folder)) as sqlite_callers,
            postgres_kinds(dsn) as postgres_callers,
        ):
            kinds = {**sqlite_callers, **postgres_callers}
            rates: dict[str, list[float]] = {name: [] for name in kinds}
            for _ in range(effort.rounds):
                for name, (call, callers) in kinds.items():
                    rates[name].append(await rate(call, callers, effort.seconds))
        medians = {name: statistics.median(found) for name, found in rates.items()}
        return [
            *figures_of("SQLite", medians),
            *figures_of("PostgreSQL", medians),
            Figure("PostgreSQL, one round trip", await round_trip_us(dsn), "us"),
            sync_figure(Path(folder)),
        ]


def figures_of(database: str, rates: dict[str, float]) -> list[Figure]:
    many = rates[f"{database}, {CALLERS} callers"]
    return [
        Figure(
            f"{database}, durable writes, {CALLERS} callers : {name}",
            many / rates[f"{database}, {name}"],
            "x",
            at_least=goal,
            detail=f"{many:,.0f} / {rates[f'{database}, {name}']:,.0f} debits/s",
        )
        for name, goal in (("1 caller", 8), ("driver alone", None))
    ]


@asynccontextmanager
async def sqlite_kinds(folder: Path) -> AsyncIterator[Kinds]:
    """The store, and sqlite3 in this thread with one transaction for each debit."""
    store = await SqliteStore.open(folder / "store.db", SCHEMA, Bulletin(), now_ms=0)
    await store.write(open_accounts)
    beside = await SqliteStore.open(folder / "alone.db", SCHEMA, Bulletin(), now_ms=0)
    await beside.write(open_accounts)
    await beside.aclose()
    connection = sqlite3.connect(folder / "alone.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")

    async def alone(account_id: int, entry_id: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(DEBIT, {"account_id": account_id, "amount": 5})
        for place, (leg, amount) in enumerate((("balance", -5), ("held", 5))):
            values = {"entry_id": entry_id + place, "leg": leg, "amount": amount}
            connection.execute(ENTRY, {**values, "account_id": account_id})
        connection.execute("COMMIT")

    yield kinds_of("SQLite", store, alone)
    connection.close()
    await store.aclose()


@asynccontextmanager
async def postgres_kinds(dsn: str) -> AsyncIterator[Kinds]:
    """The store, and asyncpg with one explicit transaction for each debit."""
    store = await PostgresStore.open(dsn, SCHEMA, Bulletin(), now_ms=0)
    await store.write(open_accounts)
    connection = await asyncpg.connect(dsn)

    async def alone(account_id: int, entry_id: int) -> None:
        async with connection.transaction():
            await connection.execute(
                "UPDATE accounts SET balance = balance - $2, held = held + $2"
                " WHERE account_id = $1 AND balance >= $2",
                account_id,
                5,
            )
            for place, (leg, amount) in enumerate((("balance", -5), ("held", 5))):
                await connection.execute(
                    "INSERT INTO entries VALUES ($1, $2, $3, $4)",
                    entry_id + place,
                    account_id,
                    leg,
                    amount,
                )

    yield kinds_of("PostgreSQL", store, alone)
    await connection.close()
    await store.aclose()


def kinds_of(database: str, store: Store, alone: Debit) -> Kinds:
    entry_ids = itertools.count(0, 2)

    async def through_the_store() -> None:
        await store.write(debit, random.randrange(ACCOUNTS), next(entry_ids))

    async def through_the_driver() -> None:
        await alone(random.randrange(ACCOUNTS), next(entry_ids))

    return {
        f"{database}, driver alone": (through_the_driver, 1),
        f"{database}, 1 caller": (through_the_store, 1),
        f"{database}, {CALLERS} callers": (through_the_store, CALLERS),
    }


async def rate(call: Call, callers: int, seconds: float) -> float:
    ends_at = time.perf_counter() + seconds

    async def keep_calling() -> int:
        calls = 0
        while time.perf_counter() < ends_at:
            await call()
            calls += 1
        return calls

    begun_at = time.perf_counter()
    calls = sum(await asyncio.gather(*(keep_calling() for _ in range(callers))))
    return calls / (time.perf_counter() - begun_at)


async def round_trip_us(dsn: str) -> float:
    connection = await asyncpg.connect(dsn)
    times = []
    async with connection.transaction():
        for _ in range(2_000):
            begun_at = time.perf_counter()
            await connection.execute("SELECT $1::bigint", 1)
            times.append(time.perf_counter() - begun_at)
    await connection.close()
    return statistics.median(times) * 1e6


def sync_figure(folder: Path) -> Figure:
    """What the disk takes for 4 KiB: no write can be answered sooner."""
    times = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            began_at = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began_at) * 1e6)
    times.sort()
    p99 = times[len(times) * 99 // 100]
    return Figure("fdatasync of 4 KiB, p50", times[len(times) // 2], "us", detail=f"p99 {p99:,.0f}")


if __name__ == "__main__":
    main(measure)
