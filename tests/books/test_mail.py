"""The books of the mail: what came in, what is to be said, and who is whom."""

import pytest

from core.books import inbox, outbox, people, posts, talks
from core.books.inbox import Event
from core.books.talks import Prompt, Turn
from core.values.mail import Inbound, Letter, Note, Peer, Text

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW_MS = 1_800_000_000_000
COUNTER = iter(range(1_000_000))


def somebody() -> Peer:
    return Peer("telegram", "bot", str(next(COUNTER)))


def wrote(peer: Peer, text: str = "Hi", *, ext_id: str | None = None) -> Inbound:
    return Inbound(peer=peer, ext_id=ext_id or f"id {next(COUNTER)}", body=Text(text), at_ms=NOW_MS)


async def take(store, inbound: Inbound) -> bool:
    return await store.write(inbox.take, inbound, "de", NOW_MS)


async def session_of(store, peer: Peer) -> str:
    contact = await store.read(people.contact, peer)
    return contact.session_id


async def next_mail(store, session_id: str, now_ms: int = NOW_MS):
    return await store.read(inbox.next_mail, session_id, now_ms)


async def test_a_new_peer_gets_a_session_and_its_language(shared_store) -> None:
    anna = somebody()

    await take(shared_store, wrote(anna))

    session_id = await session_of(shared_store, anna)
    person = await shared_store.read(people.person, session_id)
    assert (person.lang, person.limit_sats, person.is_chatting) == ("de", 0, False)


async def test_what_comes_twice_is_taken_once(shared_store) -> None:
    anna = somebody()
    inbound = wrote(anna, ext_id=f"twice {anna.uid}")

    taken = [await take(shared_store, inbound) for _ in range(3)]

    assert taken == [True, False, False]


async def test_mail_is_read_in_the_order_in_which_it_came(shared_store) -> None:
    anna = somebody()
    for text in ("one", "two", "three"):
        await take(shared_store, wrote(anna, text))
    session_id = await session_of(shared_store, anna)

    read = []
    while (mail := await next_mail(shared_store, session_id)) is not None:
        read.append(mail.item.body.text)
        assert await shared_store.write(inbox.done, mail)

    assert read == ["one", "two", "three"]


async def test_mail_is_closed_once(shared_store) -> None:
    anna = somebody()
    await take(shared_store, wrote(anna))
    mail = await next_mail(shared_store, await session_of(shared_store, anna))

    assert await shared_store.write(inbox.done, mail)
    assert not await shared_store.write(inbox.done, mail)


async def test_mail_that_fails_three_times_is_given_up(shared_store) -> None:
    anna = somebody()
    await take(shared_store, wrote(anna))
    mail = await next_mail(shared_store, await session_of(shared_store, anna))

    lives = [await shared_store.write(inbox.failed, mail, again_at_ms=NOW_MS) for _ in range(4)]

    assert lives == [True, True, False, False]
    assert await next_mail(shared_store, mail.session_id) is None


async def test_mail_that_waits_holds_back_what_came_after_it(shared_store) -> None:
    anna = somebody()
    for text in ("one", "two"):
        await take(shared_store, wrote(anna, text))
    session_id = await session_of(shared_store, anna)
    mail = await next_mail(shared_store, session_id)

    await shared_store.write(inbox.wait, mail, until_ms=NOW_MS + 2_000)

    assert await next_mail(shared_store, session_id) is None
    later = await next_mail(shared_store, session_id, NOW_MS + 2_000)
    assert later.item.body.text == "one"


async def test_an_event_is_told_once_and_to_people_only(shared_store) -> None:
    anna = somebody()
    await take(shared_store, wrote(anna))
    session_id = await session_of(shared_store, anna)
    await shared_store.write(inbox.done, await next_mail(shared_store, session_id))
    event = Event("paid", "hash", amount_msat=21_000)

    for who in (session_id, session_id, "ses_of_nobody"):
        await shared_store.write(inbox.tell, who, event, key=f"paid:{anna.uid}", now_ms=NOW_MS)

    mail = await next_mail(shared_store, session_id)
    assert mail.item == event
    assert await shared_store.write(inbox.done, mail)
    assert await next_mail(shared_store, session_id) is None


