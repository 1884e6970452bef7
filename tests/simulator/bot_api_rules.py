"""What Telegram's Bot API refuses in a message, in its own words.

Wordings drift between years and servers, so those that are known in several variants rotate: a bot
that compares one exact sentence is found out. Sources: the Bot API's documentation, the list of
error bodies in TelegramBotAPI/errors, the constants of python-telegram-bot 22.8.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final
from urllib.parse import urlsplit

TEXT_MAX = 4096  # UTF-16 units, as all lengths and offsets here
CAPTION_MAX = 1024
ENTITIES_MAX = 100
BUTTONS_MAX = 100
ROW_MAX = 8
DATA_BYTES_MAX = 64
COPY_MAX = 256
TOAST_MAX = 200

_NOT_MODIFIED: Final = (
    "Bad Request: message is not modified: specified new message content and reply markup are"
    " exactly the same as a current content and reply markup of the message"
)
_TWO_POLLERS: Final = (
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is"
    " running"
)
_VARIANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "not modified": (
        _NOT_MODIFIED,
        "Bad Request: message is not modified",
    ),
    "reply missing": (
        "Bad Request: message to be replied not found",
        "Bad Request: reply message not found",
    ),
    "query old": (
        "Bad Request: query is too old and response timeout expired or query ID is invalid",
        "Bad Request: QUERY_ID_INVALID",
    ),
    "two pollers": (
        _TWO_POLLERS,
        "Conflict: terminated by other long poll or webhook",
    ),
    "too long": ("Bad Request: message is too long", "Bad Request: MESSAGE_TOO_LONG"),
    "empty": ("Bad Request: message text is empty", "Bad Request: text must be non-empty"),
}


def words(line: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(line.split())


class Refused(Exception):
    """An answer that is not ok: code and description as Telegram sends them."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description


def bad(description: str) -> Refused:
    return Refused(400, f"Bad Request: {description}")


@dataclass(slots=True)
class Wordings:
    """The variants of the sentences that have some, one after the other."""

    _turns: dict[str, Iterator[str]] = field(
        default_factory=lambda: {key: itertools.cycle(texts) for key, texts in _VARIANTS.items()}
    )

    def refuse(self, key: str) -> Refused:
        code = 409 if key == "two pollers" else 400
        return Refused(code, next(self._turns[key]))


def units(text: str) -> int:
    """The length as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text as it stands in the chat."""

    text: str
    entities: tuple[Mapping[str, Any], ...] = ()


def formatted(text: str, entities: Any, parse_mode: str | None) -> Formatted:
    """Text and entities as Telegram takes them over: checked and cleaned. Raises Refused."""
    if parse_mode:
        return Formatted(_clean(_parsed(text, parse_mode)).strip())
    checked = tuple(_entity(text, entity) for entity in entities or ())
    if len(checked) > ENTITIES_MAX:
        raise bad("entities too long")
    cleaned = _clean(text)
    lead = units(cleaned) - units(cleaned.lstrip())
    moved = (
        {**entity, "offset": max(0, entity["offset"] - lead)}  # those in the margin went with it
        for entity in checked
        if entity["offset"] + entity["length"] > lead
    )
    return Formatted(cleaned.strip(), tuple(moved))


def _clean(text: str) -> str:
    """Control characters become blanks; carriage returns and bidi overrides go."""
    text = re.sub("[\u2028-\u202e\r]", "", text)
    return re.sub("[\x00-\x08\x0b-\x1f]", " ", text)


_ENTITY_TYPES: Final = words(
    "bold italic underline strikethrough spoiler blockquote expandable_blockquote code pre"
    " text_link text_mention custom_emoji mention hashtag cashtag bot_command url email"
    " phone_number"
)


def _entity(text: str, entity: Mapping[str, Any]) -> Mapping[str, Any]:
    if entity.get("type") not in _ENTITY_TYPES:
        raise bad("can't parse MessageEntity: Unsupported entity type")
    offset, length = entity.get("offset"), entity.get("length")
    if not isinstance(offset, int) or not isinstance(length, int):
        raise bad("can't parse MessageEntity: Field must be of type Number")
    if offset < 0 or length <= 0 or offset + length > units(text):
        raise bad("entity is out of the text")
    raw = text.encode("utf-16-le")
    for at, verb in ((offset, "begins"), (offset + length, "ends")):
        unit = raw[2 * at : 2 * at + 2]
        if len(unit) == 2 and 0xDC00 <= int.from_bytes(unit, "little") < 0xE000:
            raise bad(f"entity {verb} in a middle of a UTF-16 symbol at byte offset {at}")
    if entity["type"] == "text_link" and not entity.get("url"):
        raise bad("can't parse MessageEntity: URL must be non-empty")
    return dict(entity)


