"""The methods of the simulated Bot API: parameters in, result out, or a refusal.

Pure, but for the state that they change. `getUpdates` and the webhook, which wait, are in
`bot_api.py`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.simulator.bot_api_chats import (
    DELETABLE_S,
    DOWNLOAD_MAX,
    QUERY_S,
    Chats,
    Message,
)
from tests.simulator.bot_api_rules import (
    CAPTION_MAX,
    TEXT_MAX,
    TOAST_MAX,
    Formatted,
    Refused,
    bad,
    checked_markup,
    decoded,
    formatted,
    units,
    words,
)

PHOTO_MAX: Final = 10 * 1024 * 1024
DOCUMENT_MAX: Final = 50 * 1024 * 1024
COUNTED: Final = words(
    "sendMessage sendPhoto sendDocument editMessageText editMessageCaption editMessageMedia"
    " editMessageReplyMarkup"
)

DraftMode = Literal["new", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of a call, whether they came as query, form, multipart or JSON."""

    values: Mapping[str, Any]
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name, default)
        return value if isinstance(value, str) else json.dumps(value)

    def number(self, name: str, default: int | None = None) -> int:
        value = self.values.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise bad(f'invalid or missing parameter "{name}"') from None

    def nested(self, name: str) -> Any:
        value = self.values.get(name)
        return None if value in (None, "") else decoded(value, name)

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in ("true", "1")

    @property
    def chat_id(self) -> int | None:
        """For the fault script and the pacing, which look before anything is checked."""
        value = str(self.values.get("chat_id", ""))
        return int(value) if value.lstrip("-").isdigit() else None


