"""What the simulated Bot API keeps: people, chats, messages, files, updates, and one time line.

Pure state, without a socket. The rules of `getUpdates` are those of the Bot API's documentation:
an offset confirms everything below it for ever, and nobody's updates are kept longer than 24 h.
"""

import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.simulator.bot_api_rules import Formatted, Wordings, bad

BOT_ID: Final = 7_000_000_001
UPDATE_KEPT_S: Final = 24 * 3600
DELETABLE_S: Final = 48 * 3600
QUERY_S: Final = 10
DOWNLOAD_MAX: Final = 20 * 1024 * 1024
_NOT_BY_DEFAULT: Final = frozenset(("chat_member", "message_reaction", "message_reaction_count"))

EventKind = Literal["said", "sent", "edited", "toast", "draft", "action", "deleted", "pressed"]


@dataclass(eq=False, slots=True)
class User:
    """Somebody with a Telegram account."""

    id: int
    name: str
    lang: str = "en"
    has_started: bool = False
    has_blocked: bool = False
    is_deactivated: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "is_bot": False,
            "first_name": self.name.capitalize(),
            "username": f"{self.name}_{self.id}",
            "language_code": self.lang,
        }


@dataclass(eq=False, slots=True)
class Group:
    id: int
    title: str
    bot_status: str = "left"
    members: list[User] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Message:
    """A message as it stands now. `photo` and `document` are the bytes that are shown."""

    id: int
    chat_id: int
    sender: User | None  # None: the bot
    made_s: float
    content: Formatted = field(default_factory=lambda: Formatted(""))
    photo: bytes | None = None
    document: tuple[str, bytes] | None = None
    markup: Mapping[str, Any] | None = None
    reply_to: int | None = None
    is_deleted: bool = False
    edits: int = 0
    more: dict[str, Any] = field(default_factory=dict)  # members that a test adds: voice, ...

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def is_bots(self) -> bool:
        return self.sender is None

    @property
    def has_media(self) -> bool:
        return self.photo is not None or self.document is not None

    @property
    def buttons(self) -> list[Mapping[str, Any]]:
        rows = (self.markup or {}).get("inline_keyboard", ())
        return [button for row in rows for button in row]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that somebody in a chat sees, as it was seen then."""

    number: int
    at_s: float
    kind: EventKind
    chat_id: int
    message: Message | None
    text: str = ""
    photo: bytes | None = None
    document: tuple[str, bytes] | None = None
    buttons: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class Query:
    """A press that waits for its answer."""

    id: str
    chat_id: int
    user: User
    made_s: float
    is_answered: bool = False


class Chats:
    """The state; `tell` is called whenever there is news."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.clock_offset_s = 0.0
        self.bot_name = "Boltwork"
        self.bot_username = "boltwork_test_bot"
        self.users: dict[int, User] = {}
        self.groups: dict[int, Group] = {}
        self.messages: dict[tuple[int, int], Message] = {}
        self.queries: dict[str, Query] = {}
        self.files: dict[str, tuple[str, bytes]] = {}  # by file_id: path and content
        self.events: list[Event] = []
        self.profile: dict[str, Any] = {}  # what the bot has published, by method and language
        self.webhook: dict[str, Any] = {}
        self.findings: list[str] = []
        self.confirmed = 0  # everything below was confirmed
        self.wordings = Wordings()
        self._tell = tell
        self._updates: deque[tuple[float, dict[str, Any]]] = deque()
        self.latest: deque[dict[str, Any]] = deque(maxlen=100)  # whether confirmed or not
        self._allowed: frozenset[str] | None = None
        self._next_update = itertools.count(secrets.randbelow(10**8) + 1)
        self._next_message = itertools.count(101)

    def now_s(self) -> float:
        return time.time() + self.clock_offset_s

    # Updates

    def add_update(self, kind: str, body: Mapping[str, Any]) -> int | None:
        """A new update, unless the bot has said that it wants none of this kind; its id."""
        if not self._wants(kind):
            return None
        update_id = next(self._next_update)
        self.latest.append({"update_id": update_id, kind: body})
        self._updates.append((self.now_s(), self.latest[-1]))
        self._tell()
        return update_id

    def skip_update_ids(self, count: int) -> None:
        """Leave a gap, as there is after updates that the bot did not want."""
        for _ in range(count):
            next(self._next_update)

    def repeat_updates(self, updates: Iterable[dict[str, Any]]) -> None:
        """Deliver these once more, with their old ids: what a lost confirmation looks like."""
        self.confirmed = 0
        self._updates.extendleft((self.now_s(), update) for update in reversed(list(updates)))
        self._tell()

    def reverse_updates(self) -> None:
        """Deliver what waits now in the wrong order."""
        self._updates.reverse()
        self._tell()

    def remember_allowed(self, kinds: Iterable[str] | None) -> None:
        """Telegram keeps the last list that it was given; an empty one is the default."""
        if kinds is not None:
            self._allowed = frozenset(kinds) or None

    def _wants(self, kind: str) -> bool:
        return kind not in _NOT_BY_DEFAULT if self._allowed is None else kind in self._allowed

    def confirm(self, offset: int) -> None:
        """Forget everything below the offset; a negative one keeps the last so many."""
        if offset < 0:
            while len(self._updates) > -offset:
                self._updates.popleft()
        while offset > 0 and any(update["update_id"] < offset for _, update in self._updates):
            self._updates = deque(
                (at_s, update) for at_s, update in self._updates if update["update_id"] >= offset
            )
        self.confirmed = max(self.confirmed, offset)
        self._tell()

    def pending(self, limit: int = 100) -> list[dict[str, Any]]:
        """The updates that wait, oldest first."""
        too_old_s = self.now_s() - UPDATE_KEPT_S
        while self._updates and self._updates[0][0] < too_old_s:
            self._updates.popleft()
        return [update for _, update in itertools.islice(self._updates, limit)]

    def drop_pending(self) -> None:
        if self._updates:
            self.findings.append(f"the bot threw {len(self._updates)} updates away")
        self._updates.clear()

    # Messages

    def keep(self, chat_id: int, sender: User | None, **content: Any) -> Message:
        """A new message in a chat; the bot's drafts vanish with one of its own."""
        message = Message(next(self._next_message), chat_id, sender, self.now_s(), **content)
        self.messages[chat_id, message.id] = message
        self.note("said" if sender else "sent", chat_id, message)
        return message

    def note(self, kind: EventKind, chat_id: int, message: Message | None, text: str = "") -> None:
        """Write into the time line what is seen now."""
        seen = message or Message(0, chat_id, None, 0)
        self.events.append(
            Event(
                number=len(self.events),
                at_s=self.now_s(),
                kind=kind,
                chat_id=chat_id,
                message=message,
                text=text or seen.text,
                photo=seen.photo,
                document=seen.document,
                buttons=tuple(seen.buttons),
            )
        )
        self._tell()

    def message(self, chat_id: int, message_id: int, *, missing: str) -> Message:
        """A message that is there. Raises Refused with `missing`."""
        found = self.messages.get((chat_id, message_id))
        if found is None or found.is_deleted:
            raise bad(missing)
        return found

    def keep_file(self, name: str, content: bytes) -> dict[str, Any]:
        """A file on Telegram's side; where it lies is a secret."""
        file_id = f"BQAC{secrets.token_urlsafe(24)}"
        self.files[file_id] = (f"documents/{secrets.token_hex(16)}/{name}", content)
        unique = secrets.token_urlsafe(8)
        return {"file_id": file_id, "file_unique_id": unique, "file_size": len(content)}

    # As JSON

    def bot(self) -> dict[str, Any]:
        return {
            "id": BOT_ID,
            "is_bot": True,
            "first_name": self.bot_name,
            "username": self.bot_username,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    def chat_as_json(self, chat_id: int) -> dict[str, Any]:
        if chat_id in self.groups:
            return {"id": chat_id, "type": "supergroup", "title": self.groups[chat_id].title}
        user = self.users[chat_id].as_json()
        return {
            "id": chat_id,
            "type": "private",
            "first_name": user["first_name"],
            "username": user["username"],
        }

    def as_json(self, message: Message) -> dict[str, Any]:
        """A message as Telegram shows it to the bot."""
        answer: dict[str, Any] = {
            "message_id": message.id,
            "from": message.sender.as_json() if message.sender else self.bot(),
            "chat": self.chat_as_json(message.chat_id),
            "date": int(message.made_s),
            **message.more,
        }
        prefix = ""
        if message.photo is not None:
            prefix = "caption_"
            kept = self.keep_file("photo.png", message.photo)
            answer["photo"] = [kept | {"width": 320, "height": 320}]
        elif message.document is not None:
            prefix = "caption_"
            kept = self.keep_file(*message.document)
            answer["document"] = kept | {"file_name": message.document[0]}
        elif message.more.keys() & {"voice", "video", "document", "photo", "sticker"}:
            prefix = "caption_"
        if message.text:
            answer["caption" if prefix else "text"] = message.text
        if message.content.entities:
            answer[f"{prefix}entities"] = list(message.content.entities)
        if message.markup and "inline_keyboard" in message.markup:
            answer["reply_markup"] = message.markup
        if message.edits:
            answer["edit_date"] = int(self.now_s())
        replied = self.messages.get((message.chat_id, message.reply_to or 0))
        if replied is not None and not replied.is_deleted:
            answer["reply_to_message"] = self.as_json(replied)
        return answer
