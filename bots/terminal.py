"""The terminal adapter: lines in, text out, for one person at one screen.

What can be pressed has a number, and typing it presses. A card that changes is printed again, for
what scrolled by cannot be changed. All that is remembered is what stands on this screen.

Each person is a realm of their own, so that what is said to somebody who is at no terminal now
waits in the outbox.
"""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bots.channel import Caps, Office, Outcome, Sent, Shown, TryAgain, TryLater
from bots.terminal_view import Face, drawn, end_of, wrapped
from core.values import bolt11
from core.values.clock import Clock
from core.values.errors import NotFound, WalletUnavailable
from core.values.mail import (
    Bill,
    Body,
    Button,
    Content,
    File,
    Inbound,
    Letter,
    Note,
    Peer,
    Press,
    Text,
)

NAME: Final = "terminal"
PAY_WORDS: Final = frozenset({"pay", "/pay", "!pay", "zahlen"})
PASSING_LINES: Final = 2  # what passes is printed only where it is this short
REPAINT_S: Final = 0.1
NUMBERS_MAX: Final = 200  # buttons that can be pressed; the oldest are forgotten
LINE_MAX: Final = 100_000

_NUMBER: Final = re.compile(r"\[?(\d{1,6})\]?", re.ASCII)
_PROMPT: Final = "> "
_ERASE_BELOW: Final = "\r\x1b[J"


class Screen(Protocol):
    """Where somebody types and reads."""

    def lines(self) -> AsyncIterator[str]:
        """What is typed, line by line, until its end."""
        ...

    async def show(self, text: str) -> None:
        """Write this, as it stands. Raises ConnectionError where nobody looks any more."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """Who sits at a screen, and what it can do."""

    who: str
    face: Face
    is_typed: bool  # by somebody who sees the answers; else a script, whose lines take turns
    lang: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a terminal is told by others than its letters."""

    say: Callable[[str], Awaitable[str]]  # a text of ours by its key, in the person's language
    pay: Callable[[str], Awaitable[object]] | None  # with play money; None where money is real
    rest: Callable[[Sequence[str]], Awaitable[None]]  # until all is answered, these paid bills too
    open_codes: Callable[[], Awaitable[Sequence[str]]]  # of what waits for the person
    clock: Clock


@dataclass(frozen=True, slots=True)
class Show:
    """One letter, printed."""

    content: Content
    slot: str | None