async def test_a_reminder_rings_once_at_its_time(shared_store) -> None:
    anna = somebody()
    await take(shared_store, wrote(anna))
    session_id = await session_of(shared_store, anna)
    await shared_store.write(inbox.done, await next_mail(shared_store, session_id))
    at_ms = NOW_MS + next(COUNTER) + 1_000

    await shared_store.write(inbox.remind, session_id, "expired", "7F3K", at_ms=at_ms)
    await shared_store.write(inbox.ring, at_ms - 1, 100)
    assert await next_mail(shared_store, session_id, at_ms) is None
    for _ in range(2):
        await shared_store.write(inbox.ring, at_ms, 100)

    mail = await next_mail(shared_store, session_id, at_ms)
    assert mail.item == Event("reminder", "7F3K", kind="expired")
    await shared_store.write(inbox.done, mail)
    assert await next_mail(shared_store, session_id, at_ms) is None


async def claim(store, session_id: str, owner: str, now_ms: int) -> bool:
    claimed = await store.write(
        people.claim, owner, now_ms=now_ms, until_ms=now_ms + 30_000, limit=1_000
    )
    return session_id in claimed


async def test_a_person_is_read_by_one_process_at_a_time(shared_store) -> None:
    anna = somebody()
    await take(shared_store, wrote(anna))
    session_id = await session_of(shared_store, anna)

    assert await claim(shared_store, session_id, "a", NOW_MS)
    assert not await claim(shared_store, session_id, "b", NOW_MS + 29_999)
    assert await claim(shared_store, session_id, "b", NOW_MS + 30_000)
    assert not await shared_store.write(people.hold, session_id, "a", NOW_MS + 60_000)


async def test_a_heartbeat_that_comes_after_letting_go_holds_nobody(shared_store) -> None:
    anna = somebody()
    await take(shared_store, wrote(anna))
    session_id = await session_of(shared_store, anna)
    assert await claim(shared_store, session_id, "a", NOW_MS)

    await shared_store.write(people.let_go, session_id, "a", 0)
    beat = await shared_store.write(people.hold, session_id, "a", NOW_MS + 60_000)

    assert not beat
    assert await claim(shared_store, session_id, "a", NOW_MS)


def letter(peer: Peer, text: str, **how) -> Letter:
    return Letter(peer=peer, content=Note(text), **how)


async def due(store, peer: Peer, now_ms: int = NOW_MS) -> list[str]:
    found = await store.read(outbox.due, peer.channel, peer.realm, now_ms=now_ms, limit=10_000)
    return [queued.letter.content.text for queued in found if queued.letter.peer == peer]


async def first(store, peer: Peer):
    found = await store.read(
        outbox.due, peer.channel, peer.realm, now_ms=NOW_MS + 10**9, limit=10_000
    )
    return next(queued for queued in found if queued.letter.peer == peer)


async def test_letters_of_a_peer_go_one_after_the_other(shared_store) -> None:
    anna = somebody()
    for text in ("one", "two"):
        await shared_store.write(outbox.post, letter(anna, text), NOW_MS)

    assert await due(shared_store, anna) == ["one"]
    await shared_store.write(outbox.sent, (await first(shared_store, anna)).number)
    assert await due(shared_store, anna) == ["two"]


async def test_a_letter_takes_the_place_of_an_unsent_one_in_its_slot(shared_store) -> None:
    anna = somebody()
    await shared_store.write(outbox.post, letter(anna, "news", slot="s", is_news=True), NOW_MS)
    for text in ("old", "new"):
        await shared_store.write(outbox.post, letter(anna, text, slot="s"), NOW_MS)

    said = []
    for _ in range(2):
        queued = await first(shared_store, anna)
        said.append(queued.letter.content.text)
        await shared_store.write(outbox.sent, queued.number)

    assert said == ["news", "new"]
    assert await due(shared_store, anna) == []


async def test_a_passing_letter_takes_the_place_of_none(shared_store) -> None:
    anna = somebody()
    await shared_store.write(outbox.post, letter(anna, "ran out", slot="s"), NOW_MS)

    await shared_store.write(outbox.post, letter(anna, "over", slot="s", is_passing=True), NOW_MS)

    assert await due(shared_store, anna) == ["ran out"]


