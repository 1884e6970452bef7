"""The simulated Bot API refuses what the real one refuses; the client is the real library."""

import io
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import segno
from telegram import (
    Bot,
    BotCommand,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    MessageEntity,
    ReplyParameters,
)
from telegram.error import BadRequest, Forbidden, TelegramError

from tests.simulator.bot_api import SimulatedBotApi
from tests.simulator.bot_api_people import TelegramPerson

Send = Callable[[Bot, int], Coroutine[Any, Any, object]]


def picture(text: str = "hello") -> bytes:
    png = io.BytesIO()
    segno.make(text).save(png, kind="png", scale=4)
    return png.getvalue()


def keyboard(*buttons: InlineKeyboardButton) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[button] for button in buttons])


def with_button(**kind: Any) -> Send:
    markup = keyboard(InlineKeyboardButton("x", **kind))
    return lambda bot, chat: bot.send_message(chat, "hi", reply_markup=markup)


def with_text(text: str, **more: Any) -> Send:
    return lambda bot, chat: bot.send_message(chat, text, **more)


def with_entity(text: str, offset: int, length: int) -> Send:
    entity = MessageEntity(MessageEntity.BOLD, offset, length)
    return with_text(text, entities=[entity])


@pytest.fixture
def anna(sim: SimulatedBotApi) -> TelegramPerson:
    person = sim.person("anna")
    person.write("hi")
    return person


ONE = [MessageEntity(MessageEntity.BOLD, 0, 1)]


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (with_text(" \n "), "empty"),
        (with_text("x" * 4097), "too.?long"),
        (with_text("😀" * 2049), "too.?long"),
        (with_text("<b>x", parse_mode="HTML"), "can't parse entities"),
        (with_text("<h1>x</h1>", parse_mode="HTML"), "unsupported start tag"),
        (with_text("a.b", parse_mode="MarkdownV2"), "'.' is reserved"),
        (with_text("*x", parse_mode="MarkdownV2"), "can't find end"),
        (with_text("snake_case", parse_mode="Markdown"), "can't find end"),
        (with_text("x", parse_mode="BBCode"), "unsupported parse_mode"),
        (with_entity("short", 3, 3), "out of the text"),
        (with_entity("a😀", 2, 1), "middle of a utf-16 symbol"),
        (with_text("x", entities=ONE * 101), "entities too long"),
        (with_text("x", reply_parameters=ReplyParameters(99)), "repl.* not found"),
        (with_button(callback_data="x" * 65), "button_data_invalid"),
        (with_button(url="lightning:lnbc1"), "unsupported url protocol"),
        (with_button(url="http://localhost/pay"), "button_url_invalid"),
        (with_button(copy_text=CopyTextButton("x" * 257)), "button_copy_text_invalid"),
        (with_button(), "text buttons are unallowed"),
        (with_button(url="https://a.example", callback_data="x"), "exactly one type"),
        (lambda bot, chat: bot.send_photo(chat, picture(), caption="x" * 1025), "caption is too"),
        (lambda bot, chat: bot.send_photo(chat, b"no picture"), "image_process_failed"),
        (lambda bot, chat: bot.send_photo(chat, b"\x89PNG" + bytes(10**7 + 10**6)), "too big"),
        (lambda bot, chat: bot.send_document(chat, "no-such-file-id"), "wrong remote file"),
        (lambda bot, _: bot.send_message(424242, "hi"), "chat not found"),
        (lambda bot, chat: bot.send_message_draft(chat, 0, "x"), "draft_id"),
        (lambda bot, chat: bot.edit_message_text("x", chat, 99), "message to edit not found"),
        (lambda bot, chat: bot.edit_message_text("x", chat, 101), "can't be edited"),
        (lambda bot, chat: bot.delete_message(chat, 99), "message to delete not found"),
        (lambda bot, _: bot.get_file("no-such-file-id"), "wrong file_id"),
        (lambda bot, _: bot.answer_callback_query("1"), "query"),
        (lambda bot, _: bot.answer_callback_query("1", text="x" * 201), "message_too_long"),
        (lambda bot, chat: bot.send_chat_action(chat, "juggling"), "wrong parameter action"),
    ],
)
async def test_what_is_wrong_is_refused(
    bot: Bot, anna: TelegramPerson, send: Send, words: str
) -> None:
    with pytest.raises(BadRequest, match=f"(?i){words}"):
        await send(bot, anna.chat_id)

    assert anna.sees() == []


