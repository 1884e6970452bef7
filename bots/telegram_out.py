"""Which calls of Telegram a letter takes. Pure.

An invoice is a photo of its QR code with the text below. A photo cannot become a text message, so
what stands in a slot remembers its form: TEXT, PHOTO, or PHOTO_AND_TEXT where the text was too long
for a caption. A result is one message or up to three; a longer one is its beginning and a file.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never
from urllib.parse import urlsplit

from bots.channel import Shown
from bots.clean import clean_text
from bots.markup import QUOTED, continued, render
from bots.qr import QUIET_ZONE, invoice_code
from bots.stamp import paid_stamp
from bots.styled import CAPTION_MAX, TEXT_MAX, Span, Styled, join, split, units
from bots.telegram_presses import Seals
from core.values.mail import (
    INVOICE,
    Bill,
    Button,
    Copy,
    Letter,
    Link,
    Note,
    Press,
    Result,
    Row,
)

TEXT: Final = "text"
PHOTO: Final = "photo"
PHOTO_AND_TEXT: Final = "photo+text"
FILE: Final = "file"

PARTS_MAX: Final = 3
CODE_MAX: Final = 3500  # a longer block of code is better read as a file
BEGINNING: Final = 1000
READ_MAX: Final = 40_000  # characters of Markdown; more of it is a file in any case
SAMPLE: Final = 4000  # of which the beginning is made then
BUTTONS_MAX: Final = 100
ROW_MAX: Final = 8
COPY_MAX: Final = 256
_QR_SCALE: Final = 8


@dataclass(frozen=True, slots=True)
class Callback:
    """A button that comes back to us."""

    label: str
    sealed: str


Key = Callback | Link | Copy
Keyboard = tuple[tuple[Key, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendText:
    """A new message of text."""

    content: Styled
    keys: Keyboard = ()
    reply_to: int | None = None
    form: str = TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPhoto:
    """A new message with a picture."""

    png: bytes
    caption: Styled
    keys: Keyboard = ()
    reply_to: int | None = None
    form: str = PHOTO


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFile:
    """A new message with a file."""

    name: str
    body: bytes
    caption: Styled
    keys: Keyboard = ()
    form: str = FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class EditText:
    """Another text for a message of text."""

    message_id: int
    content: Styled
    keys: Keyboard = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCaption:
    """Another text below the same picture."""

    message_id: int
    caption: Styled
    keys: Keyboard = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditPhoto:
    """Another picture and another text below it."""

    message_id: int
    png: bytes
    caption: Styled
    keys: Keyboard = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """A message that goes away."""

    message_id: int


Step = SendText | SendPhoto | SendFile | EditText | EditCaption | EditPhoto | Delete


def plan_letter(letter: Letter, shown: Shown | None, *, seals: Seals) -> Sequence[Step]:
    """The calls that a letter takes, in order; `shown` is what stands in its slot."""
    keys = _keyboard(letter.content.buttons, letter, seals)
    old = None if letter.is_news else shown
    if letter.is_passing and old is None:
        return []
    content = letter.content
    match content:
        case Note():
            return _note(content, old, keys=keys, reply_to=_number(letter.reply_to))
        case Bill():
            return _bill(content, old, keys=keys, reply_to=_number(letter.reply_to))
        case Result():
            new = _result(content, keys=keys, reply_to=_number(letter.reply_to))
            return [*new, *_deletions(old)]
        case _:
            assert_never(content)


def qr_png(bolt11: str) -> bytes:
    """The picture of an invoice that a wallet scans."""
    picture = io.BytesIO()
    invoice_code(bolt11).save(picture, kind="png", scale=_QR_SCALE, border=QUIET_ZONE)
    return picture.getvalue()


def _note(note: Note, old: Shown | None, *, keys: Keyboard, reply_to: int | None) -> Sequence[Step]:
    text = Styled(clean_text(note.text))
    match old:
        case Shown(ext_ids=(only,), form="text") if text.units <= TEXT_MAX:
            return [EditText(message_id=int(only), content=text, keys=keys)]
        case Shown(ext_ids=(only,), form="photo") if text.units <= CAPTION_MAX:
            return [_caption(note, int(only), text, keys=keys)]
        case Shown(ext_ids=(photo, below), form="photo+text") if text.units <= TEXT_MAX:
            edit = EditText(message_id=int(below), content=text, keys=keys)
            return [*_stamp(note, int(photo)), edit]
        case _:
            return [*_texts(split(text), keys=keys, reply_to=reply_to), *_deletions(old)]


def _caption(note: Note, message_id: int, text: Styled, *, keys: Keyboard) -> Step:
    if note.is_settled:
        return EditPhoto(message_id=message_id, png=paid_stamp(), caption=text, keys=keys)
    return EditCaption(message_id=message_id, caption=text, keys=keys)


def _stamp(note: Note, message_id: int) -> Sequence[Step]:
    if note.is_settled:
        return [EditPhoto(message_id=message_id, png=paid_stamp(), caption=Styled(""))]
    return []


def _bill(bill: Bill, old: Shown | None, *, keys: Keyboard, reply_to: int | None) -> Sequence[Step]:
    text, png = _with_invoice(bill), qr_png(bill.bolt11)
    is_short = text.units <= CAPTION_MAX
    match old:
        case Shown(ext_ids=(only,), form="photo") if is_short:
            return [EditPhoto(message_id=int(only), png=png, caption=text, keys=keys)]
        case Shown(ext_ids=(photo, below), form="photo+text"):
            return [
                EditPhoto(message_id=int(photo), png=png, caption=_first_line(text)),
                EditText(message_id=int(below), content=text, keys=keys),
            ]
        case _ if is_short:
            new = SendPhoto(png=png, caption=text, keys=keys, reply_to=reply_to)
            return [new, *_deletions(old)]
        case _:
            return [
                SendPhoto(
                    png=png, caption=_first_line(text), reply_to=reply_to, form=PHOTO_AND_TEXT
                ),
                SendText(content=text, keys=keys, form=PHOTO_AND_TEXT),
                *_deletions(old),
            ]


def _with_invoice(bill: Bill) -> Styled:
    """The text with the invoice as code, which apps copy when it is tapped."""
    before, found, after = clean_text(bill.text).partition(INVOICE)
    if not found:
        before += "\n"
    invoice = Span("code", len(before), len(before) + len(bill.bolt11))
    return Styled(before + bill.bolt11 + after, (invoice,))


def _first_line(text: Styled) -> Styled:
    return split(Styled(text.text.partition("\n")[0]), CAPTION_MAX)[0]


def _result(result: Result, *, keys: Keyboard, reply_to: int | None) -> Sequence[Step]:
    is_short = len(result.markdown) <= READ_MAX
    body = render(result.markdown if is_short else result.markdown[:SAMPLE])
    said = join([Styled(result.head), body], "\n\n")
    foot = Styled(result.foot, (Span("italic", 0, len(result.foot)),) if result.foot else ())
    cut = split(join([said, foot], "\n\n"), TEXT_MAX - len(QUOTED))
    rest = [part if part.text == foot.text else continued(part) for part in cut[1:]]
    parts = [*cut[:1], *rest]
    is_readable = len(parts) <= PARTS_MAX and not _has_long_code(body)
    if is_short and (len(parts) <= 1 or is_readable):
        return _texts(parts, keys=keys, reply_to=reply_to)
    file = SendFile(
        name=result.name,
        body=result.markdown.encode(errors="replace"),
        caption=join([Styled(result.file_note), foot], "\n"),
        keys=keys,
    )
    return [*_texts(split(said, BEGINNING)[:1], keys=(), reply_to=reply_to), file]


def _has_long_code(body: Styled) -> bool:
    return any(
        units(body.text[span.start : span.end]) > CODE_MAX
        for span in body.spans
        if span.kind == "pre"
    )


def _texts(parts: Sequence[Styled], *, keys: Keyboard, reply_to: int | None) -> Sequence[Step]:
    """New messages; the first is a reply, the last has the buttons."""
    last = len(parts) - 1
    return [
        SendText(
            content=part,
            keys=keys if number == last else (),
            reply_to=reply_to if number == 0 else None,
        )
        for number, part in enumerate(parts)
    ]


def _deletions(old: Shown | None) -> Sequence[Step]:
    return [Delete(int(message_id)) for message_id in old.ext_ids] if old else []


def _keyboard(rows: Sequence[Row], letter: Letter, seals: Seals) -> Keyboard:
    """The buttons that Telegram takes, at most 100 of them and 8 in a row."""
    room, keyboard = BUTTONS_MAX, []
    for row in rows:
        keys = [key for button in row for key in _key(button, letter, seals)][:room]
        room -= len(keys)
        keyboard += [tuple(keys[at : at + ROW_MAX]) for at in range(0, len(keys), ROW_MAX)]
    return tuple(keyboard)


def _key(button: Button | Link | Copy, letter: Letter, seals: Seals) -> Sequence[Key]:
    match button:
        case Button(label, verb, ref, version):
            press = Press(verb, ref, version)
            peer = letter.peer
            return [Callback(label, seals.seal(press, bot_id=peer.realm, uid=peer.uid))]
        case Link(_, url):
            return [button] if _is_public(url) else []
        case Copy(_, text):
            return [button] if 1 <= len(text) <= COPY_MAX else []
        case _:
            assert_never(button)


def _is_public(url: str) -> bool:
    """Telegram refuses a whole message for one button that leads to localhost or to lightning:."""
    parts = urlsplit(url)
    return parts.scheme == "https" and "." in (parts.hostname or "").strip(".")


def _number(message_id: str | None) -> int | None:
    return int(message_id) if message_id and message_id.isdecimal() else None
