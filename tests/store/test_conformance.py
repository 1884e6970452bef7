"""What a store promises: one suite that both drivers pass."""

import asyncio

import asyncpg
import pytest

from core.store.migrate import Migration
from core.store.port import Store, Tx
from core.values.errors import DatabaseUnavailable, Refused, ShuttingDown
from tests.conftest import Database
from tests.store.till import (
    SCHEMA,
    NotEnough,
    account_names,
    balance,
    debit,
    note,
    note_and_announce,
    note_and_raise,
    notes,
    open_account,
    take_note,
)


async def test_a_write_returns_what_its_function_returned_and_is_kept(till: Store):
    async def write(tx: Tx) -> str:
        await note(tx, 1)
        return "written"

    answer = await till.write(write)

    assert answer == "written"
    assert await till.read(notes) == [1]


async def test_a_committed_write_is_there_after_closing_and_opening(empty_database: Database):
    first = await empty_database.open(SCHEMA)
    await first.write(note, 1)
    await first.aclose()

    second = await empty_database.open(SCHEMA)

    assert await second.read(notes) == [1]
    await second.aclose()


async def test_a_function_that_raises_keeps_nothing(till: Store):
    with pytest.raises(ValueError, match="after the write"):
        await till.write(note_and_raise, 1, ValueError("after the write"))

    assert await till.read(notes) == []


async def test_a_refusal_before_any_write_reaches_its_caller(till: Store):
    await till.write(open_account, "alice", 5)

    with pytest.raises(NotEnough):
        await till.write(debit, "alice", 6, 1)

    assert await till.read(balance, "alice") == 5


async def test_a_refusal_after_a_write_keeps_nothing(till: Store):
    with pytest.raises(Refused, match="too late"):
        await till.write(note_and_raise, 1, Refused("too late"))

    assert await till.read(notes) == []


async def test_members_that_fail_harm_no_other_of_their_batch(till: Store):
    failing = {
        7: till.write(note_and_raise, 7, ValueError("mine")),
        11: till.write(note_and_raise, 11, Refused("mine")),
        13: till.write(note, 12),  # the key of another note
        17: till.write(note_and_raise, 17, asyncio.CancelledError()),
    }
    writes = [failing.get(number) or till.write(note, number) for number in range(30)]

    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    failed = {number for number, outcome in enumerate(outcomes) if outcome is not None}
    assert failed == {7, 11, 13, 17}
    assert await till.read(notes) == [number for number in range(30) if number not in failed]


async def test_a_refusal_that_wrote_nothing_does_not_run_its_batch_again(till: Store):
    await till.write(open_account, "alice", 5)
    runs = 0

    async def count(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        await note(tx, 1)

    async def refuse(tx: Tx) -> None:
        row = await tx.one(
            "UPDATE accounts SET balance = 0 WHERE balance > :least RETURNING name", least=5
        )
        assert row is None
        raise NotEnough("nothing was written")

    outcomes = await asyncio.gather(till.write(count), till.write(refuse), return_exceptions=True)

    assert isinstance(outcomes[1], NotEnough)
    assert runs == 1


async def test_a_function_sees_what_it_and_those_before_it_in_the_batch_have_written(till: Store):
    async def open_and_look(tx: Tx, name: str) -> list[str]:
        await open_account(tx, name, 5)
        return await account_names(tx)

    seen = await asyncio.gather(*(till.write(open_and_look, name) for name in "abc"))

    assert seen == [["a"], ["a", "b"], ["a", "b", "c"]]


async def test_a_refusal_after_a_row_was_added_keeps_neither_it_nor_harms_the_batch(till: Store):
    async def add_and_refuse(tx: Tx) -> None:
        await open_account(tx, "alice", 5)
        raise Refused("too late")

    outcomes = await asyncio.gather(
        till.write(add_and_refuse), till.write(open_account, "bob", 5), return_exceptions=True
    )

    assert isinstance(outcomes[0], Refused)
    assert await till.read(account_names) == ["bob"]


async def test_rows_that_refer_to_one_another_are_added_in_the_order_of_the_function(
    empty_database: Database,
):
    schema = """
CREATE TABLE jobs (job_id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE steps (step_id INTEGER PRIMARY KEY, job_id INTEGER REFERENCES jobs (job_id)) STRICT;
"""
    store = await empty_database.open([Migration(1, "0001_steps.sql", schema)])

    async def add(tx: Tx, number: int) -> None:
        step = "INSERT INTO steps (step_id, job_id) VALUES (:step_id, :job_id)"
        await tx.run(step, step_id=2 * number, job_id=None)
        await tx.run("INSERT INTO jobs (job_id) VALUES (:job_id)", job_id=number)
        await tx.run(step, step_id=2 * number + 1, job_id=number)

    async def count(tx: Tx) -> int:
        return len(await tx.all("SELECT step_id FROM steps"))

    await asyncio.gather(*(store.write(add, number) for number in range(10)))

    assert await store.read(count) == 20
    await store.aclose()


async def test_a_row_that_is_there_already_fails_its_own_insert_only(till: Store):
    names = ["alice", "bob", "alice", "carol"]

    outcomes = await asyncio.gather(
        *(till.write(open_account, name, 5) for name in names), return_exceptions=True
    )

    assert [outcome is None for outcome in outcomes] == [True, True, False, True]
    assert [await till.read(balance, name) for name in ("alice", "bob", "carol")] == [5, 5, 5]


async def test_writes_run_in_the_order_in_which_they_were_asked_for(till: Store):
    await asyncio.gather(*(till.write(note, number) for number in range(1_000, 0, -1)))

    assert await till.read(notes) == list(range(1_000, 0, -1))


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21, 34])
async def test_a_caller_who_leaves_neither_cuts_nor_unqueues_its_write(till: Store, turns: int):
    task = asyncio.create_task(till.write(note, 1))
    for _ in range(turns):
        await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task])

    await till.write(note, 2)
    assert await till.read(notes) == [1, 2]