class Methods:
    """What a bot may call; `drafts` is how old the server is."""

    def __init__(self, chats: Chats) -> None:
        self.chats = chats
        self.drafts: DraftMode = "new"
        self._by_name: dict[str, Callable[[Params], Any]] = {
            "getme": lambda _: chats.bot(),
            "logout": lambda _: True,
            "close": lambda _: True,
            "sendmessage": self._send_message,
            "sendphoto": self._send_photo,
            "senddocument": self._send_document,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagemedia": self._edit_media,
            "editmessagereplymarkup": self._edit_markup,
            "deletemessage": self._delete,
            "answercallbackquery": self._answer_query,
            "sendchataction": self._act,
            "sendmessagedraft": self._draft,
            "getfile": self._get_file,
            "getwebhookinfo": lambda _: self._webhook_info(),
        }
        for name in _PUBLISHED:
            self._by_name[f"set{name}"] = self._publish(name)
            self._by_name[f"get{name}"] = self._published(name)

    def call(self, method: str, params: Params) -> Any:
        """The result. Raises Refused."""
        called = self._by_name.get(method.lower())
        if called is None or (method.lower() == "sendmessagedraft" and self.drafts == "unknown"):
            raise Refused(404, "Not Found")
        return called(params)

    # Sending

    def _send_message(self, params: Params) -> Any:
        chat_id = self._open_chat(params)
        content = self._content(params, "text")
        if not content.text:
            raise self.chats.wordings.refuse("empty")
        if units(content.text) > TEXT_MAX:
            raise self.chats.wordings.refuse("too long")
        return self._sent(chat_id, params, content=content)

    def _send_photo(self, params: Params) -> Any:
        chat_id = self._open_chat(params)
        name, photo = self._file(params, params.text("photo", "attach://photo"), "photo")
        _check_photo(name, photo)
        return self._sent(chat_id, params, content=self._caption(params), photo=photo)

    def _send_document(self, params: Params) -> Any:
        chat_id = self._open_chat(params)
        document = self._file(params, params.text("document", "attach://document"), "document")
        if len(document[1]) > DOCUMENT_MAX:
            raise Refused(413, "Request Entity Too Large")
        return self._sent(chat_id, params, content=self._caption(params), document=document)

    def _sent(self, chat_id: int, params: Params, **content: Any) -> Any:
        markup = checked_markup(params.nested("reply_markup"))
        reply = params.nested("reply_parameters") or {}
        reply_to = reply.get("message_id")
        if reply_to is not None:
            found = self.chats.messages.get((chat_id, int(reply_to)))
            if found is None or found.is_deleted:
                if not reply.get("allow_sending_without_reply"):
                    raise self.chats.wordings.refuse("reply missing")
                reply_to = None
        message = self.chats.keep(chat_id, None, markup=markup, reply_to=reply_to, **content)
        return self.chats.as_json(message)

    def _open_chat(self, params: Params) -> int:
        """The chat, if the bot may write there. Raises Refused."""
        if params.chat_id is None:
            raise bad("chat_id is empty" if not params.text("chat_id") else "chat not found")
        if (group := self.chats.groups.get(params.chat_id)) is not None:
            if group.bot_status != "member":
                raise Refused(403, "Forbidden: bot was kicked from the supergroup chat")
            return group.id
        user = self.chats.users.get(params.chat_id)
        if user is None:
            raise bad("chat not found")
        if user.is_deactivated:
            raise Refused(403, "Forbidden: user is deactivated")
        if user.has_blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if not user.has_started:
            raise Refused(403, "Forbidden: bot can't initiate conversation with a user")
        return user.id

    def _content(self, params: Params, name: str) -> Formatted:
        entities = params.nested("caption_entities" if name == "caption" else "entities")
        return formatted(params.text(name), entities, params.text("parse_mode") or None)

    def _caption(self, params: Params) -> Formatted:
        content = self._content(params, "caption")
        if units(content.text) > CAPTION_MAX:
            raise bad("message caption is too long")
        return content

    def _file(self, params: Params, source: str, name: str) -> tuple[str, bytes]:
        """An uploaded file, or one that Telegram has already. Raises Refused."""
        part = params.files.get(source.removeprefix("attach://")) or params.files.get(name)
        if part is not None:
            if not part[1]:
                raise bad("file must be non-empty")
            return part
        if source in self.chats.files:
            path, content = self.chats.files[source]
            return path.rpartition("/")[2], content
        if source.startswith("attach://"):
            raise bad(f"there is no {name} in the request")
        raise bad("wrong remote file identifier specified: Wrong string length")

    # Editing

    def _edited(self, message: Message, params: Params, **changes: Any) -> Any:
        markup = checked_markup(params.nested("reply_markup"))
        changes["markup"] = markup
        if all(getattr(message, name) == value for name, value in changes.items()):
            raise self.chats.wordings.refuse("not modified")
        for name, value in changes.items():
            setattr(message, name, value)
        message.edits += 1
        self.chats.note("edited", message.chat_id, message)
        return self.chats.as_json(message)

    def _own(self, params: Params) -> Message:
        """The message to edit. Raises Refused."""
        chat_id = self._open_chat(params)
        number = params.number("message_id")
        message = self.chats.message(chat_id, number, missing="message to edit not found")
        if not message.is_bots:
            raise bad("message can't be edited")
        return message

    def _edit_text(self, params: Params) -> Any:
        message = self._own(params)
        if message.has_media:
            raise bad("there is no text in the message to edit")
        content = self._content(params, "text")
        if not content.text:
            raise self.chats.wordings.refuse("empty")
        if units(content.text) > TEXT_MAX:
            raise self.chats.wordings.refuse("too long")
        return self._edited(message, params, content=content)

    def _edit_caption(self, params: Params) -> Any:
        message = self._own(params)
        if not message.has_media:
            raise bad("there is no caption in the message to edit")
        return self._edited(message, params, content=self._caption(params))

    def _edit_media(self, params: Params) -> Any:
        message = self._own(params)
        if not message.has_media:
            raise bad("there is no media in the message to edit")
        media = params.nested("media") or {}
        inner = Params({"caption": "", **media})
        name, content = self._file(params, media.get("media", ""), media.get("type", "media"))
        shown = self._caption(inner)
        if media.get("type") == "photo":
            _check_photo(name, content)
            return self._edited(message, params, content=shown, photo=content, document=None)
        return self._edited(message, params, content=shown, photo=None, document=(name, content))

    def _edit_markup(self, params: Params) -> Any:
        return self._edited(self._own(params), params)

    def _delete(self, params: Params) -> bool:
        chat_id = self._open_chat(params)
        number = params.number("message_id")
        message = self.chats.message(chat_id, number, missing="message to delete not found")
        if self.chats.now_s() - message.made_s > DELETABLE_S:
            raise bad("message can't be deleted for everyone")
        message.is_deleted = True
        self.chats.note("deleted", chat_id, message)
        return True

    # The rest

    def _answer_query(self, params: Params) -> bool:
        text = params.text("text")
        if units(text) > TOAST_MAX:
            raise bad("MESSAGE_TOO_LONG")
        query = self.chats.queries.get(params.text("callback_query_id"))
        is_late = query is not None and self.chats.now_s() - query.made_s > QUERY_S
        if query is None or query.is_answered or is_late:
            raise self.chats.wordings.refuse("query old")
        query.is_answered = True
        self.chats.note("toast", query.user.id, None, text)
        return True

    def _act(self, params: Params) -> bool:
        chat_id = self._open_chat(params)
        if params.text("action") not in _ACTIONS:
            raise bad("wrong parameter action in request")
        self.chats.note("action", chat_id, None, params.text("action"))
        return True

    def _draft(self, params: Params) -> bool:
        if self.drafts == "refused":
            raise bad("TEXTDRAFT_PEER_INVALID")
        chat_id = self._open_chat(params)
        if chat_id < 0:
            raise bad("TEXTDRAFT_PEER_INVALID")
        if params.number("draft_id") == 0:
            raise bad("draft_id must be non-zero")
        content = self._content(params, "text")
        if units(content.text) > TEXT_MAX:
            raise self.chats.wordings.refuse("too long")
        self.chats.note("draft", chat_id, None, content.text)
        return True

    def _get_file(self, params: Params) -> Any:
        file_id = params.text("file_id")
        if file_id not in self.chats.files:
            raise bad("wrong file_id or the file is temporarily unavailable")
        path, content = self.chats.files[file_id]
        if len(content) > DOWNLOAD_MAX:
            raise bad("file is too big")
        answer = {"file_id": file_id, "file_unique_id": file_id[-12:], "file_size": len(content)}
        return answer | {"file_path": path}

    def _webhook_info(self) -> Any:
        return {
            "url": self.chats.webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(self.chats.pending()),
        }

    def _publish(self, name: str) -> Callable[[Params], bool]:
        def publish(params: Params) -> bool:
            key, limit = _PUBLISHED[name]
            value = params.nested(key) if limit == 0 else params.text(key)
            if limit and units(value) > limit:
                raise bad(f"{key} is too long")
            self.chats.profile[f"{name}:{_audience(params)}"] = value
            return True

        return publish

    def _published(self, name: str) -> Callable[[Params], Any]:
        def published(params: Params) -> Any:
            key, limit = _PUBLISHED[name]
            value = self.chats.profile.get(f"{name}:{_audience(params)}")
            return {key: value or ""} if limit else value or _EMPTY.get(name, [])

        return published


# What a bot publishes about itself: the parameter, and its longest length (0: no text).
_PUBLISHED: Final[Mapping[str, tuple[str, int]]] = {
    "mycommands": ("commands", 0),
    "mydescription": ("description", 512),
    "myshortdescription": ("short_description", 120),
    "myname": ("name", 64),
    "chatmenubutton": ("menu_button", 0),
}
_EMPTY: Final = {"chatmenubutton": {"type": "default"}}
_ACTIONS: Final = frozenset(("typing", "upload_photo", "upload_document"))


def _audience(params: Params) -> str:
    scope = params.nested("scope") or {}
    return f"{scope.get('type', 'default')}:{params.text('language_code')}"


def _check_photo(_name: str, photo: bytes) -> None:
    if len(photo) > PHOTO_MAX:
        raise bad("too big photo")
    if not photo.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        raise bad("IMAGE_PROCESS_FAILED")
