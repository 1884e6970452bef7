"""Telegram's Bot API, called with python-telegram-bot.

Every call raises Failed with what the failure means. Of the library's errors BadRequest and
TimedOut are NetworkErrors, so they are looked at first (22.8).
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, assert_never

import httpx
from telegram import (
    Bot,
    BotCommandScopeAllPrivateChats,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    MessageEntity,
    ReplyParameters,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    TelegramError,
)
from telegram.request import HTTPXRequest

from bots.channel import (
    Bad,
    Down,
    FileTooBig,
    Gone,
    Outcome,
    Sent,
    TryLater,
    Unknown,
)
from bots.styled import Styled, offsets
from bots.telegram_faults import Failed, refusal
from bots.telegram_in import UPDATES, Json, Me
from bots.telegram_out import (
    Callback,
    Delete,
    EditCaption,
    EditPhoto,
    EditText,
    Key,
    Keyboard,
    SendFile,
    SendPhoto,
    SendText,
    Step,
)
from core.values.mail import Copy, Link

POLL_S: Final = 25
READ_S: Final = 20.0
CONNECTIONS: Final = 64
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class Profile:
    """What Telegram shows of us in one language."""

    commands: Sequence[tuple[str, str]]
    description: str  # before somebody presses Start, at most 512 characters
    about: str  # on our page, at most 120 characters


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where Telegram brings updates, and the secret that it shows."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class HookState:
    """Where Telegram brings updates now, "" for nowhere; what waits, and what went wrong last."""

    url: str
    waiting: int
    last_fault: str


class _Flooded(TelegramError):
    """429. The library's RetryAfter warns of its own attribute each time (22.8)."""

    def __init__(self, after_s: float | None) -> None:
        super().__init__("too many requests")
        self.after_s = after_s


class _Refusing(TelegramError):
    """The server answered 5xx, perhaps in HTML: it did nothing."""


