"""Where a person of a story sits: the same acts and the same sights on every channel."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import zxingcpp
from PIL import Image

from tests.simulator.bot_api import SimulatedBotApi
from tests.simulator.bot_api_chats import Event
from tests.simulator.bot_api_people import TelegramPerson
from tests.simulator.story_steps import Act, Send

_INVOICE = re.compile(r"\bln(?:bcrt|bc|tbs|tb)[0-9][a-z0-9]{100,}\b", re.IGNORECASE)
What = Literal["said", "sent", "edited", "toast", "preview", "other"]


class NotPayable(Exception):
    """What the person was shown cannot be paid."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that a person saw, as it looked then; `card` is the message that it is about."""

    number: int
    what: What
    card: int
    text: str = ""
    photo: bytes | None = None
    file: tuple[str, bytes] | None = None
    buttons: tuple[Mapping[str, Any], ...] = ()
    entities: frozenset[str] = frozenset()
    reply_to: int | None = None
    at_s: float = 0.0
    realm: str = ""  # where these numbers count

    @property
    def key(self) -> tuple[str, int]:
        """What no other sight has."""
        return self.realm, self.number

    def is_of(self, other: "Seen") -> bool:
        """Whether both are about one card."""
        return (self.realm, self.card) == (other.realm, other.card)

    @property
    def form(self) -> str:
        return "photo" if self.photo is not None else "file" if self.file else "text"

    def invoice(self) -> str:
        """The invoice that is shown: what the code in the photo says and the text repeats.

        Raises NotPayable where there is none, or the two differ.
        """
        written = [found.lower() for found in _INVOICE.findall(self.text)]
        scanned = scan(self.photo) if self.photo is not None else written
        if len(scanned) != 1 or (written and written != scanned):
            raise NotPayable(f"the picture says {scanned}, and the text {written}")
        return scanned[0]


def scan(photo: bytes) -> list[str]:
    """The invoices in the codes of a picture."""
    picture = Image.open(io.BytesIO(photo)).convert("L")
    # Only what wallets look for: the squares of a QR code hold bar codes of other kinds by chance.
    found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    codes = [code.text for code in found]
    return [code.lower().removeprefix("lightning:") for code in codes]


class Seat(Protocol):
    """One person on one channel."""

    def say(self, text: str, reply_to: Seen | None) -> None:
        """Write to the bot."""
        ...

    def press(self, label: str, card: Seen) -> None:
        """Press a button as it is seen there. Raises NoSuchButton."""
        ...

    def act(self, act: Act) -> None:
        """Block, edit, forward, ..."""
        ...

    def send(self, send: Send) -> None:
        """Send what is not text."""
        ...

    def sees(self) -> Sequence[Seen]:
        """Everything so far, oldest first."""
        ...

    async def news(self, after: int, within_s: float) -> bool:
        """Wait until there is more than `after` sights; False where the time is over."""
        ...


class NoSuchButton(Exception):
    """The card has no button of that name."""


def button(label: str, card: Seen) -> Mapping[str, Any]:
    """The button whose label holds this. Raises NoSuchButton."""
    for one in card.buttons:
        if label in one["text"]:
            return one
    raise NoSuchButton(f'no "{label}" among {[one["text"] for one in card.buttons]}')


class TelegramSeat:
    """A person with a Telegram app."""

    def __init__(self, sim: SimulatedBotApi, person: TelegramPerson) -> None:
        self._sim = sim
        self._person = person

    def say(self, text: str, reply_to: Seen | None) -> None:
        """Write to the bot."""
        replied = self._message(reply_to.card) if reply_to else None
        self._person.write(text, reply_to=replied)

    def press(self, label: str, card: Seen) -> None:
        """Press a button as it is seen there, unless it opens a page. Raises NoSuchButton."""
        pressed = button(label, card)
        if "callback_data" in pressed:
            self._person.press_data(pressed["callback_data"], on=self._message(card.card))

    def act(self, act: Act) -> None:
        """Block, edit, forward, ..."""
        match act.verb:
            case "block":
                self._person.block()
            case "unblock":
                self._person.unblock()
            case "leave":
                self._person.deactivate()
            case "edit":
                self._person.edit(self._last_said(), act.text)
            case "forward":
                self._person.forward(act.text)
            case "join":
                self._person.add_bot_to(self._sim.group(act.text))
            case "group":
                group = next(iter(self._sim.chats.groups.values()))
                self._person.write_in(group, act.text)

    def send(self, send: Send) -> None:
        """Send what is not text."""
        match send.kind:
            case "photo":
                self._person.send_photo(caption=send.caption)
            case "album":
                self._person.send_album(send.bytes_count, caption=send.caption)
            case "file":
                content = send.content.encode() or b"x" * send.bytes_count
                self._person.send_file(send.name, content, caption=send.caption)
            case kind:
                self._person.send(kind, caption=send.caption)

    def sees(self) -> Sequence[Seen]:
        """Everything in the private chat and in groups so far."""
        chats = {self._person.chat_id, *self._sim.chats.groups}
        return [_seen(event) for event in self._sim.chats.events if event.chat_id in chats]

    async def news(self, after: int, within_s: float) -> bool:
        """Wait until there is more than `after` sights; False where the time is over."""
        try:
            await self._sim.until(lambda: len(self.sees()) > after, within_s=within_s)
        except TimeoutError:
            return False
        return True

    def _message(self, number: int) -> Any:
        return next(one for one in self._sim.chats.messages.values() if one.id == number)

    def _last_said(self) -> Any:
        said = [one for one in self._sim.chats.messages.values() if one.sender is self._person.user]
        return said[-1]


_WHAT: Mapping[str, What] = {
    "said": "said",
    "sent": "sent",
    "edited": "edited",
    "toast": "toast",
    "draft": "preview",
}


def _seen(event: Event) -> Seen:
    message = event.message
    entities = message.content.entities if message else ()
    return Seen(
        number=event.number,
        what=_WHAT.get(event.kind, "other"),
        card=message.id if message else 0,
        text=event.text,
        photo=event.photo,
        file=event.document,
        buttons=event.buttons,
        entities=frozenset(one["type"] for one in entities),
        reply_to=message.reply_to if message else None,
        at_s=event.at_s,
    )
