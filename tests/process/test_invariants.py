"""The checker itself: it finds what is wrong, and nothing in good books."""

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.conftest import Database
from tests.process.customer import Customer
from tests.process.invariants import Outside, broken
from tests.process.world import open_stub_world

TAMPERED = {
    "UPDATE entries SET amount_msat = amount_msat + 1 WHERE account_id = 'revenue'": "legs",
    "DELETE FROM entries WHERE transfer_id LIKE 'settle:%' AND account_id = 'wallet'": "payment",
    "UPDATE invoices SET state = 'open' WHERE purpose = 'eval'": "paid invoice",
    "UPDATE accounts SET balance_msat = balance_msat + 1": "balance",
    "UPDATE jobs SET state = 'executing', ended_at_ms = NULL": "it has ended",
    "UPDATE jobs SET work_calls = 0": "every work call is counted",
    "UPDATE jobs SET eval_fee_msat = eval_fee_msat + 1000": "earned is what its end says",
    "DELETE FROM job_versions WHERE body LIKE '%\"executing\"%'": "an edge that there is not",
}


async def test_the_checker_finds_what_is_wrong(sqlite_database: Database, tmp_path: Path) -> None:
    async with open_stub_world(sqlite_database) as world:
        await Customer(world.program, world.pay).see_it_through()
        await world.program.stop()
        outside = world.outside()

    assert await broken(sqlite_database, outside) == []

    for statement, words in TAMPERED.items():
        found = await broken(tampered(sqlite_database, tmp_path / words, statement), outside)
        assert [fault for fault in found if words in fault], (statement, found)

    for words, journal in others_than(outside).items():
        found = await broken(sqlite_database, journal)
        assert [fault for fault in found if words in fault], (words, found)


def tampered(database: Database, folder: Path, statement: str) -> Database:
    """A copy of the database to which this was done."""
    folder.mkdir()
    shutil.copy(database.data_dir / "boltwork.db", folder)
    with closing(sqlite3.connect(folder / "boltwork.db")) as copy, copy:
        assert copy.execute(statement).rowcount > 0
    return Database("sqlite", "sqlite", folder)


def others_than(outside: Outside) -> dict[str, Outside]:
    """Journals that tell of something else, by what is then found."""
    first, ticket = next(iter(outside.received)), next(iter(outside.works))
    return {
        "received [1]": replace(outside, received={**outside.received, first: 1}),
        "received None": replace(outside, received={}),
        "worked on at most 3": replace(outside, works=Counter({ticket: 4})),
        "evaluated at most 6": replace(outside, evaluations=Counter({ticket: 7})),
    }