# Parse modes: their errors are what bots trip over, so the errors are what is copied.

_TAG = re.compile(r"<(/?)([a-zA-Z-]*)([^>]*)>?")
_TAGS: Final = words(
    "b strong i em u ins s strike del span tg-spoiler a tg-emoji code pre blockquote"
)
_RESERVED: Final = frozenset(">#+-=|{}.!()]")


def _parsed(text: str, parse_mode: str) -> str:
    match parse_mode.lower():
        case "html":
            return _parsed_html(text)
        case "markdownv2":
            return _parsed_marks(text, marks="*_~`|[", is_strict=True)
        case "markdown":
            return _parsed_marks(text, marks="*_`[", is_strict=False)
        case _:
            raise bad("unsupported parse_mode")


def _parsed_html(text: str) -> str:
    open_tags: list[str] = []
    for match in _TAG.finditer(text):
        slash, name, _ = match.groups()
        at = len(text[: match.start()].encode())
        if name.lower() not in _TAGS:
            raise bad(f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {at}')
        if not slash:
            open_tags.append(name.lower())
        elif not open_tags or open_tags.pop() != name.lower():
            raise bad(f"can't parse entities: Unexpected end tag at byte offset {at}")
    if open_tags:
        tag = open_tags[-1]
        raise bad(f"can't parse entities: Can't find end tag corresponding to start tag \"{tag}\"")
    return unescape(_TAG.sub("", text))


def _parsed_marks(text: str, *, marks: str, is_strict: bool) -> str:
    kept: list[str] = []
    open_marks: list[tuple[str, int]] = []
    escaped = False
    for at, char in enumerate(text):
        is_code = bool(open_marks) and open_marks[-1][0] == "`"
        if escaped:
            escaped = False
            kept.append(char)
        elif char == "\\":
            escaped = True
        elif is_code and char != "`":
            kept.append(char)
        elif char == "]" and open_marks and open_marks[-1][0] == "[":
            open_marks.pop()
        elif char in marks:
            if open_marks and open_marks[-1][0] == char:
                open_marks.pop()
            else:
                open_marks.append((char, len(text[:at].encode())))
        elif is_strict and char in _RESERVED:
            raise bad(
                f"can't parse entities: Character '{char}' is reserved and must be escaped with the"
                " preceding '\\'"
            )
        else:
            kept.append(char)
    if open_marks:
        at = open_marks[-1][1]
        raise bad(
            f"can't parse entities: Can't find end of the entity starting at byte offset {at}"
        )
    return "".join(kept)


# Buttons


def checked_markup(markup: Any) -> Mapping[str, Any] | None:
    """The inline keyboard, checked button by button. Raises Refused."""
    if not markup:
        return None
    rows = markup.get("inline_keyboard")
    if rows is None:
        return dict(markup)  # a reply keyboard, or its removal
    buttons = [button for row in rows for button in row]
    if len(buttons) > BUTTONS_MAX or any(len(row) > ROW_MAX for row in rows):
        raise bad("reply markup is too long")
    for button in buttons:
        _check_button(button)
    return dict(markup) if buttons else None


_KINDS: Final = words(
    "url callback_data web_app login_url switch_inline_query switch_inline_query_current_chat"
    " switch_inline_query_chosen_chat copy_text callback_game pay"
)


def _check_button(button: Mapping[str, Any]) -> None:
    if not button.get("text"):
        raise bad('can\'t parse inline keyboard button: field "text" must be non-empty')
    kinds = [kind for kind in _KINDS if kind in button]
    if not kinds:
        raise bad("can't parse inline keyboard button: Text buttons are unallowed")
    if len(kinds) > 1:
        raise bad("can't parse inline keyboard button: exactly one type must be used")
    match kinds[0]:
        case "callback_data":
            if not 1 <= len(button["callback_data"].encode()) <= DATA_BYTES_MAX:
                raise bad("BUTTON_DATA_INVALID")
        case "url":
            _check_url(button["url"])
        case "copy_text":
            if not 1 <= units(button["copy_text"].get("text", "")) <= COPY_MAX:
                raise bad("BUTTON_COPY_TEXT_INVALID")


def _check_url(url: str) -> None:
    split = urlsplit(url if "://" in url or ":" in url else f"http://{url}")
    if split.scheme not in ("http", "https", "tg"):
        raise bad(f"inline keyboard button URL '{url}' is invalid: Unsupported URL protocol")
    if split.scheme != "tg" and "." not in (split.hostname or ""):
        raise bad("BUTTON_URL_INVALID")


def decoded(value: Any, name: str) -> Any:
    """A nested parameter: forms carry it as JSON in a string. Raises Refused."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise bad(f"can't parse {name} JSON object") from None
