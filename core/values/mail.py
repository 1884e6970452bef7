"""Mail between people and the service, the same on every channel.

An adapter turns what its channel brings into `Inbound`, and a `Letter` into its own messages.
Texts arrive in their final language; how they look is the adapter's matter.
"""

from dataclasses import dataclass

INVOICE = "{invoice}"  # stands in a bill's text, on a line of its own, where the invoice belongs


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody on a channel. Ids mean nothing outside their realm: a bot, our own key, a host."""

    channel: str
    realm: str
    uid: str


@dataclass(frozen=True, slots=True)
class File:
    """A file that somebody sent; `key` is how the channel fetches it."""

    name: str
    mime: str
    size_bytes: int
    key: str


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody wrote, perhaps with a text file beside it."""

    text: str
    file: File | None = None


@dataclass(frozen=True, slots=True)
class Press:
    """A button of ours that its owner pressed. `version` is that of what the button belongs to."""

    verb: str
    ref: str
    version: int


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Something that is not text, such as a photo. `group` is one for all parts of an album."""

    kind: str
    caption: str = ""
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """Somebody can no longer be reached, or can be again."""

    is_reachable: bool


@dataclass(frozen=True, slots=True)
class Edited:
    """Somebody changed the message `Inbound.message_id` after it was sent."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Something addressed to us where others read along: nothing is done there."""

    kind: str  # "group"


Body = Text | Press | Unsupported | Presence | Edited | Elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One thing that came in. `ext_id` is the channel's own id of it, taken once."""

    peer: Peer
    ext_id: str
    body: Body
    at_ms: int  # when the sender says it was sent; for display only
    message_id: str | None = None  # to reply to
    reply_to: str | None = None  # the message of ours or theirs that it answers
    lang: str | None = None  # the language of the sender's app, such as "de" or "pt-br"
    name: str = ""  # how the sender calls itself; for display only
    via: str = ""  # how answers should go: "nip17", "nip04"; no part of the identity


@dataclass(frozen=True, slots=True)
class Button:
    """A button that comes back as a `Press`."""

    label: str
    verb: str
    ref: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A button that opens an https page."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A button that copies a text of at most 256 characters."""

    label: str
    text: str


Row = tuple[Button | Link | Copy, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A plain text. `hint` says in words what the buttons do, where there are none.

    `is_settled` marks a card whose invoice is paid: a picture of it shows that, too.
    """

    text: str
    buttons: tuple[Row, ...] = ()
    hint: str = ""
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """A text with an invoice to pay; `text` holds INVOICE on a line of its own."""

    text: str
    bolt11: str
    pay_url: str | None
    buttons: tuple[Row, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """An answer in Markdown that is never cut. `foot` is a last line of ours, `head` a first one.

    A long one goes as a file `name`, with `file_note` beside it.
    """

    markdown: str
    name: str
    head: str = ""
    foot: str = ""
    file_note: str = ""
    buttons: tuple[Row, ...] = ()


Content = Note | Bill | Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Something to say. With a slot it takes the place of what was shown there before.

    `is_news` makes a new message of it even then: money moved, or an answer is wanted.
    `is_passing` is of use only in the place of what was shown: elsewhere it is left unsaid.
    """

    peer: Peer
    content: Content
    slot: str | None = None
    is_news: bool = False
    is_passing: bool = False
    reply_to: str | None = None
    via: str = ""
    at_ms: int = 0  # when it was written; a message that carries a time of ours carries this one
