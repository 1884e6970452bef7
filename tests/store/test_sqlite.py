"""SQLite alone: full disks, locks, kills, live copies, and functions that wait for other things."""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.store.bulletin import Bulletin
from core.store.migrate import Migration
from core.store.port import Tx
from core.store.sqlite import SqliteStore
from core.store.sqlite_file import copy_database
from core.values.errors import DatabaseUnavailable
from tests.conftest import NOW_MS, Database
from tests.store.till import SCHEMA, balance, note, notes, open_account

KIB = 1024


@pytest.fixture
async def till(sqlite_database: Database) -> AsyncIterator[SqliteStore]:
    store = await open_till(sqlite_database, busy_timeout_s=5)
    yield store
    await store.aclose()


async def open_till(database: Database, *, busy_timeout_s: float) -> SqliteStore:
    path = database.data_dir / "boltwork.db"
    return await SqliteStore.open(path, SCHEMA, Bulletin(), NOW_MS, busy_timeout_s=busy_timeout_s)


async def test_a_function_that_waits_for_something_else_is_refused_and_rolled_back(till):
    async def wait(tx: Tx) -> None:
        await note(tx, 1)
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="not its tx"):
        await till.write(wait)

    assert await till.read(notes) == []


async def test_what_a_refused_function_writes_on_its_way_out_is_rolled_back_too(till):
    async def wait(tx: Tx) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await note(tx, 1)

    with pytest.raises(AssertionError, match="not its tx"):
        await till.write(wait)

    assert await till.read(notes) == []


async def test_a_statement_whose_changes_sqlite_does_not_count_is_refused(till):
    await till.write(open_account, "alice", 5)

    async def guard_with_a_cte(tx: Tx) -> int:
        return await tx.run("WITH x AS (SELECT 5) UPDATE accounts SET balance = 0 WHERE 1 = 2")

    with pytest.raises(AssertionError):
        await till.write(guard_with_a_cte)


async def test_the_writer_survives_power_loss_and_checks_foreign_keys(till):
    async def settings(tx: Tx) -> list[object]:
        found = [
            await tx.one(f"PRAGMA {name}")
            for name in ("synchronous", "journal_mode", "foreign_keys")
        ]
        return [value for row in found if row for value in dict(row).values()]

    assert await till.write(settings) == [2, "wal", 1]


async def test_a_full_disk_is_refused_keeps_what_was_acknowledged_and_heals(till, sqlite_database):
    await limit_pages(till, 60)

    outcomes = await asyncio.gather(
        *(till.write(note, number, "x" * 4 * KIB) for number in range(100)), return_exceptions=True
    )

    kept = [number for number, outcome in enumerate(outcomes) if outcome is None]
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert kept
    assert refused
    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in refused)
    assert await till.read(notes) == kept
    await limit_pages(till, 1_000)
    await till.write(note, 100, "x" * 4 * KIB)
    assert await till.read(notes) == [*kept, 100]
    assert is_whole(sqlite_database.data_dir / "boltwork.db")


async def test_a_disk_that_fills_in_the_middle_of_a_transaction_keeps_none_of_it(till):
    await till.write(open_account, "alice", 5)
    await limit_pages(till, 20)

    async def spend_and_fill(tx: Tx) -> None:
        await tx.run("UPDATE accounts SET balance = 0")
        for number in range(100):
            await note(tx, number, "x" * 4 * KIB)

    with pytest.raises(DatabaseUnavailable, match="full"):
        await till.write(spend_and_fill)

    assert await till.read(balance, "alice") == 5
    assert await till.read(notes) == []


async def test_a_foreign_lock_refuses_all_that_wait_and_ends_with_the_lock(sqlite_database):
    store = await open_till(sqlite_database, busy_timeout_s=0.2)
    with lock(sqlite_database) as locked:
        async with asyncio.timeout(2):  # one time-out for all, not one for each
            outcomes = await asyncio.gather(
                *(store.write(note, number) for number in range(40)), return_exceptions=True
            )
        reading = await store.read(notes)
        locked.rollback()

    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
    assert reading == []
    await store.write(note, 40)
    assert await store.read(notes) == [40]
    await store.aclose()


