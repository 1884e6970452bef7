"""A person of a story at a terminal of the server, and how a story reads there.

The seat is a websocket, as `boltwork chat` is, and sees what a person sees: text, with a code of
half blocks that a camera reads, and buttons with numbers. A card that changes is printed again, so
that what is an edit elsewhere is a new message here.
"""

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import aiohttp
from PIL import Image

from tests.simulator.seat import Seen, button
from tests.simulator.stage import Stage
from tests.simulator.story_steps import (
    Act,
    Cast,
    Check,
    Expect,
    Pay,
    Press,
    Send,
    Step,
    Story,
    Text,
)

WIDTH: Final = 100
GREETING: Final = 2  # messages: how a terminal is used, and hello
GREETED_WITHIN_S: Final = 30.0
_SCALE: Final = 4
_IS_LIGHT: Final = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
_CODE = re.compile(r"(?:^[█▀▄][█▀▄ ]+\n)+", re.MULTILINE)
_PRESSED = re.compile(r"\[(\d+)\] (.+?)(?=   \[\d+\] |$)")
_LINK = re.compile(r"([^:]+): (https://\S+)")


def as_in_a_terminal(story: Story) -> Story:
    """The same story where nothing can be edited, answered to, or painted in italics.

    What a card shows after an edit has a name of its own, which its buttons then belong to. Edits
    that the story passes over come as messages, too.
    """
    steps: list[Step] = []
    latest: dict[str, str] = {}  # by the card's name
    for step in story.steps:
        if step.only not in (None, "terminal"):
            continue
        match step.action:
            case Expect(what="toast" | "preview"):
                pass
            case Expect() as expect:
                steps += [replace(step, action=_RECEIPT), replace(step, action=_sent(expect))]
                if expect.name is not None:
                    latest.pop(expect.name, None)
                if expect.card is not None:
                    latest[expect.card] = _edited(expect.card)
            case Press(card=card, is_again=False) | Pay(card=card, is_again=False) as act:
                steps.append(replace(step, action=replace(act, card=latest.get(card, card))))
            case Check(what="calls", numbers=numbers):
                own = {name: n for name, n in numbers.items() if not name.startswith("telegram.")}
                steps.append(replace(step, action=Check("calls", own)))
            case _:
                steps.append(step)
    return replace(story, steps=steps)


# Cards say so for a moment, which a story need not tell.
_RECEIPT: Final = Expect(
    "sent",
    form="text",
    texts=(Text("pattern", "✓|^Sending"),),
    has_no_buttons=True,
    is_optional=True,
)


def _sent(expect: Expect) -> Expect:
    name = expect.name if expect.card is None else _edited(expect.card)
    return replace(expect, what="sent", card=None, name=name, is_reply=False, entity=None)


def _edited(card: str) -> str:
    return f"{card}, edited"


class TerminalSeat:
    """A person with `boltwork chat`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sights: list[Seen] = []
        self._to_type: asyncio.Queue[str] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """See what comes, for ever."""
        async for message in self._socket:
            number = len(self._sights) + 1
            self._see(read_screen(number, message.data))

    async def type(self) -> None:
        """Type what there is to type, for ever."""
        while True:
            await self._socket.send_str(await self._to_type.get())

    def forget(self) -> None:
        """Take what was seen so far for granted."""
        self._sights = [replace(seen, what="other") for seen in self._sights]

    def say(self, text: str, reply_to: Seen | None) -> None:
        """Write to the bot; nothing can be replied to here."""
        assert reply_to is None, "a terminal knows no replies"
        self._see(Seen(len(self._sights) + 1, "said", 0, text))
        self._to_type.put_nowait(text)

    def press(self, label: str, card: Seen) -> None:
        """Type the number of a button, unless it opens a page. Raises NoSuchButton."""
        if number := button(label, card).get("number"):
            self._to_type.put_nowait(number)

    def act(self, act: Act) -> None:
        """Nobody blocks a terminal."""
        raise AssertionError(f"nobody can {act.verb} at a terminal")

    def send(self, send: Send) -> None:
        """A terminal takes text only."""
        raise AssertionError(f"nobody can send a {send.kind} at a terminal")

    def sees(self) -> Sequence[Seen]:
        """Everything so far."""
        return self._sights

    async def news(self, after: int, within_s: float) -> bool:
        """Wait until there is more than `after` sights; False where the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while len(self._sights) <= after:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _see(self, seen: Seen) -> None:
        self._sights.append(replace(seen, at_s=time.time(), realm="terminal"))
        self._changed.set()


@asynccontextmanager
async def seat_at_terminal(stage: Stage, person: Cast) -> AsyncIterator[TerminalSeat]:
    """A seat for this person, who was greeted, while the block runs."""
    token = (stage.database.data_dir / "operator-token").read_text().strip()
    query = {"who": person.name, "lang": person.lang, "width": str(WIDTH), "typed": "1"}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.ws_connect(f"{stage.program.operator_url}/operator/chat", params=query) as socket,
    ):
        seat = TerminalSeat(socket)
        work = [asyncio.create_task(seat.read()), asyncio.create_task(seat.type())]
        try:
            assert await seat.news(GREETING - 1, GREETED_WITHIN_S), "nobody says hello"
            seat.forget()
            yield seat
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)


def read_screen(number: int, text: str) -> Seen:
    """What a person sees of one message."""
    code = _CODE.search(text)
    said, buttons = [], []
    for line in _CODE.sub("", text).strip("\n").split("\n"):
        if link := _LINK.fullmatch(line):
            buttons.append({"text": link[1], "url": link[2]})
        elif line.startswith("[") and (pressed := _PRESSED.findall(line)):
            buttons += [{"text": label, "number": key} for key, label in pressed]
        else:
            said.append(line)
    return Seen(
        number,
        "sent",
        number,
        "\n".join(said).strip("\n"),
        photo=None if code is None else photo_of(code[0]),
        buttons=tuple[Mapping[str, Any], ...](buttons),
    )


def photo_of(code: str) -> bytes:
    """What a camera takes of a code of half blocks."""
    lines = code.rstrip("\n").split("\n")
    width = max(map(len, lines))
    photo = Image.new("L", (width, 2 * len(lines)))
    for y, line in enumerate(lines):
        for x, sign in enumerate(line.ljust(width)):
            for half in (0, 1):
                photo.putpixel((x, 2 * y + half), 255 * _IS_LIGHT[sign][half])
    png = io.BytesIO()
    photo.resize((width * _SCALE, 2 * len(lines) * _SCALE), Image.Resampling.NEAREST).save(
        png, "PNG"
    )
    return png.getvalue()
