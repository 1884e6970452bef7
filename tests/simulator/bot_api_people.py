"""People with a Telegram app, as methods: what they do, and what the bot hears of it.

anna = sim.person("anna", lang="de")
anna.write("Translate this.")
anna.press("Cancel", on=message)
"""

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.simulator.bot_api_chats import BOT_ID, Chats, Event, Group, Message, Query, User
from tests.simulator.bot_api_rules import Formatted, units

GROUP_ANONYMOUS_BOT: Final = 1_087_968_824
_SERVICE: Final = {"id": GROUP_ANONYMOUS_BOT, "is_bot": True, "first_name": "Group"}


class NoSuchButton(Exception):
    """The message has no button of that name."""


@dataclass(frozen=True, slots=True)
class TelegramPerson:
    """One person; `chat_id` is the private chat with the bot."""

    chats: Chats
    user: User

    @property
    def chat_id(self) -> int:
        return self.user.id

    def write(self, text: str, *, reply_to: Message | None = None, **more: Any) -> Message:
        """Write to the bot in private; the first word to it is its start."""
        replied = reply_to.id if reply_to else None
        return self._say(Formatted(text, _commands_in(text)), reply_to=replied, more=more)

    def forward(self, text: str) -> Message:
        """Pass on what somebody else has written."""
        origin = {
            "type": "hidden_user",
            "sender_user_name": "Somebody",
            "date": int(self.chats.now_s()),
        }
        return self._say(Formatted(text, _commands_in(text)), more={"forward_origin": origin})

    def edit(self, message: Message, text: str) -> None:
        """Change what was written."""
        message.content = Formatted(text, _commands_in(text))
        message.edits += 1
        self.chats.add_update("edited_message", self.chats.as_json(message))

    def send_photo(self, *, caption: str = "", group: str | None = None) -> Message:
        photo = self.chats.keep_file("photo.jpg", b"\xff\xd8\xff" + secrets.token_bytes(64))
        more: dict[str, Any] = {"photo": [photo | {"width": 640, "height": 480}]}
        if group is not None:
            more["media_group_id"] = group
        return self._say(Formatted(caption), more=more)

    def send_album(self, count: int, *, caption: str = "") -> list[Message]:
        """Photos in one go; Telegram sends them one by one, with one name for all."""
        group = str(secrets.randbelow(10**15))
        return [self.send_photo(caption="" if n else caption, group=group) for n in range(count)]

    def send_file(
        self, name: str, content: bytes, *, mime: str = "text/plain", caption: str = ""
    ) -> Message:
        document = self.chats.keep_file(name, content)
        more = {"document": document | {"file_name": name, "mime_type": mime}}
        return self._say(Formatted(caption), more=more)

    def send(self, kind: str, *, caption: str = "") -> Message:
        """Something that is no text: voice, video, sticker, location, contact, poll, dice."""
        return self._say(Formatted(caption), more={kind: _body_of(kind, self.chats)})

    def press(self, label: str, *, on: Message) -> str:
        """Press a button; an url or a copied text is returned, as nobody but the app hears of it.

        Raises NoSuchButton.
        """
        button = next((one for one in on.buttons if label in one["text"]), None)
        if button is None:
            raise NoSuchButton(f'no "{label}" among {[one["text"] for one in on.buttons]}')
        if "url" in button:
            return str(button["url"])
        if "copy_text" in button:
            return str(button["copy_text"]["text"])
        return self.press_data(button["callback_data"], on=on)

    def press_data(self, data: str, *, on: Message) -> str:
        """Send this callback data, whoever the message was made for; return the id of the query."""
        query = Query(str(secrets.randbelow(10**18)), self.chat_id, self.user, self.chats.now_s())
        self.chats.queries[query.id] = query
        self.chats.note("pressed", self.chat_id, None, data)
        body = {
            "id": query.id,
            "from": self.user.as_json(),
            "message": self.chats.as_json(on),
            "chat_instance": str(-self.user.id),
            "data": data,
        }
        self.chats.add_update("callback_query", body)
        return query.id

    def block(self) -> None:
        self.user.has_blocked = True
        self._change_membership("member", "kicked")

    def unblock(self) -> None:
        self.user.has_blocked = False
        self._change_membership("kicked", "member")

    def deactivate(self) -> None:
        """Leave Telegram for good, of which no bot is told."""
        self.user.is_deactivated = True

    def add_bot_to(self, group: Group) -> None:
        group.bot_status = "member"
        _change(self.chats, group.id, self.user, "left", "member")

    def write_in(self, group: Group, text: str, *, is_anonymous: bool = False) -> Message:
        """Write where others read along."""
        more: dict[str, Any] = {}
        if is_anonymous:
            more = {"sender_chat": self.chats.chat_as_json(group.id), "from": _SERVICE}
        return self._say(Formatted(text, _commands_in(text)), more=more, chat_id=group.id)

    def sees(self, after: int = -1) -> Sequence[Event]:
        """What happened in the private chat after an event's number."""
        return [
            event
            for event in self.chats.events[after + 1 :]
            if event.chat_id == self.chat_id and event.kind not in ("said", "pressed")
        ]

    def _say(
        self,
        content: Formatted,
        *,
        reply_to: int | None = None,
        more: dict[str, Any] | None = None,
        chat_id: int | None = None,
    ) -> Message:
        if chat_id is None:
            self.user.has_started = True
            if self.user.has_blocked:
                self.unblock()
        message = self.chats.keep(
            chat_id or self.chat_id, self.user, content=content, reply_to=reply_to, more=more or {}
        )
        self.chats.add_update("message", self.chats.as_json(message))
        return message

    def _change_membership(self, before: str, now: str) -> None:
        _change(self.chats, self.chat_id, self.user, before, now)


