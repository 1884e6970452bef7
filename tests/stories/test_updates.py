"""Updates are acknowledged only after they are stored: a kill between two calls loses none."""

import random
from collections import Counter
from pathlib import Path

from tests.conftest import Database
from tests.process.world import rows
from tests.simulator.bot_api_people import TelegramPerson
from tests.simulator.stage import open_stage

PEOPLE = 25
EACH = 4
KILLS = 12


def codes_seen_by(people: list[TelegramPerson]) -> Counter[tuple[int, str]]:
    """How often each card was sent, by its chat and its code."""
    return Counter(
        (person.chat_id, event.text.partition("#")[2][:4])
        for person in people
        for event in person.sees()
        if event.kind == "sent"
    )


async def test_a_hundred_updates_survive_kills_between_any_two_calls(tmp_path: Path) -> None:
    chance = random.Random(4)
    database = Database("sqlite", "sqlite", tmp_path / "data")
    async with open_stage({"check": "21", "chat.unpaid_max": "10"}, database) as stage:
        telegram = stage.telegram
        people = [telegram.person(f"person {number}") for number in range(PEOPLE)]
        for round_ in range(EACH):
            for person in people:
                person.write(f"Sort these names, please: number {round_}")

        for _ in range(KILLS):
            calls = len(telegram.calls) + chance.randint(1, 6)
            await telegram.until(lambda calls=calls: len(telegram.calls) >= calls, within_s=30)
            await stage.kill()
            await stage.start()

        await telegram.until(lambda: len(codes_seen_by(people)) >= PEOPLE * EACH, within_s=120)
        requests = await rows(database, "SELECT session_id FROM requests")
        per_person = Counter(row["session_id"] for row in requests)
        assert sorted(per_person.values()) == [EACH] * PEOPLE
        # A kill can make one message of each chat come again, and no other.
        assert sum(codes_seen_by(people).values()) <= PEOPLE * EACH + KILLS * PEOPLE
        await stage.stop()
        assert await stage.broken_rules() == []