class TerminalChannel:
    """One screen."""

    name = NAME
    address = ""

    def __init__(self, screen: Screen, look: Look, service: Service) -> None:
        self._screen, self._look, self._service = screen, look, service
        self.realm = look.who
        self.caps = Caps(
            has_buttons=True,
            can_edit=True,
            can_preview=look.face.has_ansi,
            per_peer_per_s=0,
            burst=0,
            per_s=0,
        )
        self._peer = Peer(NAME, look.who, look.who)
        self._prompt = _PROMPT if look.face.has_ansi and look.is_typed else ""
        self._buttons: dict[int, tuple[Press, str | None]] = {}  # with the slot that they stand in
        self._bills: dict[str, str] = {}  # invoices to pay by their slots, the last shown last
        self._paid: list[str] = []  # their hashes
        self._last_number = 0
        self._preview_lines = 0
        self._next_paint = 0.0

    async def open(self) -> None:
        """A screen is open when it comes."""

    async def run(self, office: Office) -> None:
        """Take in what is typed, until the screen is left; greet first, and show what is open."""
        try:
            await self._explain()
            await self._take(office, Text("/start"))
            for code in await self._service.open_codes():
                await self._take(office, Press("show", code, 0))
            await self._rest()
            async for line in self._screen.lines():
                self._preview_lines = 0  # what was typed stands below it now
                await self._typed(office, line[:LINE_MAX].strip())
                await self._rest()
        except ConnectionError:
            return

    async def _explain(self) -> None:
        """Say how a terminal is used."""
        can_pay = self._service.pay is not None
        keys = await self._service.say("terminal.keys_pay" if can_pay else "terminal.keys")
        await self._print(wrapped(keys, self._look.face.width))

    async def _rest(self) -> None:
        """A script does not look at answers, so each of its lines waits for those before it."""
        if not self._look.is_typed:
            await self._service.rest(self._paid)

    async def _typed(self, office: Office, line: str) -> None:
        number = _NUMBER.fullmatch(line)
        if not line:
            await self._print("")
        elif line.lower() in PAY_WORDS:
            await self._pay()
        elif number is not None and int(number[1]) in self._buttons:
            await self._pressed(office, self._buttons[int(number[1])][0])
        else:
            await self._take(office, Text(line))

    async def _pressed(self, office: Office, press: Press) -> None:
        """A stale press is handed on too, so that its card is redrawn."""
        if not await office.is_current(self._peer, press):
            await self._print(await self._service.say("sys.stale"))
        await self._take(office, press)

    async def _pay(self) -> None:
        """Pay the invoice that was shown last, with play money."""
        if self._service.pay is None:
            await self._print(await self._service.say("terminal.real_money"))
        elif not self._bills:
            await self._print(await self._service.say("terminal.no_invoice"))
        else:
            _, invoice = self._bills.popitem()
            payment_hash = bolt11.decode(invoice).payment_hash
            try:
                await self._service.pay(payment_hash)
            except (NotFound, WalletUnavailable):  # an invoice from before this wallet
                await self._print(await self._service.say("terminal.real_money"))
            else:
                self._paid.append(payment_hash)

    async def _take(self, office: Office, body: Body) -> None:
        inbound = Inbound(
            peer=self._peer,
            ext_id=secrets.token_hex(12),
            body=body,
            at_ms=self._service.clock.now_ms(),
            lang=self._look.lang or None,
            name=self._look.who,
        )
        await office.take([inbound])

    def plan(self, letter: Letter, shown: Shown | None) -> Sequence[Show]:
        """A letter is printed; one that only passes, where it is short and has its place."""
        if letter.is_passing:
            assert isinstance(letter.content, Note), "what passes is a note"
            is_short = letter.content.text.count("\n") < PASSING_LINES
            if shown is None or not is_short:
                return []
        return [Show(letter.content, letter.slot)]

    async def perform(self, _: Peer, step: Show) -> Outcome:
        """Print a letter; its buttons and its invoice take the place of those in its slot."""
        self._buttons = {
            number: (press, slot)
            for number, (press, slot) in self._buttons.items()
            if slot is None or slot != step.slot
        }
        self._bills.pop(step.slot or "", None)

        def number(button: Button) -> int:
            self._last_number += 1
            press = Press(button.verb, button.ref, button.version)
            self._buttons[self._last_number] = (press, step.slot)
            return self._last_number

        text = drawn(step.content, self._look.face, number)
        if isinstance(step.content, Bill):
            self._bills[step.slot or step.content.bolt11] = step.content.bolt11
        for old in sorted(self._buttons)[:-NUMBERS_MAX]:
            del self._buttons[old]
        try:
            await self._print(text)
        except ConnectionError as fault:
            return TryLater(None, str(fault))
        return Sent(secrets.token_hex(8))

    async def preview(self, _: Peer, stream: int, text: str) -> None:  # noqa: ARG002  # one at a time
        """Paint the end of an answer over what was painted of it before."""
        now = self._service.clock.monotonic()
        if now < self._next_paint:
            return
        self._next_paint = now + REPAINT_S
        face = self._look.face
        lines = end_of(text, face)
        painted = "\n".join(face.faint(line) for line in lines)
        try:
            await self._screen.show(f"{self._erase()}{painted}\n{self._prompt}")
        except ConnectionError:
            return
        self._preview_lines = len(lines)

    async def show_activity(self, peer: Peer) -> None:
        """A terminal shows nothing while nothing can be read."""

    async def fetch(self, file: File, bytes_max: int) -> bytes:
        """Nobody sends files here."""
        raise TryAgain(f"{file.name} of {bytes_max} bytes did not come from here")

    async def aclose(self) -> None:
        """The screen is another's to close."""

    async def _print(self, text: str) -> None:
        """Print a paragraph above the prompt."""
        said = f"{text}\n\n" if text else ""
        await self._screen.show(f"{self._erase()}{said}{self._prompt}")
        self._preview_lines = 0

    def _erase(self) -> str:
        """Take away the prompt, and what was painted above it."""
        if not self._look.face.has_ansi:
            return ""
        up = f"\x1b[{self._preview_lines}A" if self._preview_lines else ""
        return f"{up}{_ERASE_BELOW}"
