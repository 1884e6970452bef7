"""The mail of many people: nobody's trouble keeps another's mail from being read or sent."""

import asyncio

import pytest

from bots.readers import Readers
from core.books import outbox, people
from core.books.outbox import Queued
from core.books.requests import Request
from core.desk.mail_desk import TALK_MS
from core.values.mail import Inbound, Letter, Note, Peer, Text
from tests.bots.chat_bench import ANNA, BEN, REALM, Chat, opened_chat
from tests.conftest import NOW_MS
from tests.process.server import eventually

PATIENCE_S = 10.0


@pytest.fixture
async def chat(database):
    async with opened_chat(database) as opened:
        yield opened


async def come_in(chat: Chat, peer: Peer, texts: int) -> None:
    now_ms = chat.world.clock.now_ms()
    mail = [
        Inbound(peer=peer, ext_id=f"{peer.uid}:{number}", body=Text("/help"), at_ms=now_ms)
        for number in range(texts)
    ]
    await chat.world.core.desk.people.take([(item, "en") for item in mail])


def to(peer: Peer, text: str) -> Letter:
    return Letter(peer=peer, content=Note(text))


async def session_of(chat: Chat, peer: Peer) -> str:
    contact = await chat.world.store.read(people.contact, peer)
    assert contact is not None
    return contact.session_id


async def test_a_crowd_of_messages_from_somebody_who_is_being_read_hides_nobody(chat):
    mail = chat.world.core.desk.mail
    await come_in(chat, ANNA, 20)
    assert await mail.claim(10) == [await session_of(chat, ANNA)]

    chat.world.clock.advance(0.1)
    await come_in(chat, BEN, 1)

    assert await mail.claim(10) == [await session_of(chat, BEN)]


async def test_whoever_wrote_much_counts_as_one(chat):
    mail = chat.world.core.desk.mail
    await come_in(chat, ANNA, 20)
    chat.world.clock.advance(0.1)
    await come_in(chat, BEN, 1)

    claimed = await mail.claim(2)

    assert set(claimed) == {await session_of(chat, ANNA), await session_of(chat, BEN)}


async def test_what_comes_while_a_reader_leaves_is_read_at_once(chat):
    """A claim that overtakes the end of the reader before must not keep a person for the lease."""
    readers = Readers(chat.world.core.desk.mail, chat.conversation, chat.alarms)
    await come_in(chat, ANNA, 1)
    session_id = await session_of(chat, ANNA)
    gone = asyncio.Event()

    async def leave() -> None:
        """As a reader that has let go, and is not gone."""
        await gone.wait()

    readers._hands.start(session_id, leave())
    running = asyncio.create_task(readers.run())

    with chat.world.core.desk.mail.bulletin.listen(outbox.OUTBOX) as news:
        await eventually(lambda: _was_claimed(chat, session_id))
        gone.set()
        is_answered = await news.wait(PATIENCE_S)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert is_answered


async def _was_claimed(chat: Chat, session_id: str) -> bool:
    rows = await chat.world.store.read(_busy, session_id)
    return rows is not None


async def _busy(tx, session_id):
    return await tx.one(
        "SELECT 1 AS one FROM people WHERE session_id = :session_id AND busy_until_ms > 0",
        session_id=session_id,
    )


async def queued(chat: Chat) -> list[Queued]:
    return await chat.world.core.desk.mail.letters("telegram", REALM)


async def test_whoever_blocks_us_and_comes_back_for_ever_uses_up_no_numbers(chat):
    store = chat.world.store
    await store.write(outbox.post, to(ANNA, "kept"), NOW_MS)

    for _ in range(70):
        await store.write(outbox.park, ANNA)
        await store.write(outbox.unpark, to(ANNA, "back"), NOW_MS)
        (first,) = await queued(chat)
        await store.write(outbox.sent, first.number)

    (kept,) = await queued(chat)
    assert kept.letter.content == Note("kept")
    assert kept.number < 1_000


async def test_what_was_kept_is_said_in_its_order(chat):
    store = chat.world.store
    for text in ("one", "two", "three"):
        await store.write(outbox.post, to(ANNA, text), NOW_MS)
    await store.write(outbox.park, ANNA)
    await store.write(outbox.post, to(BEN, "other"), NOW_MS)

    await store.write(outbox.unpark, to(ANNA, "back"), NOW_MS)

    said = [letter.content.text for letter in await chat.letters() if letter.peer == ANNA]
    assert said == ["back", "one", "two", "three"]


async def test_all_that_is_old_is_forgotten_however_much_there_was(chat):
    await come_in(chat, ANNA, 250)
    await chat.read_all()
    await chat.letters()

    chat.world.clock.jump(2 * TALK_MS)
    await chat.world.core.desk.mail.tidy()

    assert await chat.world.store.read(_rows) == (0, 0)


async def _rows(tx) -> tuple[int, int]:
    inbox = await tx.one("SELECT COUNT(*) AS n FROM inbox")
    sent = await tx.one("SELECT COUNT(*) AS n FROM outbox")
    return inbox["n"], sent["n"]


async def test_a_request_that_was_dropped_is_forgotten_after_the_time_that_is_promised(chat):
    await chat.says(ANNA, "Sort these names: Bob, Alice")
    await chat.says(ANNA, "cancel")

    chat.world.clock.jump(2 * chat.world.core.desk.mail.retention_ms)
    await chat.world.core.desk.mail.tidy()

    assert [request.text for request in await history(chat)] == [""]


async def test_a_request_is_forgotten_with_its_job(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 100)
    await chat.says(ANNA, "/limit 90")
    await chat.hears(ANNA, "Sort these names: Bob, Alice")
    (request,) = await history(chat)
    await chat.world.becomes(request.job_id, "complete")

    chat.world.clock.jump(2 * chat.world.core.desk.mail.retention_ms)
    await chat.world.clock.pass_time(60)

    assert [request.text for request in await history(chat)] == [""]


async def history(chat: Chat) -> list[Request]:
    session_id = await session_of(chat, ANNA)
    return await chat.world.core.desk.people.history(session_id, skip=0, limit=9)
