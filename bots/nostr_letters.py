"""How a letter looks on Nostr: plain messages, one for each piece of news.

There are no buttons, so that hints say what to write instead, and nothing can be changed later: a
card that changes is told anew. An invoice is a message of its own, for
clients that draw it, and for copying in all others.
"""

from dataclasses import dataclass
from typing import assert_never

from bots.nostr_parts import parts_of
from core.values.mail import INVOICE, Bill, Content, Letter, Note, Result
from core.values.text import storable

NIP04, NIP17 = "nip04", "nip17"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. The same again becomes the same event, byte for byte."""

    text: str
    created_at: int
    via: str
    reply_to: str | None


def messages_of(letter: Letter) -> list[Message]:
    """The messages of a letter."""
    assert letter.at_ms > 0, "a message carries the time of its letter"
    via = NIP04 if letter.via == NIP04 else NIP17
    texts = [part for text in _texts_of(letter.content) for part in parts_of(storable(text))]
    # A second apart, for clients sort by it.
    return [
        Message(text, letter.at_ms // 1000 + number, via, letter.reply_to)
        for number, text in enumerate(texts)
    ]


def _texts_of(content: Content) -> list[str]:
    match content:
        case Note():
            return [_paragraphs(content.text, content.hint)]
        case Bill():
            said = [line for line in content.text.split("\n") if line.strip() != INVOICE]
            text = "\n".join([*said, content.pay_url] if content.pay_url else said)
            return [_paragraphs(text, content.hint), content.bolt11]
        case Result():
            return [_paragraphs(content.head, content.markdown, content.foot)]
        case _:
            assert_never(content)


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(text.strip("\n") for text in texts if text.strip())
