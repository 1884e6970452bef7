"""The simulated Bot API carries updates as the real one does; the client is the real library."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from telegram import Bot, Update
from telegram.error import BadRequest, Conflict, EndPointNotFound, InvalidToken

from tests.simulator.bot_api import SimulatedBotApi
from tests.simulator.conftest import bot_of

LOOK = 0  # a poll that does not wait


def texts(updates: tuple[Update, ...]) -> list[str | None]:
    return [update.message.text for update in updates if update.message]


async def test_the_bot_learns_who_it_is(bot: Bot) -> None:
    me = await bot.get_me()

    assert (me.is_bot, me.username) == (True, "boltwork_test_bot")


async def test_a_wrong_token_is_refused(sim: SimulatedBotApi) -> None:
    stranger = bot_of(sim, "1:wrong")

    with pytest.raises(InvalidToken):
        await stranger.initialize()
    await stranger.shutdown()


async def test_parameters_come_as_query_form_or_json(sim: SimulatedBotApi) -> None:
    anna = sim.person("anna")
    anna.write("hi")
    address = f"{sim.url}/bot{sim.token}/SendMessage"
    fields = {"chat_id": str(anna.chat_id), "text": "hello"}

    async with aiohttp.ClientSession() as session:
        answers = [
            await session.get(address, params=fields),
            await session.post(address, data=fields),
            await session.post(address, json={**fields, "chat_id": anna.chat_id}),
        ]

    assert [answer.status for answer in answers] == [200] * 3
    assert [event.text for event in anna.sees()] == ["hello"] * 3


async def test_an_unknown_method_is_not_found(sim: SimulatedBotApi, bot: Bot) -> None:
    with pytest.raises(EndPointNotFound):
        await bot.do_api_request("sendRichMessage", {"chat_id": 1})

    assert sim.calls_of("sendRichMessage")[0].status == 404


async def test_a_poll_waits_for_a_message(sim: SimulatedBotApi, bot: Bot) -> None:
    waiting = asyncio.create_task(bot.get_updates(timeout=5))
    await sim.until(lambda: sim.is_polled)

    sim.person("anna").write("hello")

    assert texts(await waiting) == ["hello"]


async def test_unconfirmed_updates_come_again(sim: SimulatedBotApi, bot: Bot) -> None:
    sim.person("anna").write("hello")

    first, second = [await bot.get_updates(timeout=LOOK) for _ in range(2)]

    assert first == second
    assert len(first) == 1


async def test_an_offset_confirms_all_below_it_for_ever(sim: SimulatedBotApi, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        sim.person("anna").write(text)
    one, two, _ = await bot.get_updates(timeout=LOOK)

    left = await bot.get_updates(offset=two.update_id + 1, timeout=LOOK)
    again = await bot.get_updates(offset=one.update_id, timeout=LOOK)

    assert texts(left) == texts(again) == ["three"]


async def test_a_negative_offset_keeps_the_last(sim: SimulatedBotApi, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        sim.person("anna").write(text)

    assert texts(await bot.get_updates(offset=-1, timeout=LOOK)) == ["three"]


async def test_a_limit_holds(sim: SimulatedBotApi, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        sim.person("anna").write(text)

    assert texts(await bot.get_updates(limit=2, timeout=LOOK)) == ["one", "two"]


async def test_the_wanted_kinds_are_remembered(sim: SimulatedBotApi, bot: Bot) -> None:
    anna = sim.person("anna")
    await bot.get_updates(allowed_updates=["message"], timeout=LOOK)

    said = anna.write("one")
    anna.edit(said, "two")
    anna.block()

    assert texts(await bot.get_updates(timeout=LOOK)) == ["one"]


async def test_updates_are_kept_for_a_day(sim: SimulatedBotApi, bot: Bot) -> None:
    sim.person("anna").write("hello")
    sim.chats.clock_offset_s += 24 * 3600 + 1

    assert await bot.get_updates(timeout=LOOK) == ()


async def test_a_second_poller_ends_the_first(sim: SimulatedBotApi, bot: Bot) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=5))
    await sim.until(lambda: sim.is_polled)

    async with bot_of(sim) as rival:
        second = asyncio.create_task(rival.get_updates(timeout=5))
        with pytest.raises(Conflict, match="terminated by other"):
            await first
        sim.person("anna").write("hello")
        assert texts(await second) == ["hello"]


async def test_nobody_polls_while_there_is_a_webhook(bot: Bot) -> None:
    await bot.set_webhook("https://shop.example.org/hook")

    with pytest.raises(Conflict, match="webhook"):
        await bot.get_updates(timeout=LOOK)
    await bot.delete_webhook()

    assert await bot.get_updates(timeout=LOOK) == ()


async def test_a_webhook_gets_its_secret_and_what_it_refused_again(
    sim: SimulatedBotApi, bot: Bot
) -> None:
    seen: list[tuple[str, str]] = []
    taken = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        update = await request.json()
        secret = request.headers["X-Telegram-Bot-Api-Secret-Token"]
        seen.append((secret, update["message"]["text"]))
        if len(seen) < 3:
            return web.Response(status=500)
        taken.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    sim.person("anna").write("hello")

    await bot.set_webhook(address, secret_token="s3cret")
    async with asyncio.timeout(5):
        await taken.wait()
    await sim.until(lambda: not sim.chats.pending())

    assert seen == [("s3cret", "hello")] * 3
    await runner.cleanup()


async def test_a_webhook_needs_tls(bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)https url must be provided"):
        await bot.set_webhook("http://shop.example.org/hook")


async def test_throwing_updates_away_is_held_against_the_bot(
    sim: SimulatedBotApi, bot: Bot
) -> None:
    sim.person("anna").write("hello")

    await bot.delete_webhook(drop_pending_updates=True)

    assert sim.findings == ["the bot threw 1 updates away"]
    assert await bot.get_updates(timeout=LOOK) == ()


async def test_updates_have_gaps_repetitions_and_a_wrong_order(
    sim: SimulatedBotApi, bot: Bot
) -> None:
    anna = sim.person("anna")
    anna.write("one")
    sim.chats.skip_update_ids(5)
    anna.write("two")
    first, second = sim.chats.pending()
    await bot.get_updates(offset=second["update_id"] + 1, timeout=LOOK)

    sim.chats.repeat_updates([first, second])
    sim.chats.reverse_updates()

    assert second["update_id"] - first["update_id"] == 6
    assert texts(await bot.get_updates(timeout=LOOK)) == ["two", "one"]


async def test_the_library_reads_whatever_a_person_can_send(sim: SimulatedBotApi, bot: Bot) -> None:
    anna = sim.person("anna", lang="de")
    kinds = [
        "voice",
        "audio",
        "video",
        "video_note",
        "sticker",
        "location",
        "contact",
        "dice",
        "poll",
        "story",
    ]
    for kind in kinds:
        anna.send(kind)
    anna.send_album(2, caption="look")
    anna.send_file("a.txt", b"text", caption="sum up")
    anna.forward("what a stranger wrote")
    anna.edit(anna.write("typo"), "text")
    anna.block()
    anna.unblock()
    group = sim.group("Friends")
    anna.add_bot_to(group)
    anna.write_in(group, "/help@boltwork_test_bot", is_anonymous=True)

    updates = await bot.get_updates(timeout=LOOK)
    messages = [update.message for update in updates if update.message]
    albums = {message.media_group_id for message in messages if message.photo}

    assert [kind for kind, message in zip(kinds, messages, strict=False) if message[kind]] == kinds
    assert len(albums) == 1
    assert [message.caption for message in messages if message.document] == ["sum up"]
    assert [bool(message.forward_origin) for message in messages].count(True) == 1
    assert messages[0].from_user is not None
    assert messages[0].from_user.language_code == "de"
    assert [update.edited_message.text for update in updates if update.edited_message] == ["text"]
    statuses = [
        (update.my_chat_member.chat.type, update.my_chat_member.new_chat_member.status)
        for update in updates
        if update.my_chat_member
    ]
    assert statuses == [("private", "kicked"), ("private", "member"), ("supergroup", "member")]
    assert messages[-1].sender_chat is not None


async def test_a_hand_moves_people_over_http(sim: SimulatedBotApi, bot: Bot) -> None:
    async with aiohttp.ClientSession(f"{sim.url}/") as session:
        await session.post("sim/write", json={"person": "anna", "text": "hello", "lang": "de"})
        await session.post("sim/voice", json={"person": "anna"})
        await bot.send_message(sim.person("anna").chat_id, "hi")
        events = await (await session.get("sim/events")).json()
        calls = await (await session.get("sim/calls")).text()

    assert [(event["kind"], event["text"]) for event in events] == [
        ("said", "hello"),
        ("said", ""),
        ("sent", "hi"),
    ]
    assert "sendMessage" in [call["method"] for call in json.loads(calls)]