async def test_a_read_sees_one_moment_whatever_is_committed_meanwhile(
    till: Store, empty_database: Database
):
    loop = asyncio.get_running_loop()

    async def write_meanwhile() -> None:
        if empty_database.kind == "postgres":
            await till.write(note, 1)
        else:  # the function runs in the reader's thread, the write on the loop
            asyncio.run_coroutine_threadsafe(till.write(note, 1), loop).result(10)

    async def look_twice(tx: Tx) -> tuple[list[int], list[int]]:
        before = await notes(tx)
        await write_meanwhile()
        return before, await notes(tx)

    assert await till.read(look_twice) == ([], [])
    assert await till.read(notes) == [1]


async def test_a_read_cannot_write(till: Store):
    with pytest.raises((DatabaseUnavailable, asyncpg.ReadOnlySQLTransactionError)):
        await till.read(note, 1)

    assert await till.read(notes) == []


async def test_a_read_that_fails_leaves_the_next_one_alone(till: Store):
    async def fail(tx: Tx) -> None:
        await notes(tx)
        raise ValueError("in the middle")

    for _ in range(20):
        with pytest.raises(ValueError, match="in the middle"):
            await till.read(fail)

    assert await till.read(notes) == []


async def test_a_reader_who_leaves_hands_no_busy_connection_to_the_next(till: Store):
    await asyncio.gather(*(till.write(note, number) for number in range(500)))
    readers = [asyncio.create_task(till.read(notes)) for _ in range(40)]
    await asyncio.sleep(0)

    for reader in readers[::2]:
        reader.cancel()

    kept = await asyncio.gather(*readers[1::2])
    assert all(answer == list(range(500)) for answer in kept)


async def test_a_commit_wakes_whoever_listens_and_the_change_is_there(till: Store):
    with till.bulletin.listen("job-1") as news:
        await till.write(note_and_announce, 1, "job-1")

        assert await news.wait(5)
        assert await till.read(notes) == [1]


async def test_a_transaction_that_fails_announces_nothing(till: Store):
    async def announce_and_fail(tx: Tx) -> None:
        await note_and_announce(tx, 1, "job-1")
        raise ValueError("not committed")

    with till.bulletin.listen("job-1") as failed, till.bulletin.listen("job-2") as kept:
        outcomes = await asyncio.gather(
            till.write(announce_and_fail),
            till.write(note_and_announce, 2, "job-2"),
            return_exceptions=True,
        )

        assert isinstance(outcomes[0], ValueError)
        assert await kept.wait(5)
        assert not await failed.wait(0)


async def test_a_thousand_guarded_debits_at_once_never_overspend(till: Store):
    await till.write(open_account, "alice", 3_500)

    outcomes = await asyncio.gather(
        *(till.write(debit, "alice", 7, number) for number in range(1_000)),
        return_exceptions=True,
    )

    assert outcomes.count(None) == 500
    assert sum(isinstance(outcome, NotEnough) for outcome in outcomes) == 500
    assert await till.read(balance, "alice") == 0
    assert len(await till.read(notes)) == 500


