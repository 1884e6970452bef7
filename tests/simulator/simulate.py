"""Play a story and watch it, or talk to the program yourself: `make simulate [STORY=T03]`.

The program is the finished one, in a process of its own; Telegram, LNbits and the model around it
are simulated, so that nothing costs anything. You write as one does in a chat, and besides:

    pay           pay the invoice that was shown last
    press LABEL   press a button of the last message that has one
    wait 16m      let time pass
    kill, start   end the program as a crash does, and start it again
    quit
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from bots.qr import half_blocks, invoice_code
from tests.conftest import Database
from tests.simulator.player import Player, WrongLine, line_of
from tests.simulator.seat import NoSuchButton, NotPayable, Seen, TelegramSeat
from tests.simulator.stage import Stage, find_faketime, open_stage
from tests.simulator.story import Tokens, read

STORIES = Path(__file__).parent.parent / "stories"
WORLD = {"check": "21", "once": "500"}


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("story", nargs="?", help="the beginning of a story's name, or its file")
    name = parser.parse_args().story
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(_watch(find(name)) if name else _talk()))


def find(name: str) -> Path:
    """The file of a story."""
    exact = STORIES / f"{name}.chat"
    found = [exact] if exact.exists() else sorted(STORIES.glob(f"{name}*.chat"))
    return found[0] if found else Path(name)


async def _watch(file: Path) -> int:
    """Play a story; 0 if it goes as it is written."""
    story = read(file)
    _say(f"{story.name}: {story.title}\n")
    with tempfile.TemporaryDirectory() as folder:
        database = Database("sqlite", "sqlite", Path(folder))
        async with open_stage(story.world, database, moves_clock=find_faketime()) as stage:
            player = Player(story, stage)
            telling = asyncio.create_task(_tell_all(player))
            try:
                await player.play()
            except WrongLine as wrong:
                _say(f"\n{wrong}")
                return 1
            finally:
                telling.cancel()
    _say("\nAs it is written.")
    return 0


async def _tell_all(player: Player) -> None:
    """Say what everybody in a story sees, as it comes."""
    told: set[int] = set()
    while True:
        sights = [
            (seen.number, who, seen) for who, seat in player.seats.items() for seen in seat.sees()
        ]
        for number, who, seen in sorted(sights, key=lambda sight: sight[0]):
            if number not in told and seen.what != "other":
                _say(line_of(who, seen))
            told.add(number)
        await player.stage.telegram.until(
            lambda: len(player.stage.telegram.chats.events) > len(told), within_s=3600
        )


async def _talk() -> int:
    """Let a person talk to the program."""
    _say(f"{__doc__}\nThe program starts ...")
    with tempfile.TemporaryDirectory() as folder:
        database = Database("sqlite", "sqlite", Path(folder))
        async with open_stage(WORLD, database, moves_clock=find_faketime()) as stage:
            seat = TelegramSeat(stage.telegram, stage.telegram.person("you"))
            telling = asyncio.create_task(_tell(seat))
            _say("Write what you need.")
            while line := await asyncio.to_thread(sys.stdin.readline):
                if line.strip() == "quit":
                    break
                try:
                    await _act(line.strip(), seat, stage)
                except (NoSuchButton, NotPayable, ValueError) as fault:
                    _say(f"That does not work: {fault}")
            telling.cancel()
    return 0


async def _act(line: str, seat: TelegramSeat, stage: Stage) -> None:
    word, _, rest = line.partition(" ")
    sights = [seen for seen in seat.sees() if seen.what in ("sent", "edited")]
    match word:
        case "":
            return
        case "pay" if not rest:
            shown = [seen for seen in _latest(sights) if seen.form == "photo"]
            if not shown:
                raise NotPayable("no invoice was shown")
            await stage.pay(shown[-1].invoice())
        case "press":
            with_buttons = [seen for seen in _latest(sights) if seen.buttons]
            if not with_buttons:
                raise NoSuchButton("nothing has a button")
            seat.press(rest, with_buttons[-1])
        case "wait":
            await stage.pass_time(Tokens(rest).span_s())
        case "kill" if not rest:
            await stage.kill()
        case "start" if not rest:
            await stage.start()
        case _:
            seat.say(line, None)


def _latest(sights: list[Seen]) -> list[Seen]:
    """Each message as it looks now, the one that changed last at the end."""
    return list({seen.card: seen for seen in sights}.values())


async def _tell(seat: TelegramSeat) -> None:
    """Say what one person sees, as it comes."""
    told = 0
    while True:
        sights = seat.sees()
        for seen in sights[told:]:
            if seen.what in ("sent", "edited", "toast"):
                _say(line_of("you", seen))
            if seen.what == "sent" and seen.form == "photo":
                _say("\n".join(half_blocks(invoice_code(seen.invoice()))))
        told = len(sights)
        await seat.news(told, within_s=3600)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