async def test_a_lock_that_is_shorter_than_the_time_out_is_waited_for(till, sqlite_database):
    with lock(sqlite_database) as locked:
        write = asyncio.create_task(till.write(note, 1))
        await till.read(notes)
        locked.rollback()

    await write
    assert await till.read(notes) == [1]


async def test_opening_a_locked_file_fails_and_leaves_no_thread(sqlite_database):
    await (await open_till(sqlite_database, busy_timeout_s=5)).aclose()
    before = set(threading.enumerate())
    newer = [*SCHEMA, Migration(2, "0002_more.sql", "CREATE TABLE more (n INTEGER);")]
    path = sqlite_database.data_dir / "boltwork.db"

    with lock(sqlite_database), pytest.raises(DatabaseUnavailable):
        await SqliteStore.open(path, newer, Bulletin(), NOW_MS, busy_timeout_s=0.1)

    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.mark.parametrize("acknowledged", [1, 50, 400])
async def test_what_was_acknowledged_survives_a_kill(sqlite_database, acknowledged):
    path = sqlite_database.data_dir / "boltwork.db"

    told = await run_until_told(path, acknowledged)

    assert is_whole(path)
    store = await open_till(sqlite_database, busy_timeout_s=5)
    kept = set(await store.read(notes))
    assert len(told) >= acknowledged
    assert set(told) <= kept
    await store.write(note, 10**9)
    await store.aclose()


async def test_a_live_copy_is_one_file_that_holds_everything_acknowledged_before(
    till, sqlite_database, tmp_path: Path
):
    acknowledged: list[int] = []
    enough, copied = asyncio.Event(), asyncio.Event()

    async def keep_writing(first: int) -> None:
        number = first
        while not copied.is_set():
            await till.write(note, number, "x" * KIB)
            acknowledged.append(number)
            number += 16
            if len(acknowledged) >= 500:
                enough.set()

    writers = [asyncio.create_task(keep_writing(first)) for first in range(16)]
    await asyncio.wait_for(enough.wait(), 30)

    (tmp_path / "copy").mkdir()
    before = set(acknowledged)
    path = sqlite_database.data_dir / "boltwork.db"
    await asyncio.to_thread(copy_database, path, tmp_path / "copy" / "boltwork.db")
    copied.set()
    await asyncio.gather(*writers)

    assert os.listdir(tmp_path / "copy") == ["boltwork.db"]  # noqa: PTH208 - a path may block
    assert is_whole(tmp_path / "copy" / "boltwork.db")
    opened = await open_till(Database("sqlite", "sqlite", tmp_path / "copy"), busy_timeout_s=5)
    assert before <= set(await opened.read(notes))
    await opened.aclose()


async def limit_pages(store: SqliteStore, pages: int) -> None:
    """The same fault as a full disk, without one."""

    async def limit(tx: Tx) -> None:
        await tx.one(f"PRAGMA max_page_count = {pages}")

    await store.write(limit)


@contextmanager
def lock(database: Database) -> Iterator[sqlite3.Connection]:
    """Hold the file's write lock from another connection, until it rolls back."""
    connection = sqlite3.connect(database.data_dir / "boltwork.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


def is_whole(path: Path) -> bool:
    """SQLite's own opinion of a file."""
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    finally:
        connection.close()


async def run_until_told(path: Path, acknowledged: int) -> list[int]:
    """Run a writing program, kill it after so many acknowledgements; return all that it told."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store.acknowledge", "sqlite", str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    told = [int(await program.stdout.readline()) for _ in range(acknowledged)]
    program.kill()
    rest = await program.stdout.read()
    await program.wait()
    return told + [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
