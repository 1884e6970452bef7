"""20,000 random histories of money on each database, 500 at once: some minutes."""

import pytest

from tests.books.histories import live

AT_ONCE, LIVES = 500, 20_000


@pytest.mark.parametrize("first", range(0, LIVES, AT_ONCE))
async def test_no_long_history_breaks_a_rule(database, first):
    await live(database, range(first, first + AT_ONCE), steps=40)
