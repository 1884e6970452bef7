"""PostgreSQL alone: several processes on one database, and a server that goes away."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import count

import asyncpg
import pytest

from core.store.bulletin import Bulletin
from core.store.port import Tx
from core.store.postgres import PostgresStore
from core.values.errors import DatabaseUnavailable
from tests.conftest import NOW_MS, Database
from tests.postgres_server import PrivateServer, private_server
from tests.store.till import (
    SCHEMA,
    NotEnough,
    balance,
    debit,
    debit_slowly,
    note,
    note_and_announce,
    notes,
    open_account,
    take_note,
)


@pytest.fixture
async def till(postgres_database: Database) -> AsyncIterator[PostgresStore]:
    store = await open_till(postgres_database.url)
    yield store
    await store.aclose()


@pytest.fixture
async def other(postgres_database: Database) -> AsyncIterator[PostgresStore]:
    """A second store on the same database, as another process has it."""
    store = await open_till(postgres_database.url)
    yield store
    await store.aclose()


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    """A durable server that a test may stop, if it starts it again."""
    with private_server() as private:
        yield private


async def open_till(dsn: str) -> PostgresStore:
    return await PostgresStore.open(dsn, SCHEMA, Bulletin(), NOW_MS)


async def test_debits_in_two_processes_never_overspend(till, other):
    await till.write(open_account, "alice", 3_500)

    outcomes = await asyncio.gather(
        *((till, other)[number % 2].write(debit, "alice", 7, number) for number in range(1_000)),
        return_exceptions=True,
    )

    assert outcomes.count(None) == 500
    assert sum(isinstance(outcome, NotEnough) for outcome in outcomes) == 500
    assert await other.read(balance, "alice") == 0


async def test_functions_that_look_before_they_write_are_serial_across_processes(till, other):
    await till.write(open_account, "alice", 400)

    await asyncio.gather(
        *(store.write(debit_slowly, "alice", 1) for _ in range(200) for store in (till, other))
    )

    assert await till.read(balance, "alice") == 0


async def test_processes_that_lock_rows_in_opposite_order_wait_and_never_deadlock(till, other):
    for name in ("alice", "bob"):
        await till.write(open_account, name, 1_000)

    async def debit_both(tx: Tx, first: str, second: str) -> None:
        await debit_slowly(tx, first, 1)
        await debit_slowly(tx, second, 1)

    async with asyncio.timeout(20):  # a single deadlock takes PostgreSQL a second to notice
        for _ in range(100):
            await asyncio.gather(
                till.write(debit_both, "alice", "bob"), other.write(debit_both, "bob", "alice")
            )

    assert await till.read(balance, "alice") == 800
    assert await till.read(balance, "bob") == 800


async def test_a_busy_process_does_not_starve_another(till, other):
    done = asyncio.Event()

    async def keep_busy(first: int) -> None:
        for number in count(first, 64):
            if done.is_set():
                return
            await till.write(note, number)

    crowd = [asyncio.create_task(keep_busy(first)) for first in range(64)]
    async with asyncio.timeout(20):
        for number in range(20):
            await other.write(note, -1 - number)
    done.set()
    await asyncio.gather(*crowd)

    kept = await till.read(notes)
    assert {-1 - number for number in range(20)} <= set(kept)


async def test_every_job_is_leased_by_one_process_only(till, other):
    for number in range(20):
        await till.write(note, number)

    taken = await asyncio.gather(
        *(store.write(take_note) for _ in range(25) for store in (till, other))
    )

    assert sorted(number for number in taken if number is not None) == list(range(20))


async def test_a_commit_wakes_whoever_listens_in_another_process(till, other):
    with other.bulletin.listen("job-1") as news:
        await till.write(note_and_announce, 1, "job-1")

        assert await news.wait(5)
        assert await other.read(notes) == [1]


async def test_one_commit_announces_any_number_of_topics(till, other):
    topics = [f"job-{number}-{'x' * 40}" for number in range(1_000)] + ["it's"]

    async def announce(tx: Tx) -> None:
        for topic in topics:
            tx.announce(topic)

    with other.bulletin.listen(topics[0]) as first, other.bulletin.listen(topics[-1]) as last:
        await till.write(announce)

        assert await first.wait(5)
        assert await last.wait(5)


async def test_a_store_is_alone_while_no_other_has_the_database_open(till, postgres_database):
    assert await till.is_alone()

    other = await open_till(postgres_database.url)
    assert not await till.is_alone()
    assert not await other.is_alone()

    await other.aclose()
    assert await till.is_alone()


async def test_a_text_that_postgresql_does_not_hold_harms_only_its_own_write(till):
    outcomes = await asyncio.gather(
        till.write(note, 1, "a\0b"), till.write(note, 2), return_exceptions=True
    )

    assert isinstance(outcomes[0], asyncpg.CharacterNotInRepertoireError)
    assert await till.read(notes) == [2]


async def test_a_function_that_swallows_an_error_is_not_acknowledged(till):
    async def swallow(tx: Tx) -> str:
        await note(tx, 1)
        try:
            await note(tx, 1)
        except asyncpg.UniqueViolationError:
            return "never mind"
        return "not reached"

    with pytest.raises(AssertionError, match="swallowed"):
        await till.write(swallow)

    assert await till.read(notes) == []


async def test_a_connection_cut_in_a_batch_refuses_the_batch_and_is_made_again(till):
    async def cut(tx: Tx) -> None:
        await note(tx, 1)
        await tx.one("SELECT pg_terminate_backend(pg_backend_pid())")

    outcomes = await asyncio.gather(
        till.write(note, 0), till.write(cut), till.write(note, 2), return_exceptions=True
    )

    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
    await till.write(note, 3)
    assert await till.read(notes) == [3]


async def test_a_connection_cut_in_a_read_refuses_the_read_and_is_made_again(till):
    async def cut(tx: Tx) -> None:
        await tx.one("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable):
        await till.read(cut)

    assert await till.read(notes) == []


async def test_a_listener_that_is_cut_wakes_everybody_and_hears_again(till, other):
    with other.bulletin.listen("job-1") as news:
        await till.write(cut_listeners)
        assert await news.wait(10), "something may have been missed"

        await till.write(note_and_announce, 1, "job-1")

        assert await news.wait(5)


async def test_a_statement_that_the_operator_cancels_is_refused_as_unavailable(till):
    async def cancel(tx: Tx) -> None:
        await tx.one("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)")

    with pytest.raises(DatabaseUnavailable):
        await till.read(cancel)

    assert await till.read(notes) == []


async def test_a_restarted_server_is_found_again_with_everything_acknowledged(own_server):
    name = await own_server.server.create()
    store = await open_till(own_server.server.dsn_of(name))
    await store.write(note, 1)

    with store.bulletin.listen("job-1") as news:
        own_server.stop()
        with pytest.raises(DatabaseUnavailable):
            await store.write(note, 2)
        with pytest.raises(DatabaseUnavailable):
            await store.read(notes)
        own_server.start()

        await store.write(note, 3)
        assert await store.read(notes) == [1, 3]
        assert await news.wait(10), "it listens again, and something may have been missed"
    await store.aclose()


async def test_a_store_closes_while_its_server_is_away(own_server):
    store = await open_till(own_server.server.dsn_of(await own_server.server.create()))
    own_server.stop()
    with pytest.raises(DatabaseUnavailable):
        await store.write(note, 1)

    async with asyncio.timeout(5):
        await store.aclose()

    own_server.start()


async def test_a_server_that_is_not_there_refuses_the_start(own_server):
    own_server.stop()

    with pytest.raises(DatabaseUnavailable, match="PostgreSQL"):
        await open_till(own_server.server.dsn)

    own_server.start()


async def test_an_address_that_cannot_be_read_is_not_a_database_that_is_away():
    with pytest.raises(ValueError, match="DSN"):
        await open_till("mysql://127.0.0.1/boltwork")


async def test_what_was_acknowledged_survives_a_crash_of_the_server(own_server):
    dsn = own_server.server.dsn_of(await own_server.server.create())
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store.acknowledge", "postgres", dsn),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # it says that the server is gone
    )
    assert program.stdout is not None
    told = [int(await program.stdout.readline()) for _ in range(200)]

    await asyncio.to_thread(own_server.stop)
    rest = await program.stdout.read()
    await program.wait()
    own_server.start()

    told += [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    store = await open_till(dsn)
    assert set(told) <= set(await store.read(notes))
    await store.aclose()


async def cut_listeners(tx: Tx) -> None:
    """End the connections on which the stores of this database listen."""
    await tx.all(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
