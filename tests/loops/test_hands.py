"""Hands: work beside each other, one piece for each key."""

import asyncio

from structlog.testing import capture_logs

from core.loops.hands import Hands
from core.values.errors import DatabaseUnavailable


async def test_a_key_is_busy_until_its_piece_has_ended() -> None:
    hands, gate = Hands("piece"), asyncio.Event()

    async def work() -> None:
        await gate.wait()

    hands.start("a", work())
    assert hands.busy == {"a"}
    gate.set()
    await hands.freed.wait()

    assert hands.busy == set()


async def test_an_outside_party_that_is_away_is_one_line_and_our_own_mistake_a_traceback() -> None:
    hands = Hands("piece")

    async def fail(fault: Exception) -> None:
        raise fault

    with capture_logs() as logs:
        for fault in (DatabaseUnavailable("locked"), ValueError("ours")):
            hands.freed.clear()
            hands.start("a", fail(fault))
            await hands.freed.wait()

    assert [(line["log_level"], "exc_info" in line) for line in logs] == [
        ("warning", False),
        ("error", True),
    ]


async def test_closing_stops_what_is_under_way() -> None:
    hands = Hands("piece")
    hands.start("a", asyncio.sleep(3_600))

    await hands.aclose()

    assert hands.busy == set()