def _change(chats: Chats, chat_id: int, user: User, before: str, now: str) -> None:
    bot = chats.bot()
    body = {
        "chat": chats.chat_as_json(chat_id),
        "from": user.as_json(),
        "date": int(chats.now_s()),
        "old_chat_member": _member(bot, before),
        "new_chat_member": _member(bot, now),
    }
    assert bot["id"] == BOT_ID
    chats.add_update("my_chat_member", body)


def _member(bot: dict[str, Any], status: str) -> dict[str, Any]:
    until = {"until_date": 0} if status == "kicked" else {}
    return {"user": bot, "status": status, **until}


def _commands_in(text: str) -> tuple[dict[str, Any], ...]:
    """Telegram marks commands itself."""
    if not text.startswith("/") or len(text) == 1:
        return ()
    return ({"type": "bot_command", "offset": 0, "length": units(text.split(maxsplit=1)[0])},)


def _body_of(kind: str, chats: Chats) -> Any:
    file = chats.keep_file(f"{kind}.bin", secrets.token_bytes(32))
    bodies: dict[str, Any] = {
        "voice": file | {"duration": 3},
        "audio": file | {"duration": 3},
        "video": file | {"duration": 3, "width": 320, "height": 240},
        "video_note": file | {"duration": 3, "length": 240},
        "sticker": file
        | {
            "type": "regular",
            "width": 512,
            "height": 512,
            "is_animated": False,
            "is_video": False,
        },
        "location": {"longitude": 21.0, "latitude": 52.2},
        "contact": {"phone_number": "+1 555 0100", "first_name": "Zoe"},
        "dice": {"emoji": "🎲", "value": 4},
        "poll": {
            "id": "1",
            "question": "?",
            "options": [],
            "total_voter_count": 0,
            "is_closed": False,
            "is_anonymous": True,
            "type": "regular",
            "allows_multiple_answers": False,
            "allows_revoting": False,
            "members_only": False,
        },
        "story": {"id": 1, "chat": {"id": 1, "type": "private"}},
    }
    return bodies[kind]


class Crowd:
    """Everybody there is."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats
        self._ids = itertools.count(1001)
        self._by_name: dict[str, TelegramPerson] = {}

    def person(self, name: str, *, lang: str = "en") -> TelegramPerson:
        """The person of this name, who is made where there is none."""
        if name not in self._by_name:
            user = User(next(self._ids), name, lang)
            self._chats.users[user.id] = user
            self._by_name[name] = TelegramPerson(self._chats, user)
        return self._by_name[name]

    def group(self, title: str) -> Group:
        group = Group(-1_000_000_000_000 - next(self._ids), title)
        self._chats.groups[group.id] = group
        return group
