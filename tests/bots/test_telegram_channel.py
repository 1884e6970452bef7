"""The adapter against a simulated Bot API, by the real library over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from bots.channel import (
    Bad,
    ChannelDown,
    Down,
    FileTooBig,
    Gone,
    Lost,
    Outcome,
    Sent,
    Shown,
    TryAgain,
    TryLater,
    Unknown,
)
from bots.stamp import paid_stamp
from bots.styled import Span, Styled
from bots.telegram import Webhook
from bots.telegram_channel import TelegramChannel
from bots.telegram_out import Delete, EditCaption, EditPhoto, EditText, SendText, Step, qr_png
from core.values.mail import (
    Bill,
    Button,
    Content,
    Copy,
    File,
    Letter,
    Link,
    Note,
    Peer,
    Presence,
    Press,
    Result,
    Text,
)
from tests.bots.telegram_bench import PROFILES, REALM, SEALS, Desk, channel_on, running
from tests.hand_clock import HandClock
from tests.simulator.bot_api import Fault, SimulatedBotApi
from tests.simulator.bot_api_people import TelegramPerson

INVOICE = "lnbc210n1" + "q" * 280
PRESS = Press("once", "7F3K", 2)
HELLO = SendText(content=Styled("Hello"))


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBotApi]:
    async with SimulatedBotApi() as simulated:
        yield simulated


@pytest.fixture
async def channel(sim: SimulatedBotApi) -> AsyncIterator[TelegramChannel]:
    adapter = channel_on(sim)
    await adapter.open()
    yield adapter
    await adapter.aclose()


@pytest.fixture
def anna(sim: SimulatedBotApi) -> TelegramPerson:
    person = sim.person("anna", lang="de")
    person.write("/start")
    return person


def peer_of(person: TelegramPerson) -> Peer:
    return Peer("telegram", REALM, str(person.chat_id))


async def say(
    channel: TelegramChannel, person: TelegramPerson, content: Content, shown: Shown | None = None
) -> list[Outcome]:
    """Send a letter as delivery does."""
    peer = peer_of(person)
    steps = channel.plan(Letter(peer=peer, content=content, slot="card"), shown)
    return [await channel.perform(peer, step) for step in steps]


def shown_by(outcomes: list[Outcome]) -> Shown:
    sent = [outcome for outcome in outcomes if isinstance(outcome, Sent) and outcome.ext_id]
    return Shown(tuple(str(one.ext_id) for one in sent), sent[-1].form, "")


# Opening


async def test_it_learns_who_it_is_and_publishes_its_menus(
    sim: SimulatedBotApi, channel: TelegramChannel
) -> None:
    assert (channel.realm, channel.address) == (REALM, "https://t.me/boltwork_test_bot")
    menus = [call.params for call in sim.calls_of("setMyCommands")]
    assert [menu.get("language_code") for menu in menus] == [None, "de"]
    assert all(json.loads(menu["scope"])["type"] == "all_private_chats" for menu in menus)
    assert PROFILES["de"].description in str(sim.calls_of("setMyDescription")[1].params)
    assert len(sim.calls_of("setMyShortDescription")) == 2


async def test_messages_that_came_while_it_was_away_are_kept(sim: SimulatedBotApi) -> None:
    sim.person("anna").write("hello")
    channel, desk = channel_on(sim), Desk()

    async with running(channel, desk):
        await desk.until(lambda: bool(desk.mail))
    await channel.aclose()

    assert desk.bodies == [Text("hello")]
    assert sim.findings == []


@pytest.mark.parametrize("code", [401, 404])
async def test_a_wrong_token_is_for_the_operator_and_is_not_repeated(
    sim: SimulatedBotApi, code: int
) -> None:
    sim.fail("getMe", Fault.of_code(code, "Not Found"))
    channel = channel_on(sim)

    with pytest.raises(ChannelDown) as caught:
        await channel.open()
    await channel.aclose()

    assert sim.token not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault.of_code(502), Fault("reset"), Fault.of_code(429)])
async def test_a_telegram_out_of_reach_is_asked_again(sim: SimulatedBotApi, fault: Fault) -> None:
    sim.fail("getMe", fault)
    channel = channel_on(sim)

    with pytest.raises(TryAgain):
        await channel.open()
    await channel.open()
    await channel.aclose()

    assert channel.realm == REALM


async def test_menus_that_are_refused_do_not_stop_the_bot(sim: SimulatedBotApi) -> None:
    sim.fail("setMyDescription", Fault.of_code(429, retry_after=600), times=None)
    channel = channel_on(sim)

    await channel.open()
    await channel.aclose()

    assert channel.realm == REALM


async def test_a_webhook_is_set_with_its_secret_and_all_that_we_want(sim: SimulatedBotApi) -> None:
    channel = channel_on(sim, webhook=Webhook("https://bot.example/hooks/telegram/x", "s3cret"))

    await channel.open()
    await channel.aclose()

    (call,) = sim.calls_of("setWebhook")
    assert call.params["secret_token"] == "s3cret"
    assert "my_chat_member" in call.params["allowed_updates"]
    assert "drop_pending_updates" not in call.params


# Taking in


@pytest.mark.usefixtures("anna")
async def test_an_update_is_acknowledged_only_after_it_was_stored(
    sim: SimulatedBotApi,
) -> None:
    clock = HandClock()
    channel, desk = channel_on(sim, clock=clock), Desk()
    desk.is_full = True

    async with running(channel, desk):
        await clock.rest(1)
        assert sim.chats.confirmed == 0
        desk.is_full = False
        clock.advance(60)
        await desk.until(lambda: bool(desk.mail))
        await sim.until(lambda: sim.is_polled)
    await channel.aclose()

    assert desk.bodies == [Text("/start")]
    assert sim.chats.confirmed > 0


@pytest.mark.usefixtures("anna")
async def test_a_poller_that_dies_after_storing_gets_the_same_again(
    sim: SimulatedBotApi,
) -> None:
    desk = Desk()
    for _ in range(2):
        channel = channel_on(sim)
        await channel.open()
        offset = await channel._poll(None, desk)
        await channel.aclose()

    assert offset is not None
    assert sim.chats.confirmed == 0
    assert desk.bodies == [Text("/start")]


async def test_every_poll_says_what_it_wants(sim: SimulatedBotApi, anna: TelegramPerson) -> None:
    channel, desk = channel_on(sim), Desk()

    async with running(channel, desk):
        await sim.until(lambda: sim.is_polled)
        anna.write("more")
        await desk.until(lambda: len(desk.mail) == 2)
    await channel.aclose()

    assert all("callback_query" in c.params["allowed_updates"] for c in sim.calls_of("getUpdates"))


@pytest.mark.parametrize(
    "fault",
    [Fault.of_code(500), Fault.of_code(502), Fault("reset"), Fault("drop"), Fault.of_code(429)],
)
@pytest.mark.usefixtures("anna")
async def test_polling_goes_on_after_trouble(sim: SimulatedBotApi, fault: Fault) -> None:
    clock = HandClock()
    channel, desk = channel_on(sim, clock=clock), Desk()
    sim.fail("getUpdates", fault)

    async with running(channel, desk):
        await clock.rest(1)
        clock.advance(60)
        await desk.until(lambda: bool(desk.mail))
    await channel.aclose()

    assert desk.bodies == [Text("/start")]


@pytest.mark.parametrize("code", [401, 409, 400])
async def test_a_rival_or_a_lost_token_ends_polling(sim: SimulatedBotApi, code: int) -> None:
    channel = channel_on(sim)
    sim.fail("getUpdates", Fault.of_code(code))
    await channel.open()

    with pytest.raises(ChannelDown):
        await channel.run(Desk())
    await channel.aclose()


@pytest.mark.usefixtures("anna")
async def test_a_webhooks_update_is_taken_like_a_polled_one(
    sim: SimulatedBotApi, channel: TelegramChannel
) -> None:
    desk = Desk()

    for update in sim.chats.pending():
        await channel.take_update(update, desk)

    assert desk.bodies == [Text("/start")]


async def test_the_presence_of_people_is_told(sim: SimulatedBotApi, anna: TelegramPerson) -> None:
    channel, desk = channel_on(sim), Desk()

    async with running(channel, desk):
        anna.block()
        anna.unblock()
        await desk.until(lambda: len(desk.mail) == 3)
    await channel.aclose()

    assert desk.bodies[1:] == [Presence(is_reachable=False), Presence(is_reachable=True)]


# Presses


async def pressed(
    sim: SimulatedBotApi, channel: TelegramChannel, query: str, desk: Desk
) -> str | None:
    """What the person sees who pressed."""
    for update in sim.chats.pending():
        await channel.take_update(update, desk)
    await sim.until(lambda: sim.chats.queries[query].is_answered)
    (call,) = sim.calls_of("answerCallbackQuery")
    return call.params.get("text")


async def test_a_press_is_answered_and_handed_on(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    desk = Desk()
    await say(channel, anna, Note("Choose.", ((Button("Once", "once", "7F3K", 2),),)))
    card = anna.sees()[-1].message
    assert card is not None

    said = await pressed(sim, channel, anna.press("Once", on=card), desk)

    assert said is None
    assert desk.bodies[-1] == PRESS


async def test_an_old_press_is_told_so_and_handed_on_for_its_card_to_be_drawn(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    desk = Desk()
    desk.stale.add(PRESS)
    await say(channel, anna, Note("Choose.", ((Button("Once", "once", "7F3K", 2),),)))
    card = anna.sees()[-1].message
    assert card is not None

    said = await pressed(sim, channel, anna.press("Once", on=card), desk)

    assert said == "sys.stale in de"
    assert desk.bodies[-1] == PRESS


async def test_a_foreign_press_has_no_effect(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    desk, bob = Desk(), sim.person("bob")
    message = bob.write("hi")

    sealed = SEALS.seal(PRESS, bot_id=REALM, uid=str(anna.chat_id))
    said = await pressed(sim, channel, bob.press_data(sealed, on=message), desk)

    assert said == "sys.not_yours in en"
    assert PRESS not in desk.bodies


async def test_a_press_is_answered_in_time_while_the_database_is_slow(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    desk = Desk()
    desk.is_slow = True
    message = anna.write("hi")

    async with asyncio.timeout(2):
        sealed = SEALS.seal(PRESS, bot_id=REALM, uid=str(anna.chat_id))
        said = await pressed(sim, channel, anna.press_data(sealed, on=message), desk)

    assert said is None
    assert desk.bodies[-1] == PRESS


async def test_a_press_that_cannot_be_answered_any_more_is_still_handed_on(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    desk, message = Desk(), anna.write("hi")
    sim.fail("answerCallbackQuery", Fault.of_code(400, "Bad Request: query is too old"))
    anna.press_data(SEALS.seal(PRESS, bot_id=REALM, uid=str(anna.chat_id)), on=message)

    for update in sim.chats.pending():
        await channel.take_update(update, desk)
    await sim.until(lambda: sim.calls_of("answerCallbackQuery"))

    assert desk.bodies[-1] == PRESS


# Saying something


async def test_a_card_goes_through_its_life(channel: TelegramChannel, anna: TelegramPerson) -> None:
    link = Link("Open wallet", "https://pay.example/pay/x")
    bill = Bill("Check: 21 sat\n{invoice}", INVOICE, None, ((link,), (Copy("Code", "7F3K"),)))
    shown = shown_by(await say(channel, anna, bill))

    changes = [
        *await say(channel, anna, Note("It ran out."), shown),
        *await say(channel, anna, bill, shown),
        *await say(channel, anna, Note("Paid 21 sat ✓", is_settled=True), shown),
        *await say(channel, anna, Note("Paid 21 sat ✓", is_settled=True), shown),
    ]

    assert shown.form == "photo"
    assert changes == [Sent()] * 4
    seen = anna.sees()
    assert seen[0].photo == qr_png(INVOICE)
    assert seen[0].text == f"Check: 21 sat\n{INVOICE}"
    assert [button["text"] for button in seen[0].buttons] == ["Open wallet", "Code"]
    assert (seen[1].text, seen[1].buttons) == ("It ran out.", ())
    assert (seen[3].text, seen[3].photo) == ("Paid 21 sat ✓", paid_stamp())


async def test_the_invoice_of_a_card_is_code(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    await say(channel, anna, Bill("😀 21 sat\n{invoice}", INVOICE, None))

    (call,) = sim.calls_of("sendPhoto")
    (entity,) = json.loads(call.params["caption_entities"])
    assert entity == {"type": "code", "offset": 10, "length": len(INVOICE)}


async def test_a_long_card_goes_through_its_life(
    channel: TelegramChannel, anna: TelegramPerson
) -> None:
    bill = Bill("Check: 21 sat\n{invoice}\n" + "more " * 200, INVOICE, None)
    shown = shown_by(await say(channel, anna, bill))

    changes = await say(channel, anna, Note("Paid", is_settled=True), shown)

    assert (shown.form, len(shown.ext_ids)) == ("photo+text", 2)
    assert changes == [Sent(), Sent()]
    assert [event.text for event in anna.sees()][2:] == ["", "Paid"]


async def test_a_text_that_becomes_a_card_is_replaced(
    channel: TelegramChannel, anna: TelegramPerson
) -> None:
    shown = shown_by(await say(channel, anna, Note("An invoice comes soon.")))

    await say(channel, anna, Bill("Check\n{invoice}", INVOICE, None), shown)

    assert [event.kind for event in anna.sees()] == ["sent", "sent", "deleted"]


async def test_a_long_result_is_a_beginning_and_a_file(
    channel: TelegramChannel, anna: TelegramPerson
) -> None:
    markdown = "Zażółć 😀 **gęślą** jaźń\n\n" * 900

    await say(channel, anna, Result(markdown, "7F3K-result.md", file_note="It is long."))

    beginning, file = anna.sees()
    assert beginning.text.startswith("Zażółć 😀 gęślą jaźń\n\nZażółć")
    assert file.document == ("7F3K-result.md", markdown.encode())
    assert file.text == "It is long."


async def test_a_reply_to_a_message_that_is_gone_is_still_said(
    channel: TelegramChannel, anna: TelegramPerson
) -> None:
    peer = peer_of(anna)

    (step,) = channel.plan(Letter(peer=peer, content=Note("Hi"), reply_to="999999"), None)

    assert isinstance(await channel.perform(peer, step), Sent)


async def test_no_call_asks_telegram_to_parse_or_to_preview(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    await say(channel, anna, Note("_a_ <b> https://a.example"))

    (call,) = sim.calls_of("sendMessage")
    assert "parse_mode" not in call.params
    assert json.loads(call.params["link_preview_options"]) == {"is_disabled": True}


# What failures mean

EDIT = EditText(message_id=999_999, content=Styled("x"))


@pytest.mark.parametrize(
    ("step", "fault", "outcome"),
    [
        (HELLO, Fault.of_code(429, retry_after=7), TryLater(7.0, "too many requests")),
        (HELLO, Fault("html", code=429), TryLater(None, "too many requests")),
        (HELLO, Fault.of_code(403), Gone("Forbidden: bot was blocked by the user")),
        (HELLO, Fault.of_code(400, "Bad Request: chat not found"), Gone("Chat not found")),
        (HELLO, Fault.of_code(400, "Bad Request: PEER_ID_INVALID"), Gone("Peer_id_invalid")),
        (HELLO, Fault.of_code(400, "Bad Request: nobody knows"), Bad("Nobody knows")),
        (
            HELLO,
            Fault.of_code(400, "Bad Request: reply message not found"),
            Bad("Reply message not found"),
        ),
        (HELLO, Fault.of_code(500), TryLater(None, "the server answered 500")),
        (HELLO, Fault.of_code(502), TryLater(None, "the server answered 502")),
        (HELLO, Fault("reset"), Unknown("ReadError")),
        (HELLO, Fault("drop"), Unknown("ReadError")),
        (EDIT, None, Lost()),
        (EDIT, Fault.of_code(400, "Bad Request: message can't be edited"), Lost()),
        (EDIT, Fault.of_code(400, "Bad Request: MESSAGE_ID_INVALID"), Lost()),
        (EDIT, Fault.of_code(400, "Bad Request: message is not modified"), Sent()),
        (EditCaption(message_id=999_999, caption=Styled("x")), None, Lost()),
        (EditPhoto(message_id=999_999, png=paid_stamp(), caption=Styled("x")), None, Lost()),
        (Delete(999_999), None, Sent()),
        (Delete(1), Fault.of_code(400, "Bad Request: message can't be deleted"), Sent()),
    ],
)
@pytest.mark.usefixtures("anna")
async def test_a_failure_is_what_it_means(
    sim: SimulatedBotApi,
    channel: TelegramChannel,
    step: Step,
    fault: Fault | None,
    outcome: Outcome,
) -> None:
    if fault is not None:
        sim.fail("*", fault)

    found = await channel.perform(peer_of(sim.person("anna")), step)

    if isinstance(outcome, Unknown):  # how the socket notices is the system's matter
        assert isinstance(found, Unknown)
    else:
        assert found == outcome


@pytest.mark.parametrize("code", [401, 404, 409])
async def test_a_refused_bot_is_down(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson, code: int
) -> None:
    sim.fail("sendMessage", Fault.of_code(code, "Not today"))

    outcome = await channel.perform(peer_of(anna), HELLO)

    assert isinstance(outcome, Down)
    assert sim.token not in outcome.reason


async def test_a_call_that_is_not_answered_in_time_may_have_had_its_effect(
    sim: SimulatedBotApi, anna: TelegramPerson
) -> None:
    channel = channel_on(sim, read_s=0.2)
    await channel.open()
    sim.fail("sendMessage", Fault("late", seconds=5))

    outcome = await channel.perform(peer_of(anna), HELLO)
    await channel.aclose()

    assert outcome == Unknown("ReadTimeout")
    assert [event.text for event in anna.sees()] == ["Hello"]


async def test_a_server_that_is_not_there_had_no_effect(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    await sim.go_down()

    assert await channel.perform(peer_of(anna), HELLO) == TryLater(None, "ConnectError")


async def test_formatting_that_is_refused_is_left_out_once(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    sim.fail("sendMessage", Fault.of_code(400))
    bold = SendText(content=Styled("Hello", (Span("bold", 0, 5),)))

    outcome = await channel.perform(peer_of(anna), bold)

    assert isinstance(outcome, Sent)
    first, second = sim.calls_of("sendMessage")
    assert [len(json.loads(call.params["entities"])) for call in (first, second)] == [1, 0]


async def test_a_link_that_is_refused_is_left_out_once(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    sim.fail("sendMessage", Fault.of_code(400, "Bad Request: BUTTON_URL_INVALID"), times=2)
    row = (Link("Open", "https://a.example"), Copy("Copy", "7F3K"))

    (refused,) = await say(channel, anna, Note("Hi", (row,)))
    (sent,) = await say(channel, anna, Note("Hi", (row,)))

    assert (refused, type(sent)) == (Bad("Button_url_invalid"), Sent)
    assert [button["text"] for button in anna.sees()[-1].buttons] == ["Open", "Copy"]
    assert '"Open"' not in sim.calls_of("sendMessage")[1].params["reply_markup"]


# Files and activity


@pytest.mark.parametrize("told", [0, 1000])
async def test_a_file_is_read_up_to_what_was_asked_for(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson, told: int
) -> None:
    anna.send_file("a.txt", b"x" * 1000)
    desk = Desk()
    for update in sim.chats.pending():
        await channel.take_update(update, desk)
    body = desk.bodies[-1]
    assert isinstance(body, Text)
    assert body.file is not None
    file = File("a.txt", "text/plain", told, body.file.key)

    assert await channel.fetch(file, 1000) == b"x" * 1000
    with pytest.raises(FileTooBig):
        await channel.fetch(file, 999)


async def test_a_file_that_telegram_finds_too_big_is_too_big(
    sim: SimulatedBotApi, channel: TelegramChannel
) -> None:
    sim.fail("getFile", Fault.of_code(400, "Bad Request: file is too big"))

    with pytest.raises(FileTooBig):
        await channel.fetch(File("a", "", 0, "key"), 1000)


async def test_a_file_that_cannot_be_had_now_is_tried_again(
    sim: SimulatedBotApi, channel: TelegramChannel
) -> None:
    sim.fail("getFile", Fault.of_code(500))

    with pytest.raises(TryAgain):
        await channel.fetch(File("a", "", 0, "key"), 1000)


async def test_typing_is_shown_and_may_fail(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: TelegramPerson
) -> None:
    sim.fail("sendChatAction", Fault.of_code(429))

    await channel.show_activity(peer_of(anna))
    await channel.show_activity(peer_of(anna))

    assert [call.status for call in sim.calls_of("sendChatAction")] == [429, 200]


async def test_no_log_line_holds_the_token(
    sim: SimulatedBotApi,
    channel: TelegramChannel,
    anna: TelegramPerson,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, "bots")
    caplog.set_level(logging.WARNING, "httpx")
    sim.fail("*", Fault.of_code(401), times=2)
    sim.fail("*", Fault.of_code(502), times=2)

    for _ in range(5):
        await channel.perform(peer_of(anna), HELLO)
        await channel.show_activity(peer_of(anna))

    assert sim.token not in caplog.text + "".join(capsys.readouterr())
