"""What Telegram's updates mean. Pure: from the JSON of https://core.telegram.org/bots/api#update.

A person is whoever writes in a private chat with us and as itself: not a bot, not by way of a bot,
a channel or a business account. In groups we only say that we work in private. All else is ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bots.clean import clean_name
from bots.telegram_presses import Seals
from core.values.mail import (
    Body,
    Edited,
    Elsewhere,
    File,
    Inbound,
    Peer,
    Presence,
    Press,
    Text,
    Unsupported,
)
from core.values.text import storable

NAME: Final = "telegram"
UPDATES: Final = ("message", "edited_message", "callback_query", "my_chat_member")

# In this order: an animation, for example, comes with a document for old apps.
_KINDS: Final = (
    *("photo", "voice", "video", "video_note", "audio", "sticker", "animation", "story"),
    *("venue", "location", "contact", "poll", "dice", "game", "paid_media", "checklist"),
)
_ANNOUNCEMENTS: Final = re.compile(
    r"(new|left|delete|group|supergroup|channel|message_auto|migrate|pinned|invoice|successful"
    r"|refunded|users|chat|connected|write|passport|proximity|boost|forum|general|giveaway|video_chat"
    r"|web_app|gift|unique_gift|checklist_tasks|direct_message|paid_message|suggested)(_|$)"
)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are on Telegram."""

    bot_id: str
    username: str


@dataclass(frozen=True, slots=True)
class Mail:
    """Something for the office."""

    inbound: Inbound


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button that its owner pressed: the press `query_id` has to be answered, too."""

    inbound: Inbound
    press: Press
    query_id: str


@dataclass(frozen=True, slots=True)
class Forged:
    """A press that is not this person's, or of nothing that we made. It has no other effect."""

    query_id: str
    lang: str | None


Meaning = Mail | Pressed | Forged


def read_update(update: Json, *, me: Me, seals: Seals) -> Meaning | None:
    """What an update means to us; None is nothing."""
    match update:
        case {"update_id": int(number), "callback_query": Mapping() as query}:
            return _press(query, str(number), me=me, seals=seals)
        case {"update_id": int(number), "message": Mapping() as message}:
            return _message(message, str(number), me=me)
        case {"update_id": int(number), "edited_message": Mapping() as message}:
            return _edited(message, str(number), me=me)
        case {"update_id": int(number), "my_chat_member": Mapping() as change}:
            return _member(change, str(number), me=me)
        case _:
            return None


def _message(message: Json, ext_id: str, *, me: Me) -> Mail | None:
    if _is_from_a_person(message):
        body = _body(message, me=me)
        return None if body is None else _mail(message, ext_id, me=me, body=body)
    if _is_group(message.get("chat")) and _is_for_us(message, me):
        return _elsewhere(message, ext_id, me=me)
    return None


def _edited(message: Json, ext_id: str, *, me: Me) -> Mail | None:
    return _mail(message, ext_id, me=me, body=Edited()) if _is_from_a_person(message) else None


def _member(change: Json, ext_id: str, *, me: Me) -> Mail | None:
    """Somebody blocked us or let us in again, or a group took us in."""
    now = _within(change, "new_chat_member").get("status")
    if _is_from_a_person(change):
        if now not in ("kicked", "member"):
            return None
        return _mail(change, ext_id, me=me, body=Presence(is_reachable=now == "member"))
    was = _within(change, "old_chat_member").get("status")
    is_new = was in ("left", "kicked") and now in ("member", "administrator")
    return _elsewhere(change, ext_id, me=me) if is_new and _is_group(change.get("chat")) else None


def _press(query: Json, ext_id: str, *, me: Me, seals: Seals) -> Pressed | Forged | None:
    query_id, sender, card = query.get("id"), query.get("from"), query.get("message")
    if not isinstance(query_id, str) or not isinstance(sender, Mapping):
        return None
    forged = Forged(query_id, _lang(sender))
    if not isinstance(card, Mapping):  # it hangs on a message that was sent by way of us
        return forged
    # A card is a message of ours; who pressed it stands in the query.
    shown = {"chat": card.get("chat"), "message_id": card.get("message_id"), "from": sender}
    if not _is_from_a_person(shown):
        return forged
    press = seals.open(str(query.get("data", "")), bot_id=me.bot_id, uid=str(sender["id"]))
    if press is None:
        return forged
    return Pressed(_mail(shown, ext_id, me=me, body=press).inbound, press, query_id)