async def test_what_is_in_doubt_is_not_replaced(shared_store) -> None:
    anna = somebody()
    await shared_store.write(outbox.post, letter(anna, "doubtful", slot="s"), NOW_MS)
    number = (await first(shared_store, anna)).number
    await shared_store.write(outbox.in_doubt, number, at_ms=NOW_MS)

    await shared_store.write(outbox.post, letter(anna, "next", slot="s"), NOW_MS)

    assert await due(shared_store, anna) == ["doubtful"]
    assert (await first(shared_store, anna)).doubts == 1


async def test_a_letter_that_is_replaced_while_it_is_sent_does_not_close_the_next(
    shared_store,
) -> None:
    anna = somebody()
    await shared_store.write(outbox.post, letter(anna, "old", slot="s"), NOW_MS)
    on_its_way = await first(shared_store, anna)

    await shared_store.write(outbox.post, letter(anna, "new", slot="s"), NOW_MS)
    await shared_store.write(outbox.sent, on_its_way.number)

    assert await due(shared_store, anna) == ["new"]


async def test_the_parts_that_were_sent_are_remembered(shared_store) -> None:
    anna = somebody()
    await shared_store.write(outbox.post, letter(anna, "long"), NOW_MS)
    number = (await first(shared_store, anna)).number
    await shared_store.write(outbox.in_doubt, number, at_ms=NOW_MS)

    await shared_store.write(outbox.sent_part, number, ("11", "12"))

    queued = await first(shared_store, anna)
    assert (queued.sent_ids, queued.doubts) == (("11", "12"), 0)


async def test_a_peer_that_is_back_gets_what_was_kept_after_a_greeting(shared_store) -> None:
    anna = somebody()
    for text in ("one", "two"):
        await shared_store.write(outbox.post, letter(anna, text), NOW_MS)
    await shared_store.write(outbox.park, anna)
    assert await due(shared_store, anna) == []

    await shared_store.write(outbox.unpark, letter(anna, "While you were away:"), NOW_MS)

    said = []
    for _ in range(3):
        queued = await first(shared_store, anna)
        said.append(queued.letter.content.text)
        await shared_store.write(outbox.sent, queued.number)
    assert said == ["While you were away:", "one", "two"]


async def test_nobody_is_greeted_for_whom_nothing_was_kept(shared_store) -> None:
    anna = somebody()

    await shared_store.write(outbox.unpark, letter(anna, "While you were away:"), NOW_MS)

    assert await due(shared_store, anna) == []


async def test_one_question_is_open_with_a_peer(shared_store) -> None:
    anna = somebody()
    for kind in ("withdraw", "send"):
        prompt = Prompt(kind, "ref", "body", NOW_MS, NOW_MS + 1_000)
        await shared_store.write(talks.ask, anna, prompt)

    assert (await shared_store.read(talks.prompt, anna, NOW_MS)).kind == "send"
    assert await shared_store.read(talks.prompt, anna, NOW_MS + 1_000) is None


async def test_talk_is_remembered_in_its_order_until_it_is_forgotten(shared_store) -> None:
    session_id = f"ses {next(COUNTER)}"
    for number in range(5):
        await shared_store.write(talks.say, session_id, Turn("user", str(number)), NOW_MS)

    turns = await shared_store.read(talks.turns, session_id, limit=3)
    assert [turn.text for turn in turns] == ["2", "3", "4"]
    await shared_store.write(talks.forget, session_id)
    assert await shared_store.read(talks.turns, session_id, limit=3) == []


async def test_a_post_is_held_by_one_process_until_it_is_left_or_runs_out(shared_store) -> None:
    name = f"post {next(COUNTER)}"

    async def take_post(owner: str, now_ms: int) -> bool:
        return await shared_store.write(
            posts.take, name, owner, now_ms=now_ms, until_ms=now_ms + 20_000
        )

    assert await take_post("a", NOW_MS)
    assert not await take_post("b", NOW_MS + 1)
    assert await take_post("a", NOW_MS + 19_000)
    assert not await take_post("b", NOW_MS + 38_999)
    assert await take_post("b", NOW_MS + 39_000)
    await shared_store.write(posts.leave, "b")
    assert await take_post("a", NOW_MS + 39_001)
