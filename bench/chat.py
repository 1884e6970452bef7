"""How fast the conversation is: `python -m bench.chat`.

The finished program talks to a Bot API on loopback that takes 30 ms for each call. Two questions:
how many updates a second are stored and answered (what is said back waits in the outbox, for
Telegram lets a bot send thirty a second at most), and how long somebody waits for `/help` while
another person's work runs. Goals: >= 200 updates/s, and at most 200 ms more than without the work.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Effort, Figure, main
from tests.conftest import Database
from tests.simulator.bot_api_faults import Fault
from tests.simulator.bot_api_people import TelegramPerson
from tests.simulator.model_script import Fault as ModelFault
from tests.simulator.seat import scan
from tests.simulator.stage import Stage, open_stage

ROUND_TRIP_S = 0.03
PEOPLE = 100
EACH = 10  # below the limit of twenty a minute
HELPS = 10
LOOK_S = 0.02
PATIENCE_S = 60.0


async def measure(effort: Effort) -> list[Figure]:
    rates, waits, busy_waits = [], [], []
    for _ in range(effort.rounds):
        with tempfile.TemporaryDirectory() as folder:
            database = Database("sqlite", "sqlite", Path(folder))
            async with open_stage({"check": "21"}, database) as stage:
                stage.telegram.fail("*", Fault("late", seconds=ROUND_TRIP_S), times=None)
                idle, busy = await waiting_for_help(stage)
                waits.append(idle)
                busy_waits.append(busy)
                rates.append(await updates_per_s(stage))
    idle, busy = statistics.median(waits), statistics.median(busy_waits)
    return [
        Figure("updates stored and answered", statistics.median(rates), "/s", at_least=200),
        Figure(
            "/help beside another's work, more",
            (busy - idle) * 1000,
            "ms",
            at_most=200,
            detail=f"{busy * 1000:.0f} ms against {idle * 1000:.0f} ms",
        ),
    ]


async def updates_per_s(stage: Stage) -> float:
    """A crowd writes at once: how fast all of it is answered, seen in the inbox."""
    crowd = [stage.telegram.person(f"person {number}") for number in range(PEOPLE)]
    books = stage.database.data_dir / "boltwork.db"
    before = answered(books)
    began_s = time.perf_counter()
    for _ in range(EACH):
        for person in crowd:
            person.write("/balance")
    async with asyncio.timeout(PATIENCE_S):
        # Another process has no event to wait for.
        while answered(books) - before < PEOPLE * EACH:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
    return PEOPLE * EACH / (time.perf_counter() - began_s)


def answered(books: Path) -> int:
    """How much of what came in is answered."""
    with sqlite3.connect(f"file:{books}?mode=ro", uri=True) as connection:
        (count,) = connection.execute(
            "SELECT COUNT(*) FROM inbox WHERE state = 'done' AND channel <> ''"
        ).fetchone()
    connection.close()
    return int(count)


async def waiting_for_help(stage: Stage) -> tuple[float, float]:
    """Seconds that somebody waits, in the median: alone, and beside another person's work."""
    anna, ben = stage.telegram.person("anna"), stage.telegram.person("ben")
    idle = await median_help(stage, ben)
    stage.model.judge(ModelFault.hang())
    anna.write("Sort these names: Zoe, Adam")
    card = await stage.telegram.until(lambda: [seen for seen in anna.sees() if seen.photo])
    (invoice,) = scan(card[0].photo)
    books = stage.lnbits.books
    books.pay(books.buyer, invoice, {})
    await stage.model.called(1, within_s=PATIENCE_S)
    return idle, await median_help(stage, ben)


async def median_help(stage: Stage, person: TelegramPerson) -> float:
    waits = []
    for _ in range(HELPS):
        seen = len(person.sees())
        began_s = time.perf_counter()
        person.write("/help")
        await stage.telegram.until(lambda seen=seen: len(person.sees()) > seen)
        waits.append(time.perf_counter() - began_s)
        await asyncio.sleep(1.2)  # so that the chat's own pace is not what is measured
    return statistics.median(waits)


if __name__ == "__main__":
    main(measure)