def _is_from_a_person(message: Json) -> bool:
    match message:
        case {"chat": {"type": "private", "id": int(chat)}, "from": {"id": int(sender)} as author}:
            strange = ("sender_chat", "via_bot", "business_connection_id", "sender_business_bot")
            return (
                chat == sender
                and not author.get("is_bot")
                and not any(message.get(field) for field in strange)
            )
        case _:
            return False


def _is_group(chat: object) -> bool:
    match chat:
        case {"type": "group" | "supergroup", "id": int()}:
            return True
        case _:
            return False


def _is_for_us(message: Json, me: Me) -> bool:
    """Whether a member of a group, not a channel or a bot, names us."""
    author = _within(message, "from")
    if not author or author.get("is_bot") or message.get("sender_chat"):
        return False
    text = str(message.get("text") or message.get("caption") or "")
    return re.search(rf"@{re.escape(me.username)}\b", text, re.IGNORECASE) is not None


def _elsewhere(message: Json, ext_id: str, *, me: Me) -> Mail:
    """The peer is the group: that is where the answer goes."""
    peer = Peer(NAME, me.bot_id, str(message["chat"]["id"]))
    return Mail(
        Inbound(
            peer=peer,
            ext_id=ext_id,
            body=Elsewhere("group"),
            at_ms=_at_ms(message),
            message_id=_id(message),
            lang=_lang(_within(message, "from")),
        )
    )


def _mail(message: Json, ext_id: str, *, me: Me, body: Body) -> Mail:
    author = message["from"]
    names = (author.get("first_name"), author.get("last_name"))
    return Mail(
        Inbound(
            peer=Peer(NAME, me.bot_id, str(author["id"])),
            ext_id=ext_id,
            body=body,
            at_ms=_at_ms(message),
            message_id=_id(message),
            reply_to=_id(_within(message, "reply_to_message")),
            lang=_lang(author),
            name=clean_name(" ".join(str(name) for name in names if name)),
        )
    )


def _body(message: Json, *, me: Me) -> Text | Unsupported | None:
    caption = storable(str(message.get("caption") or ""))
    album = message.get("media_group_id")
    group = None if album is None else str(album)
    if isinstance(text := message.get("text"), str):
        return Text(_without_our_name(storable(text), me))
    for kind in _KINDS:
        if message.get(kind):
            return Unsupported(kind, caption, group)
    if document := _within(message, "document"):
        return Text(caption, _file(document))
    fields = set(message) - {"message_id", "date", "chat", "from"}
    if not fields or any(_ANNOUNCEMENTS.match(field) for field in fields):
        return None
    return Unsupported("message", caption, group)


def _file(document: Json) -> File:
    return File(
        name=clean_name(str(document.get("file_name") or "")),
        mime=str(document.get("mime_type") or ""),
        size_bytes=_number(document.get("file_size")),
        key=str(document.get("file_id") or ""),
    )


def _without_our_name(text: str, me: Me) -> str:
    """`/help@our_bot` is `/help`, which apps write when a command is tapped."""
    return re.sub(rf"^(/\w+)@{re.escape(me.username)}\b", r"\1", text, flags=re.IGNORECASE)


def _within(message: Json, field: str) -> Json:
    inner = message.get(field)
    return inner if isinstance(inner, Mapping) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _lang(author: Json) -> str | None:
    lang = author.get("language_code")
    return lang if isinstance(lang, str) else None


def _id(message: Json) -> str | None:
    number = message.get("message_id")
    return None if number is None else str(number)


def _at_ms(message: Json) -> int:
    return _number(message.get("date")) * 1000
