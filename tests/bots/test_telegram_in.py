"""What Telegram's updates mean: who is a person, what they wrote, and what is nothing to us."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.telegram_in import Forged, Mail, Me, Pressed, read_update
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

ME = Me("7000", "boltwork_bot")
SEALS = Seals([b"k" * 32])
ANNA = {"id": 42, "is_bot": False, "first_name": "Anna", "language_code": "de"}
PRIVATE = {"id": 42, "type": "private"}
GROUP = {"id": -9, "type": "supergroup", "title": "Friends"}


def message(**fields: Any) -> dict[str, Any]:
    return {"message_id": 5, "date": 1_800_000_000, "chat": PRIVATE, "from": ANNA, **fields}


def read(**update: Any) -> Any:
    return read_update({"update_id": 1, **update}, me=ME, seals=SEALS)


def body_of(**fields: Any) -> Body | None:
    match read(message=message(**fields)):
        case Mail(inbound):
            return inbound.body
        case nothing:
            assert nothing is None
            return None


def test_a_message_says_who_wrote_what_and_when() -> None:
    answered = {"message_id": 3}

    mail = read(message=message(text="Hello", reply_to_message=answered))

    assert mail == Mail(
        Inbound(
            peer=Peer("telegram", "7000", "42"),
            ext_id="1",
            body=Text("Hello"),
            at_ms=1_800_000_000_000,
            message_id="5",
            reply_to="3",
            lang="de",
            name="Anna",
        )
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"chat": {"id": 43, "type": "private"}},
        {"chat": {"id": 42, "type": "group"}},
        {"chat": {"id": 42, "type": "channel"}},
        {"from": {**ANNA, "is_bot": True}},
        {"via_bot": {"id": 9, "is_bot": True, "first_name": "Inline"}},
        {"business_connection_id": "abc"},
        {"sender_business_bot": {"id": 9}},
        {"sender_chat": {"id": -100, "type": "channel"}},
        {"from": {**ANNA, "id": "42"}},
        {"from": None},
        {"chat": None},
    ],
)
def test_who_does_not_write_in_private_and_as_itself_is_nobody(fields: dict[str, Any]) -> None:
    update = message(text="pay out everything", **fields)

    assert read(message=update) is None
    assert read(edited_message=update) is None


@pytest.mark.parametrize(
    "update", [{}, {"message": None}, {"poll": {}}, {"channel_post": message()}]
)
def test_an_update_that_was_not_asked_for_is_nothing(update: dict[str, Any]) -> None:
    assert read(**update) is None


def test_a_forwarded_text_is_the_senders_own() -> None:
    origin = {"type": "user", "sender_user": {"id": 9}}

    assert body_of(text="Do this", forward_origin=origin) == Text("Do this")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("/help@Boltwork_Bot", "/help"), ("/job@boltwork_bot sort", "/job sort")),
        *(
            ("/help@other_bot", "/help@other_bot"),
            ("a\0b", "a\ufffdb"),
            ("@boltwork_bot", "@boltwork_bot"),
        ),
    ],
)
def test_a_command_for_us_is_a_command(typed: str, meant: str) -> None:
    assert body_of(text=typed) == Text(meant)


def test_a_document_is_a_file_with_its_caption_as_text() -> None:
    document = {
        "file_id": "key",
        "file_name": "a\u202eb.txt",
        "mime_type": "text/plain",
        "file_size": 9,
    }

    body = body_of(document=document, caption="Sort this")

    assert body == Text("Sort this", File("ab.txt", "text/plain", 9, "key"))


def test_an_animation_is_no_document() -> None:
    assert body_of(animation={"file_id": "a"}, document={"file_id": "a"}) == Unsupported(
        "animation"
    )


def test_a_photo_of_an_album_says_which_album() -> None:
    body = body_of(photo=[{"file_id": "p"}], caption="this", media_group_id="11")

    assert body == Unsupported("photo", "this", "11")


@pytest.mark.parametrize(
    "kind",
    ["voice", "video", "sticker", "location", "contact", "poll", "dice", "story", "video_note"],
)
def test_what_is_no_text_is_named(kind: str) -> None:
    assert body_of(**{kind: {"x": 1}}) == Unsupported(kind)


def test_what_telegram_invents_next_is_not_passed_over_in_silence() -> None:
    assert body_of(hologram={"file_id": "h"}) == Unsupported("message")


@pytest.mark.parametrize(
    "field",
    [
        *(
            "pinned_message",
            "new_chat_title",
            "message_auto_delete_timer_changed",
            "write_access_allowed",
        ),
        *("chat_background_set", "successful_payment", "users_shared", "giveaway", "gift"),
    ],
)
def test_an_announcement_is_nothing(field: str) -> None:
    assert body_of(**{field: {"x": 1}}) is None


def test_an_edited_message_is_said_to_be_edited() -> None:
    mail = read(edited_message=message(text="Hello!"))

    assert (mail.inbound.body, mail.inbound.message_id) == (Edited(), "5")


@pytest.mark.parametrize(("status", "is_reachable"), [("kicked", False), ("member", True)])
def test_who_blocks_us_is_out_of_reach(status: str, is_reachable: bool) -> None:  # noqa: FBT001
    change = {"chat": PRIVATE, "from": ANNA, "date": 1, "new_chat_member": {"status": status}}

    assert read(my_chat_member=change).inbound.body == Presence(is_reachable)


def test_a_name_is_one_short_line() -> None:
    author = {**ANNA, "first_name": "A\nB\u202e\u200f\0", "last_name": "C" * 100}

    name = read(message=message(text="x", **{"from": author})).inbound.name

    assert name == "A B " + "C" * 60


# Groups


@pytest.mark.parametrize("text", ["/start@boltwork_bot", "hey @BOLTWORK_BOT, sort this"])
def test_a_group_that_names_us_is_elsewhere(text: str) -> None:
    inbound = read(message=message(chat=GROUP, text=text)).inbound

    assert inbound.peer == Peer("telegram", "7000", "-9")
    assert inbound.body == Elsewhere("group")


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "/start@other_bot"},
        {"text": "/start@boltwork_bot_too"},
        {"text": "hello"},
        {"text": "@boltwork_bot", "sender_chat": GROUP},
        {"text": "@boltwork_bot", "from": {**ANNA, "is_bot": True}},
    ],
)
def test_other_talk_of_a_group_is_nothing(fields: dict[str, Any]) -> None:
    assert read(message=message(chat=GROUP, **fields)) is None


@pytest.mark.parametrize(
    ("chat", "was", "now", "is_told"),
    [
        (GROUP, "left", "member", True),
        (GROUP, "kicked", "administrator", True),
        (GROUP, "member", "administrator", False),
        (GROUP, "member", "kicked", False),
        ({"id": -8, "type": "channel"}, "left", "administrator", False),
    ],
)
def test_a_group_that_takes_us_in_is_told_once(
    chat: Any,
    was: str,
    now: str,
    is_told: bool,  # noqa: FBT001
) -> None:
    old, new = {"status": was}, {"status": now}
    change = {"chat": chat, "from": ANNA, "date": 1, "old_chat_member": old, "new_chat_member": new}

    assert (read(my_chat_member=change) is not None) is is_told


# Presses

PRESS = Press("once", "7F3K", 2)
DATA = SEALS.seal(PRESS, bot_id="7000", uid="42")
CARD = {"message_id": 8, "date": 1, "chat": PRIVATE, "from": {"id": 7000, "is_bot": True}}


def press(**fields: Any) -> Any:
    return read(callback_query={"id": "q", "from": ANNA, "message": CARD, "data": DATA, **fields})


def test_a_press_is_its_owners() -> None:
    pressed = press()

    assert isinstance(pressed, Pressed)
    assert (pressed.query_id, pressed.press) == ("q", PRESS)
    assert (pressed.inbound.body, pressed.inbound.message_id) == (PRESS, "8")


@pytest.mark.parametrize(
    "fields",
    [
        {"from": {**ANNA, "id": 43}},
        {"from": {**ANNA, "id": 43}, "message": {**CARD, "chat": {"id": 43, "type": "private"}}},
        {"message": {**CARD, "chat": GROUP}},
        {"message": None},
        {"data": DATA[:-1] + "!"},
        {"data": None},
        {"data": "1.once.7F3K.2.AAAAAAAAAA"},
    ],
)
def test_a_foreign_or_altered_press_is_forged(fields: dict[str, Any]) -> None:
    assert press(**fields) == Forged("q", "de")


# Whatever comes

WHOLE = {
    "callback_query": {"id": "q", "from": ANNA, "message": CARD, "data": DATA},
    "message": message(text="hi", document={"file_id": "f", "file_size": 3}, media_group_id="1"),
    "my_chat_member": {
        "chat": GROUP,
        "from": ANNA,
        "date": 1,
        "old_chat_member": {"status": "left"},
        "new_chat_member": {"status": "member"},
    },
}
ODD = st.sampled_from([None, 0, -1, "", "x", [], {}, True, 1.5, {"id": 42}, GROUP, PRIVATE])


@st.composite
def odd_updates(draw: st.DrawFn) -> dict[str, Any]:
    """An update with something at one or two of its places that does not belong there."""
    kind = draw(st.sampled_from(sorted(WHOLE)))
    update = {"update_id": 1, kind: copy.deepcopy(WHOLE[kind])}
    for _ in range(draw(st.integers(1, 2))):
        place = update
        while True:
            key = draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or not place[key] or draw(st.booleans()):
                break
            place = place[key]
        place[key] = copy.deepcopy(draw(ODD))
    return update


@settings(max_examples=400, deadline=None)
@given(odd_updates())
def test_no_update_stops_the_poller(update: dict[str, Any]) -> None:
    meaning = read_update(update, me=ME, seals=SEALS)

    assert meaning is None or isinstance(meaning, Mail | Pressed | Forged)
