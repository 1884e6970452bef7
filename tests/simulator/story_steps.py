"""What a story consists of, step by step; `story.py` reads it from a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

CHANNELS: Final = ("telegram", "terminal", "nostr17", "nostr04", "openai")
SEEN_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Text:
    """One thing that is said of a text."""

    kind: Literal["whole", "part", "absent", "pattern"]
    text: str


@dataclass(frozen=True, slots=True)
class ButtonIs:
    """There is a button; its address or its copied text holds `target`."""

    label: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """Something that the bot says: `what` is "sent", "edited", "toast" or "preview"."""

    what: Literal["sent", "edited", "toast", "preview"]
    to: str | None = None
    card: str | None = None  # of an edit
    form: Literal["photo", "text", "file"] | None = None
    texts: tuple[Text, ...] = ()
    buttons: tuple[ButtonIs, ...] = ()
    has_no_buttons: bool = False
    is_reply: bool = False
    invoice_sats: int | None = None
    memo: str | None = None  # a part of what the invoice says in the payer's wallet
    file: str | None = None
    entity: str | None = None
    name: str | None = None  # what the story calls it from now on
    within_s: float = SEEN_WITHIN_S
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """The bot says nothing for so long."""

    seconds: float
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Say:
    who: str
    text: str
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What a person does besides writing and paying."""

    who: str
    verb: Literal["block", "unblock", "leave", "edit", "forward", "join", "group"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    """A button of a card; `is_again`: as it looked when the story named the card."""

    who: str
    label: str
    card: str
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Something that is not only text."""

    who: str
    kind: str
    name: str = ""
    content: str = ""
    bytes_count: int = 0
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Pay:
    """What the card shows now, or showed when it was named; "late" does not look at the clock."""

    who: str
    card: str
    how: Literal["shown", "late"] = "shown"
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Process:
    """The program is killed, stopped or started."""

    verb: Literal["kill", "stop", "start"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of one of the others: `call` fails so, `times` times; None: until it heals."""

    where: Literal["telegram", "lnbits", "relay"]
    call: str
    fault: str = ""
    argument: str = ""
    times: int | None = 1
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ModelDoes:
    """What the next call of the model gives."""

    call: Literal["check", "work"]
    answer: str
    sats: int = 0
    text: str = ""
    usage: int | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """An invoice of another node, put into a name."""

    sats: int
    name: str


@dataclass(frozen=True, slots=True)
class Check:
    """A closing assertion: numbers by name."""

    what: Literal["ledger", "calls", "acts", "invariants"]
    numbers: Mapping[str, int] = field(default_factory=dict)


Action = (
    Expect
    | Silence
    | Say
    | Act
    | Press
    | Send
    | Pay
    | Wait
    | Process
    | Trouble
    | ModelDoes
    | Foreign
    | Check
)


@dataclass(frozen=True, slots=True)
class Step:
    """One line: where it stands, how it reads, what it means; `only` is its channel."""

    number: int
    line: str
    action: Action
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """A person of the story."""

    name: str
    channel: str  # or "all"
    lang: str = "en"
    inbox: str = "here"  # on Nostr: whether they say where they read, or a relay that is dead


@dataclass(slots=True)
class Story:
    """One file, read."""

    name: str
    title: str = ""
    world: dict[str, str] = field(default_factory=dict)
    persons: list[Cast] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def is_for_postgres(self) -> bool:
        """Whether it is played on PostgreSQL, too: stories about money are."""
        return "postgres" in self.world

    @property
    def channels(self) -> tuple[str, ...]:
        """On which channels it is played."""
        named = {person.channel for person in self.persons} or {"telegram"}
        return CHANNELS if named == {"all"} else tuple(sorted(named - {"all"}))