async def test_a_conflict_is_resolved_and_returning_gives_the_row_back(till: Store):
    async def put(tx: Tx, amount: int) -> int:
        row = await tx.one(
            "INSERT INTO accounts (name, balance) VALUES (:name, :amount) ON CONFLICT (name)"
            " DO UPDATE SET balance = accounts.balance + :amount RETURNING balance",
            name="alice",
            amount=amount,
        )
        assert row is not None
        return int(row["balance"])

    async def put_once(tx: Tx) -> int:
        return await tx.run(
            "INSERT INTO accounts (name, balance) VALUES ('bob', 1) ON CONFLICT DO NOTHING"
        )

    assert [await till.write(put, 3), await till.write(put, 4)] == [3, 7]
    assert [await till.write(put_once), await till.write(put_once)] == [1, 0]


async def test_run_counts_the_rows_that_it_changed(till: Store):
    async def change(tx: Tx) -> tuple[int, int]:
        for number in range(3):
            await note(tx, number)
        changed = await tx.run("UPDATE notes SET body = 'x' WHERE note_id > :least", least=0)
        return changed, await tx.run("DELETE FROM notes WHERE note_id > :least", least=9)

    assert await till.write(change) == (2, 0)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 21_000_000 * 100_000_000_000])
async def test_the_whole_range_of_64_bits_comes_back_exact(till: Store, number: int):
    await till.write(note, number)

    assert await till.read(notes) == [number]


async def test_values_come_back_as_they_were_written(till: Store):
    async def look(tx: Tx) -> list[tuple[object, object]]:
        rows = await tx.all("SELECT body, data FROM notes ORDER BY note_id")
        return [(row["body"], row["data"]) for row in rows]

    written = [("⚡ sats · ßæ 𝄞 'quoted' :name", b"\x00\xff\x00"), ("", b""), (None, None)]
    for number, (body, data) in enumerate(written):
        await till.write(note, number, body, data)

    assert await till.read(look) == written


async def test_a_row_is_read_by_name_and_becomes_a_dictionary(till: Store):
    await till.write(open_account, "alice", 5)

    async def look(tx: Tx) -> tuple[object, dict[str, object], list[str]]:
        row = await tx.one("SELECT name, balance FROM accounts")
        assert row is not None
        return row["balance"], dict(row), list(row.keys())

    expected = (5, {"name": "alice", "balance": 5}, ["name", "balance"])
    assert await till.read(look) == expected


@pytest.mark.parametrize(
    ("note_id", "body"),
    [pytest.param(2**63, "", id="65 bits"), pytest.param(1, "\ud800", id="a lone surrogate")],
)
async def test_a_value_that_no_database_holds_harms_only_its_own_write(
    till: Store, note_id: int, body: str
):
    outcomes = await asyncio.gather(
        till.write(note, note_id, body), till.write(note, 2), return_exceptions=True
    )

    assert isinstance(outcomes[0], (UnicodeEncodeError, OverflowError, asyncpg.DataError))
    assert await till.read(notes) == [2]


async def test_wrong_sql_is_an_error_of_its_own_and_not_of_the_database(till: Store):
    async def mistake(tx: Tx) -> None:
        await tx.run("DELETE FROM nowhere")

    with pytest.raises(Exception, match="nowhere") as caught:
        await till.write(mistake)

    assert not isinstance(caught.value, DatabaseUnavailable)


async def test_every_job_is_leased_once(till: Store):
    for number in range(20):
        await till.write(note, number)

    taken = await asyncio.gather(*(till.write(take_note) for _ in range(50)))

    assert sorted(number for number in taken if number is not None) == list(range(20))


async def test_a_store_that_nobody_else_has_open_is_alone(till: Store):
    assert await till.is_alone()


async def test_closing_finishes_what_is_queued_and_what_is_being_read(empty_database: Database):
    store = await empty_database.open(SCHEMA)
    writes = [asyncio.create_task(store.write(note, number)) for number in range(700)]
    reads = [asyncio.create_task(store.read(notes)) for _ in range(20)]
    await asyncio.sleep(0)

    await store.aclose()

    assert await asyncio.gather(*writes) == [None] * 700
    await asyncio.gather(*reads)
    again = await empty_database.open(SCHEMA)
    assert len(await again.read(notes)) == 700
    await again.aclose()


async def test_a_closed_store_takes_nothing_and_may_be_closed_again(empty_database: Database):
    store = await empty_database.open(SCHEMA)
    await store.aclose()

    with pytest.raises(ShuttingDown):
        await store.write(note, 1)
    with pytest.raises(ShuttingDown):
        await store.read(notes)
    await store.aclose()