async def test_a_text_may_have_4096_units(bot: Bot, anna: TelegramPerson) -> None:
    message = await bot.send_message(anna.chat_id, "😀" * 2048)

    assert message.text == "😀" * 2048


async def test_control_characters_and_margins_do_not_arrive(bot: Bot, anna: TelegramPerson) -> None:
    bold = MessageEntity(MessageEntity.BOLD, 2, 3)

    message = await bot.send_message(anna.chat_id, "  a\x00\u202eb  ", entities=[bold])

    assert message.text == "a b"
    assert message.entities[0].offset == 0


@pytest.mark.parametrize(
    ("leave", "words"),
    [
        (TelegramPerson.block, "bot was blocked by the user"),
        (TelegramPerson.deactivate, "user is deactivated"),
    ],
)
async def test_who_has_gone_is_not_reached(
    bot: Bot, anna: TelegramPerson, leave: Callable[[TelegramPerson], None], words: str
) -> None:
    card = await bot.send_message(anna.chat_id, "card")
    leave(anna)

    for send in (
        bot.send_message(anna.chat_id, "hi"),
        bot.send_photo(anna.chat_id, picture()),
        bot.edit_message_text("new", anna.chat_id, card.message_id),
        bot.send_message_draft(anna.chat_id, 1, "x"),
    ):
        with pytest.raises(Forbidden, match=words):
            await send


async def test_nobody_is_written_to_before_they_write(sim: SimulatedBotApi, bot: Bot) -> None:
    stranger = sim.person("bob")

    with pytest.raises(Forbidden, match="can't initiate conversation"):
        await bot.send_message(stranger.chat_id, "hi")


async def test_a_group_is_written_to_only_as_a_member(sim: SimulatedBotApi, bot: Bot) -> None:
    group = sim.group("Friends")
    with pytest.raises(Forbidden, match="kicked"):
        await bot.send_message(group.id, "hi")

    sim.person("anna").add_bot_to(group)
    await bot.send_message(group.id, "hi")
    with pytest.raises(BadRequest, match=r"(?i)peer_invalid"):
        await bot.send_message_draft(group.id, 1, "x")


async def test_a_reply_may_allow_that_its_message_is_gone(bot: Bot, anna: TelegramPerson) -> None:
    gone = ReplyParameters(99, allow_sending_without_reply=True)

    message = await bot.send_message(anna.chat_id, "hi", reply_parameters=gone)

    assert message.reply_to_message is None


async def test_photos_and_documents_arrive_byte_for_byte(bot: Bot, anna: TelegramPerson) -> None:
    await bot.send_photo(anna.chat_id, picture(), caption="card")
    await bot.send_document(anna.chat_id, b"long text", filename="result.md")

    photo, document = anna.sees()
    assert (photo.photo, photo.text) == (picture(), "card")
    assert document.document == ("result.md", b"long text")


async def test_a_photo_can_be_swapped_and_its_caption_edited(
    bot: Bot, anna: TelegramPerson
) -> None:
    card = await bot.send_photo(anna.chat_id, picture(), caption="pay")

    await bot.edit_message_media(
        InputMediaPhoto(picture("paid"), caption="paid"), anna.chat_id, card.message_id
    )
    await bot.edit_message_caption(anna.chat_id, card.message_id, caption="paid, thanks")

    _, media, caption = anna.sees()
    assert (media.kind, media.photo, media.text) == ("edited", picture("paid"), "paid")
    assert (caption.photo, caption.text) == (picture("paid"), "paid, thanks")


async def test_an_edit_that_changes_nothing_is_refused(bot: Bot, anna: TelegramPerson) -> None:
    markup = keyboard(InlineKeyboardButton("x", callback_data="1"))
    text = await bot.send_message(anna.chat_id, "card", reply_markup=markup)
    photo = await bot.send_photo(anna.chat_id, picture(), caption="card")

    for edit in (
        bot.edit_message_text("card", anna.chat_id, text.message_id, reply_markup=markup),
        bot.edit_message_reply_markup(anna.chat_id, text.message_id, reply_markup=markup),
        bot.edit_message_caption(anna.chat_id, photo.message_id, caption="card"),
    ):
        with pytest.raises(BadRequest, match="not modified"):
            await edit