class _Request(HTTPXRequest):
    """Sorts out answers before the library writes their bodies into the log."""

    async def do_request(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        """As the library's own."""
        status, body = await super().do_request(*args, **options)
        if status >= 500:
            raise _Refusing(f"the server answered {status}")
        if status == 429:
            raise _Flooded(_retry_after_s(body))
        return status, body


def _retry_after_s(body: bytes) -> float | None:
    try:
        return float(json.loads(body)["parameters"]["retry_after"])
    except (ValueError, TypeError, LookupError):  # not Telegram, but something before it
        return None


class BotApi:
    """One bot."""

    def __init__(self, token: str, *, api_base: str, read_s: float = READ_S) -> None:
        base = api_base.rstrip("/")
        self._bot = Bot(
            token,
            base_url=f"{base}/bot",
            base_file_url=f"{base}/file/bot",
            request=_Request(CONNECTIONS, read_timeout=read_s, pool_timeout=read_s),
            get_updates_request=_Request(1, read_timeout=read_s),
        )
        self._files = httpx.AsyncClient(timeout=read_s)

    async def hello(self) -> Me:
        """Who we are."""
        with _failures():
            await self._bot.initialize()
            return Me(str(self._bot.id), self._bot.username)

    async def use_polling(self) -> None:
        """Let updates wait for us; those that wait already are kept."""
        with _failures():
            await self._bot.delete_webhook()

    async def use_webhook(self, webhook: Webhook) -> None:
        """Let updates be brought."""
        with _failures():
            await self._bot.set_webhook(
                webhook.url, secret_token=webhook.secret, allowed_updates=UPDATES
            )

    async def hook_state(self) -> HookState:
        """How a webhook stands, if there is one."""
        with _failures():
            told = await self._bot.get_webhook_info()
        return HookState(told.url, told.pending_update_count, told.last_error_message or "")

    async def publish(self, profile: Profile, language: str) -> None:
        """Say what people see in one language; "" is for all others."""
        bot, code, scope = self._bot, language or None, BotCommandScopeAllPrivateChats()
        with _failures():
            await bot.set_my_commands(list(profile.commands), scope=scope, language_code=code)
            await bot.set_my_description(profile.description, language_code=code)
            await bot.set_my_short_description(profile.about, language_code=code)

    async def updates(self, offset: int | None) -> list[Json]:
        """Wait for updates; those before `offset` are acknowledged for ever."""
        with _failures():
            # Telegram remembers the list of kinds until another is given, so it is given each time.
            updates = await self._bot.get_updates(
                offset=offset, timeout=POLL_S, allowed_updates=UPDATES
            )
        return [update.to_dict() for update in updates]

    async def answer(self, query_id: str, text: str | None) -> None:
        """Answer a press, with a short text or without."""
        with _failures():
            await self._bot.answer_callback_query(query_id, text)

    async def perform(self, chat: int, step: Step) -> Sent:
        """Take one step of a letter."""
        with _failures():
            match step:
                case SendText() | SendPhoto() | SendFile():
                    return Sent(str((await self._send(chat, step)).message_id), step.form)
                case _:
                    await self._change(chat, step)
                    return Sent()

    async def _send(self, chat: int, step: SendText | SendPhoto | SendFile) -> Message:
        match step:
            case SendText(content=text, keys=keys, reply_to=reply_to):
                return await self._bot.send_message(
                    chat,
                    text.text,
                    entities=_entities(text),
                    link_preview_options=_NO_PREVIEW,
                    reply_markup=_markup(keys),
                    reply_parameters=_reply(reply_to),
                )
            case SendPhoto(png=png, caption=text, keys=keys, reply_to=reply_to):
                return await self._bot.send_photo(
                    chat,
                    png,
                    caption=text.text,
                    caption_entities=_entities(text),
                    reply_markup=_markup(keys),
                    reply_parameters=_reply(reply_to),
                )
            case SendFile(name=name, body=body, caption=text, keys=keys):
                return await self._bot.send_document(
                    chat,
                    InputFile(body, filename=name),
                    caption=text.text,
                    caption_entities=_entities(text),
                    reply_markup=_markup(keys),
                )
            case _:
                assert_never(step)

    async def _change(self, chat: int, step: EditText | EditCaption | EditPhoto | Delete) -> None:
        match step:
            case EditText(message_id=message, content=text, keys=keys):
                await self._bot.edit_message_text(
                    text.text,
                    chat,
                    message,
                    entities=_entities(text),
                    link_preview_options=_NO_PREVIEW,
                    reply_markup=_markup(keys),
                )
            case EditCaption(message_id=message, caption=text, keys=keys):
                await self._bot.edit_message_caption(
                    chat,
                    message,
                    caption=text.text,
                    caption_entities=_entities(text),
                    reply_markup=_markup(keys),
                )
            case EditPhoto(message_id=message, png=png, caption=text, keys=keys):
                photo = InputMediaPhoto(png, text.text, caption_entities=_entities(text))
                await self._bot.edit_message_media(photo, chat, message, reply_markup=_markup(keys))
            case Delete(message_id=message):
                await self._bot.delete_message(chat, message)
            case _:
                assert_never(step)

    async def draft(self, chat: int, draft_id: int, text: str) -> None:
        """Show the text of a message that is still being written."""
        with _failures():
            await self._bot.send_message_draft(chat, draft_id, text)

    async def say(self, chat: int, text: str) -> int:
        """Send a plain message without a sound; return its id."""
        with _failures():
            message = await self._bot.send_message(
                chat, text, disable_notification=True, link_preview_options=_NO_PREVIEW
            )
            return message.message_id

    async def show_typing(self, chat: int) -> None:
        """Show "typing" for five seconds."""
        with _failures():
            await self._bot.send_chat_action(chat, "typing")

    async def read(self, file_id: str, bytes_max: int) -> bytes:
        """The content of a file. Raises FileTooBig, too, and reads no further than that."""
        with _failures():
            found = await self._bot.get_file(file_id)
            if (found.file_size or 0) > bytes_max:
                raise FileTooBig
            return await self._download(found.file_path or "", bytes_max)

    async def _download(self, url: str, bytes_max: int) -> bytes:
        content = bytearray()
        async with self._files.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise _Refusing(f"the server answered {response.status_code}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > bytes_max:
                    raise FileTooBig
        return bytes(content)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._bot.shutdown()
        await self._files.aclose()


@contextmanager
def _failures() -> Iterator[None]:
    """Say what a failure means; its cause is left out, since it holds addresses with the token."""
    try:
        yield
    except TelegramError as error:
        raise Failed(_meaning(error)) from None
    except httpx.HTTPError as error:
        raise Failed(Unknown(type(error).__name__)) from None


def _meaning(error: TelegramError) -> Outcome:
    match error:
        case _Flooded(after_s=after_s):
            return TryLater(after_s, error.message)
        case Forbidden():
            return Gone(error.message)
        case ChatMigrated():
            return Bad("the group became another one")
        case BadRequest():
            return refusal(error.message)
        case InvalidToken() | Conflict():
            return Down(_complaint(error), is_rival=isinstance(error, Conflict))
        case _:
            return _trouble(error)


def _complaint(error: InvalidToken | Conflict) -> str:
    if isinstance(error, Conflict):
        return error.message
    return "Telegram does not know this bot's token, or not this method"  # theirs names the token


def _trouble(error: TelegramError) -> Outcome:
    """What is known of a call that nobody refused: that nothing was done, or nothing at all."""
    cause = error.__cause__
    if isinstance(error, _Refusing):
        return TryLater(None, error.message)
    if isinstance(cause, _NOT_SENT):
        return TryLater(None, type(cause).__name__)
    return Unknown(type(cause or error).__name__)


def _entities(styled: Styled) -> list[MessageEntity]:
    at = offsets(styled.text)
    return [
        MessageEntity(
            span.kind, at[span.start], at[span.end] - at[span.start], language=span.language
        )
        for span in styled.spans
    ]


def _reply(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    return ReplyParameters(message_id, allow_sending_without_reply=True)


def _markup(keyboard: Keyboard) -> InlineKeyboardMarkup | None:
    if not keyboard:
        return None
    return InlineKeyboardMarkup([[_button(key) for key in row] for row in keyboard])


def _button(key: Key) -> InlineKeyboardButton:
    match key:
        case Callback(label, sealed):
            return InlineKeyboardButton(label, callback_data=sealed)
        case Link(label, url):
            return InlineKeyboardButton(label, url=url)
        case Copy(label, text):
            return InlineKeyboardButton(label, copy_text=CopyTextButton(text))
        case _:
            assert_never(key)
