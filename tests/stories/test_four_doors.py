"""The story of one person on four doors, as the documentation shows it.

After a wanted change: write the document that this file makes into docs/four-doors.md.
"""

import re
from pathlib import Path
from typing import Final

from tests.conftest import Database
from tests.process.server import ROOT
from tests.simulator.player import Player
from tests.simulator.seats import seated
from tests.simulator.stage import find_faketime, open_stage
from tests.simulator.story import read

STORY: Final = Path(__file__).parent / "X01-four-doors.chat"
DOCUMENT: Final = ROOT / "docs" / "four-doors.md"
HEAD: Final = """# One balance, four doors

One person writes from a phone (Telegram), from a Nostr app, and from a terminal, and has a program
that asks with the SDK of OpenAI. Money that came in by Telegram is spent at each of them, and sent
home from the terminal. Mallory is somebody else, who tries to join.

This is what a test hears of the finished program (`tests/stories/X01-four-doors.chat`); codes, keys
and the token are different each time, and shortened here.

```
"""
_CODES: Final = {
    "first": "K7QM-2XWD",
    "second": "9FTB-R4HC",
    "third": "ZP3N-7GQA",
    "fourth": "2CVE-8JWM",
}
_SHORTENED: Final = (
    (re.compile(r"\b(ln[a-z]+[0-9]+[munp]?1)(?:\w+…\w+|\w{50,})"), r"\1…"),
    (re.compile(r"\b(npub1)\w+(?:…\w+)?"), r"\1…"),
    (re.compile(r"#[0-9A-Z]{4}\b"), "#7F3K"),
)


def document_of(player: Player) -> str:
    """The page, with what is different each time cut short."""
    lines = []
    for who, text in player.told:
        said = text.replace(player.names["token"], "MDAx…")
        for name, code in _CODES.items():
            said = said.replace(player.names[name], code)
            said = said.replace(player.names[name].replace("-", ""), code.replace("-", ""))
        for pattern, short in _SHORTENED:
            said = pattern.sub(short, said)
        lines += f"{who} {said}".replace("\n", "\n    ").splitlines()
    return HEAD + "\n".join(line.rstrip() for line in lines) + "\n```\n"


async def test_the_documentation_shows_what_one_person_hears_at_four_doors(
    sqlite_database: Database,
) -> None:
    story = read(STORY)
    async with (
        open_stage(story.world, sqlite_database, moves_clock=find_faketime()) as stage,
        seated(story, stage) as player,
    ):
        await player.play()

    assert document_of(player) == DOCUMENT.read_text()
