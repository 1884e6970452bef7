"""A scene: one thing that came in, who it came from, and how to answer there."""

from dataclasses import dataclass, replace

from core.books.inbox import Event, Mail
from core.desk.person_view import View
from core.values.mail import Content, Inbound, Letter, Note, Peer, Presence, Row
from core.values.money import Msat, from_sats
from core.values.pricing import Prices, Pricing, request_cost_msat
from core.values.texts import Catalogue, charged_sats, sats

# The size of an ordinary answer in a chat, to name a price before there is one.
USUAL_INPUT_TOKENS, USUAL_OUTPUT_TOKENS = 300, 300
_NO_HOLD = Msat(2**62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What a conversation says about the service."""

    name: str
    contact: str
    check_fee: Msat
    keeps_fee_on_reject: bool
    pay_once_sats: int
    unpaid_max: int
    deposit_min_sats: int
    deposit_max_sats: int
    invoice_expiry_s: int
    unpaid_ttl_ms: int
    retention_days: int
    pricing: Pricing
    prices: Prices

    @property
    def rejection(self) -> str:
        """The text of a no: whether the fee of the check is kept."""
        return "check.no" if self.keeps_fee_on_reject else "check.no_returned"

    @property
    def usual_answer(self) -> Msat:
        """What an ordinary answer in a chat costs."""
        return request_cost_msat(
            self.pricing,
            self.prices,
            input_tokens=USUAL_INPUT_TOKENS,
            output_tokens=USUAL_OUTPUT_TOKENS,
            hold=_NO_HOLD,
        )


@dataclass(frozen=True, slots=True)
class Voice:
    """Says things in one language."""

    catalogue: Catalogue
    lang: str

    def say(self, key: str, **values: object) -> str:
        """The text `key`."""
        return self.catalogue.say(key, self.lang, **values)

    def has(self, amount: Msat) -> str:
        """What somebody has: rounded down."""
        return sats(amount, self.lang)

    def costs(self, amount: Msat) -> str:
        """What something costs: rounded up."""
        return charged_sats(amount, self.lang)

    def day(self, written: str) -> str:
        """A day that is written as 2027-01-31."""
        year, month, day = written.split("-")
        return self.say("time.date", year=year, month=month, day=day)

    def span(self, ms: int) -> str:
        """How long something takes, in the unit that suits it."""
        seconds = max(0, ms) // 1000
        if seconds < 60:
            return self.say("time.seconds", n=seconds)
        if seconds < 3 * 3600:
            return self.say("time.minutes", n=seconds // 60)
        return self.say("time.hours", n=seconds // 3600)

    def sat(self, whole: int) -> str:
        """An amount in whole satoshi."""
        return sats(from_sats(whole), self.lang)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer goes: to whom, how, and in reply to which message."""

    peer: Peer
    via: str = ""
    message_id: str | None = None

    def letter(self, content: Content, *, slot: str | None = None) -> Letter:
        """A new message here; with a slot, what stands there is from now on this one."""
        return Letter(
            peer=self.peer,
            content=content,
            slot=slot,
            is_news=True,
            reply_to=self.message_id,
            via=self.via,
        )

    def redrawn(self, content: Content, slot: str) -> Letter:
        """What stands in a slot is to look like this; nobody needs to be called for it."""
        return replace(self.letter(content, slot=slot), is_news=False)

    def passing(self, content: Content, slot: str) -> Letter:
        """The same, of use only where it can take the place of what stands there."""
        return replace(self.redrawn(content, slot), is_passing=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """One piece of mail, and the person it is from or for."""

    mail: Mail
    view: View
    voice: Voice
    place: Place

    @property
    def session_id(self) -> str:
        """The person's session."""
        return self.view.session_id

    @property
    def now_ms(self) -> int:
        """When this is answered."""
        return self.view.now_ms

    @property
    def is_reminded(self) -> bool:
        """Whether time brought this up, not the person."""
        return isinstance(self.mail.item, Event) and self.mail.item.what == "reminder"

    @property
    def is_back(self) -> bool:
        """Whether somebody writes who could not be reached."""
        item, contact = self.mail.item, self.view.contact
        if not isinstance(item, Inbound) or contact is None or contact.is_reachable:
            return False
        return item.body != Presence(is_reachable=False)

    @property
    def balance(self) -> str:
        """What the person has, in words."""
        return self.voice.has(self.view.account.balance)

    @property
    def refusal(self) -> Letter | None:
        """What somebody is told to whom nothing new is sold; None to all others."""
        if self.view.person.is_blocked:
            return self.note("sys.blocked")
        return self.farewell

    @property
    def farewell(self) -> Letter | None:
        """What everybody is told while the service closes; None while it does not."""
        if not self.view.closes_on:
            return None
        day = self.voice.day(self.view.closes_on)
        return self.note("sys.winddown", date=day, balance=self.balance)

    def at(self, peer: Peer, message_id: str | None = None) -> "Scene":
        """The same scene, answered there: to this peer of the person, in reply to that message."""
        known = next((contact for contact in self.view.contacts if contact.peer == peer), None)
        via = "" if known is None else known.via
        return replace(self, place=Place(peer, via, message_id))

    def note(
        self,
        key: str,
        *,
        buttons: tuple[Row, ...] = (),
        hint: str = "",
        slot: str | None = None,
        **values: object,
    ) -> Letter:
        """A plain message of the text `key`."""
        note = Note(self.voice.say(key, **values), buttons=buttons, hint=hint)
        return self.place.letter(note, slot=slot)
