"""Random histories of deposits, requests, jobs, refunds, failures and restarts keep every rule."""

from tests.books.histories import live

LIVES = {"sqlite": 450, "postgres": 50}


async def test_no_history_breaks_a_rule(database):
    await live(database, range(LIVES[database.kind]), steps=12)