async def test_text_and_photo_messages_stay_what_they_are(bot: Bot, anna: TelegramPerson) -> None:
    text = await bot.send_message(anna.chat_id, "text")
    photo = await bot.send_photo(anna.chat_id, picture())

    with pytest.raises(BadRequest, match="no text in the message to edit"):
        await bot.edit_message_text("x", anna.chat_id, photo.message_id)
    with pytest.raises(BadRequest, match="no caption in the message to edit"):
        await bot.edit_message_caption(anna.chat_id, text.message_id, caption="x")
    with pytest.raises(BadRequest, match="no media in the message to edit"):
        await bot.edit_message_media(InputMediaPhoto(picture()), anna.chat_id, text.message_id)


async def test_a_message_is_deleted_within_two_days(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    first, second = [await bot.send_message(anna.chat_id, "x") for _ in range(2)]
    await bot.delete_message(anna.chat_id, first.message_id)
    with pytest.raises(BadRequest, match="to edit not found"):
        await bot.edit_message_text("y", anna.chat_id, first.message_id)

    sim.chats.clock_offset_s += 48 * 3600 + 1

    with pytest.raises(BadRequest, match="can't be deleted"):
        await bot.delete_message(anna.chat_id, second.message_id)


async def test_a_press_is_answered_once_and_in_time(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    await bot.send_message(
        anna.chat_id, "x", reply_markup=keyboard(InlineKeyboardButton("OK", callback_data="1.ok"))
    )
    card = anna.sees()[-1].message
    assert card is not None
    first, second = [anna.press("OK", on=card) for _ in range(2)]

    await bot.answer_callback_query(first, text="done")
    sim.chats.clock_offset_s += 11

    assert anna.sees()[-1].text == "done"
    for query in (first, second):
        with pytest.raises(BadRequest, match=r"(?i)query"):
            await bot.answer_callback_query(query)


async def test_a_press_brings_its_data_and_its_message(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    markup = keyboard(
        InlineKeyboardButton("OK", callback_data="1.ok"),
        InlineKeyboardButton("Pay", url="https://shop.example/pay/1"),
    )
    sent = await bot.send_message(anna.chat_id, "x", reply_markup=markup)
    card = anna.sees()[-1].message
    assert card is not None

    sim.person("bob").press_data("1.ok", on=card)
    opened = anna.press("Pay", on=card)

    query = (await bot.get_updates(timeout=0))[-1].callback_query
    assert query is not None
    assert (query.data, query.from_user.first_name) == ("1.ok", "Bob")
    assert query.message is not None
    assert query.message.message_id == sent.message_id
    assert opened == "https://shop.example/pay/1"


async def test_an_old_server_knows_no_drafts(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    await bot.send_message_draft(anna.chat_id, 1, "so far")
    sim.methods.drafts = "refused"
    with pytest.raises(BadRequest):
        await bot.send_message_draft(anna.chat_id, 1, "so far so")

    sim.methods.drafts = "unknown"

    with pytest.raises(TelegramError, match="Not Found"):
        await bot.send_message_draft(anna.chat_id, 1, "so far so")
    assert [event.text for event in anna.sees()] == ["so far"]


async def test_files_are_fetched_by_a_secret_path_up_to_20_mb(
    bot: Bot, anna: TelegramPerson
) -> None:
    anna.send_file("a.txt", b"text")
    anna.send_file("b.txt", bytes(20 * 1024 * 1024 + 1))
    small, large = [
        update.message.document
        for update in await bot.get_updates(timeout=0)
        if update.message and update.message.document
    ]

    file = await bot.get_file(small.file_id)

    assert bytes(await file.download_as_bytearray()) == b"text"
    with pytest.raises(BadRequest, match=r"(?i)file is too big"):
        await bot.get_file(large.file_id)


async def test_what_a_bot_publishes_can_be_read(bot: Bot) -> None:
    await bot.set_my_commands([BotCommand("help", "Hilfe")], language_code="de")
    await bot.set_my_description("AI work for Lightning")
    with pytest.raises(BadRequest, match="too long"):
        await bot.set_my_short_description("x" * 121)

    assert (await bot.get_my_commands(language_code="de"))[0].description == "Hilfe"
    assert await bot.get_my_commands() == ()
    assert (await bot.get_my_description()).description == "AI work for Lightning"
    assert (await bot.get_webhook_info()).url == ""
