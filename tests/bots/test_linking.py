"""Joining two chats, or a chat and a session over HTTP; parting again; and who gets nowhere."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.books import ledger, people, requests
from core.books.audit import audit
from core.values.errors import NotFound, Unauthorized
from core.values.mail import Copy, Peer
from core.values.tokens import to_bearer
from tests.bots.chat_bench import ANNA, BEN, REALM, Chat, opened_chat
from tests.conftest import Database
from tests.world import ALICE

ANNA_ON_NOSTR = Peer("nostr", REALM, "cd" * 32)
BAD = "This code is wrong or too old. Use /link to get a new one."
YES_NO = "Reply yes or no."
REQUEST = "Sort these names: b, a"


@pytest.fixture
async def chat(database: Database) -> AsyncIterator[Chat]:
    async with opened_chat(database) as opened:
        await opened.says(ANNA, "/start")
        await opened.says(ANNA_ON_NOSTR, "/start")
        await opened.is_given(ANNA, 1_000)
        await opened.is_given(ANNA_ON_NOSTR, 300)
        yield opened


async def news(chat):
    """What is said next, to whom: the last letter to each."""
    await chat.read_all()
    return {letter.peer: letter for letter in await chat.letters()}


async def after(chat, peer, text):
    """What everybody is told after somebody wrote this."""
    await chat.hears(peer, text)
    return await news(chat)


async def presses(chat, peer, label, on):
    """What everybody is told after somebody pressed this."""
    said = await chat.presses(peer, label, on)
    return said, await news(chat)


def buttons_of(letter):
    return [button for row in letter.content.buttons for button in row]


async def code_for(chat, peer):
    await chat.hears(peer, "/link")
    shown = [button for letter in await chat.letters() for button in buttons_of(letter)]
    [copy] = [button for button in shown if isinstance(button, Copy)]
    return copy.text.removeprefix("/link ")


async def asked_maker(chat, maker, taker):
    """The question to the maker, after the taker has given the code and said yes."""
    await chat.says(taker, f"/link {await code_for(chat, maker)}")
    await chat.hears(taker, "yes")
    await chat.read_all()
    [question] = [letter for letter in await chat.letters() if letter.content.hint == YES_NO]
    assert question.peer == maker
    return question


async def joined(chat, maker, taker):
    question = await asked_maker(chat, maker, taker)
    return await presses(chat, maker, "Yes", question)


async def session_of(chat, peer):
    return (await chat.world.store.read(people.contact, peer)).session_id


async def sats(chat, peer):
    account = await chat.world.store.read(ledger.account, await session_of(chat, peer))
    return account.balance // 1_000


async def requests_of(chat, peer):
    session_id = await session_of(chat, peer)
    return await chat.world.store.read(requests.page, session_id, skip=0, limit=5)


async def over_http(chat, amount_sats):
    """A session that was opened over HTTP, with money; its id and its token."""
    desk, world = chat.world.core.desk, chat.world
    session = await desk.sessions.open_session(amount_sats, client=ALICE)
    world.wallet.pay(session.deposit_invoice)
    bearer = desk.verify(to_bearer(session.macaroon), None)
    session_id = session.session.session_id
    with world.bulletin.listen(session_id) as heard:
        while (await desk.sessions.session(session_id, bearer)).state != "active":
            assert await heard.wait(10)
    return session_id, bearer


# Both say yes


async def test_a_code_is_shown_with_a_button_that_copies_it(chat):
    letter = await chat.asked(ANNA, "/link")

    ((copy,),) = letter.content.buttons
    assert copy.text.removeprefix("/link ") in letter.content.text
    assert "within 10 minutes" in letter.content.text


async def test_a_bot_with_an_address_shows_a_link_that_gives_the_code(chat):
    linking = replace(chat.conversation.linking, address=lambda: "https://t.me/a_bot")
    commands = replace(chat.conversation.commands, linking=linking)
    chat.conversation = replace(chat.conversation, commands=commands)

    letter = await chat.asked(ANNA, "/link")

    code = buttons_of(letter)[0].text.removeprefix("/link ").replace("-", "")
    assert letter.content.text.endswith(f"\nhttps://t.me/a_bot?start=link_{code}")


async def test_the_taker_is_told_who_it_is_and_what_is_at_stake(chat):
    code = await code_for(chat, ANNA)

    letter = await chat.asked(ANNA_ON_NOSTR, f"/link {code.lower()}")

    assert "Telegram (2002)" in letter.content.text
    assert "300 sat" in letter.content.text
    assert await sats(chat, ANNA) == 1_000


async def test_then_the_maker_is_told_who_it_is_and_what_is_at_stake(chat):
    question = await asked_maker(chat, ANNA, ANNA_ON_NOSTR)

    assert "Nostr (npub1" in question.content.text
    assert "your balance (1,000 sat)" in question.content.text
    assert await sats(chat, ANNA_ON_NOSTR) == 300


async def test_after_the_makers_yes_both_are_told_of_one_balance(chat):
    question = await asked_maker(chat, ANNA, ANNA_ON_NOSTR)
    await chat.hears(ANNA, "yes")
    told = await news(chat)

    assert [button.label for button in buttons_of(question)] == ["Yes", "Cancel"]
    assert set(told) == {ANNA, ANNA_ON_NOSTR}
    for letter in told.values():
        assert letter.content.text == "Joined. One balance on Nostr, Telegram: 1,300 sat."
    assert await session_of(chat, ANNA) == await session_of(chat, ANNA_ON_NOSTR)
    assert "1,300 sat" in (await chat.says(ANNA_ON_NOSTR, "/balance"))[0]
    assert await chat.world.store.read(audit) == []


async def test_a_link_that_leads_into_the_chat_gives_the_code(chat):
    code = await code_for(chat, ANNA_ON_NOSTR)

    letter = await chat.asked(BEN, f"/start link_{code.replace('-', '')}")

    assert letter.content.text.startswith("Join Nostr (npub1")


async def test_requests_of_both_stand_in_one_history_under_their_own_codes(chat):
    await chat.says(ANNA, REQUEST)
    await chat.says(ANNA_ON_NOSTR, REQUEST)
    codes = [one.code for peer in (ANNA, ANNA_ON_NOSTR) for one in await requests_of(chat, peer)]

    await joined(chat, ANNA, ANNA_ON_NOSTR)

    history = " ".join(await chat.says(ANNA_ON_NOSTR, "/history"))
    assert len(codes) == 2
    assert all(code in history for code in codes)


async def test_two_requests_of_the_same_code_are_told_apart_after_the_join(chat):
    await chat.says(ANNA, REQUEST)
    theirs = await session_of(chat, ANNA_ON_NOSTR)
    [request] = await requests_of(chat, ANNA)
    twin = replace(request, session_id=theirs, job_id=None, state="unpaid", peer=ANNA_ON_NOSTR)
    await chat.world.store.write(requests.add, twin)

    await joined(chat, ANNA, ANNA_ON_NOSTR)

    found = await requests_of(chat, ANNA)
    assert len(found) == len({one.code for one in found}) == 2
    assert next(one for one in found if one.code == request.code).peer == ANNA


async def test_the_takers_unread_mail_is_read_after_the_makers(chat):
    question = await asked_maker(chat, ANNA, ANNA_ON_NOSTR)
    await chat.world.core.desk.mail.claim(100)
    await presses(chat, ANNA, "Yes", question)

    assert "1,300 sat" in (await chat.says(ANNA_ON_NOSTR, "/balance"))[0]


async def test_the_token_of_the_taker_spends_the_joint_balance(chat):
    (shown,) = await chat.says(ANNA_ON_NOSTR, "/token")
    token = max(shown.split(), key=len)
    await joined(chat, ANNA, ANNA_ON_NOSTR)

    desk = chat.world.core.desk
    session = await desk.sessions.session("me", desk.verify(token, None))

    assert session.balance == 1_300_000


async def test_a_new_token_makes_those_of_both_chats_void(chat):
    shown = [await chat.says(peer, "/token") for peer in (ANNA, ANNA_ON_NOSTR)]
    await joined(chat, ANNA, ANNA_ON_NOSTR)

    (new,) = await chat.says(ANNA_ON_NOSTR, "/token")

    desk = chat.world.core.desk
    for (text,) in shown:
        with pytest.raises(Unauthorized):
            await desk.identify(max(text.split(), key=len))
    await desk.identify(max(new.split(), key=len))


# With a session over HTTP


async def test_a_session_over_http_takes_the_code_of_a_chat(chat):
    session_id, bearer = await over_http(chat, 200)
    desk, code = chat.world.core.desk, await code_for(chat, ANNA)

    await desk.links.take(bearer, code)
    question = (await news(chat))[ANNA]
    said, _ = await presses(chat, ANNA, "Yes", question)

    assert session_id in question.content.text
    assert said == ["Joined. One balance on Telegram, API: 1,200 sat."]
    assert (await desk.sessions.session(session_id, bearer)).balance == 1_200_000
    assert await chat.world.store.read(audit) == []


async def test_a_chat_takes_the_code_of_a_session_over_http(chat):
    session_id, bearer = await over_http(chat, 200)
    desk = chat.world.core.desk
    made = await desk.links.make("me", bearer)

    await chat.says(ANNA, f"/link {made.code}")
    waits = await chat.says(ANNA, "yes")
    view = await desk.links.confirm(session_id, bearer, made.link_id)
    told = await news(chat)

    assert waits == [f"I asked {session_id}. Say yes there."]
    assert view.state == "joined"
    assert told[ANNA].content.text == "Joined. One balance on Telegram, API: 1,200 sat."
    assert await session_of(chat, ANNA) == session_id
    assert "Checking" in (await chat.says(ANNA, REQUEST))[0]


# Who gets nowhere


async def test_nothing_is_joined_where_the_maker_says_no_and_both_are_told(chat):
    question = await asked_maker(chat, ANNA, ANNA_ON_NOSTR)

    said = await chat.presses(ANNA, "Cancel", question)
    again, _ = await presses(chat, ANNA, "Yes", question)

    assert said == ["Not joined. Nothing has changed."] * 2
    assert again == []
    assert await sats(chat, ANNA_ON_NOSTR) == 300


async def test_nothing_is_joined_where_the_taker_says_no(chat):
    await chat.says(ANNA_ON_NOSTR, f"/link {await code_for(chat, ANNA)}")

    told = await after(chat, ANNA_ON_NOSTR, "no")

    assert set(told) == {ANNA_ON_NOSTR}
    assert told[ANNA_ON_NOSTR].content.text == "Not joined. Nothing has changed."


async def test_the_code_alone_joins_nothing(chat):
    await chat.says(BEN, f"/link {await code_for(chat, ANNA)}")

    assert await session_of(chat, BEN) != await session_of(chat, ANNA)
    assert await chat.says(ANNA, "yes") == ["This button is out of date."]


async def test_ones_own_code_is_refused(chat):
    assert await chat.says(ANNA, f"/link {await code_for(chat, ANNA)}") == [BAD]


async def test_a_code_that_was_used_is_refused(chat):
    code = await code_for(chat, ANNA)
    await chat.says(ANNA_ON_NOSTR, f"/link {code}")
    await after(chat, ANNA_ON_NOSTR, "yes")

    assert await chat.says(BEN, f"/link {code}") == [BAD]


async def test_of_two_who_were_asked_only_the_first_is_taken(chat):
    code = await code_for(chat, ANNA)
    await chat.says(ANNA_ON_NOSTR, f"/link {code}")
    await chat.says(BEN, f"/link {code}")
    await after(chat, ANNA_ON_NOSTR, "yes")

    told = await after(chat, BEN, "yes")

    assert (set(told), told[BEN].content.text) == ({BEN}, BAD)


async def test_after_ten_minutes_a_code_is_too_old(chat):
    code = await code_for(chat, ANNA)

    await chat.world.clock.pass_time(601)

    assert await chat.says(ANNA_ON_NOSTR, f"/link {code}") == [BAD]


async def test_guessing_ends_after_five_wrong_codes(chat):
    code = await code_for(chat, ANNA)

    wrong = [await chat.says(BEN, "/link 0000-0000") for _ in range(5)]
    right = await chat.says(BEN, f"/link {code}")

    assert wrong == [[BAD]] * 5
    assert right[0] != BAD
    assert "Join" not in right[0]


async def test_whoever_is_blocked_joins_nothing(chat):
    await chat.says(BEN, "/start")
    await chat.world.store.write(people.block, await session_of(chat, BEN), 1)

    assert "Join" not in (await chat.says(BEN, f"/link {await code_for(chat, ANNA)}"))[0]


# Parting


async def test_a_channel_that_leaves_begins_anew_and_the_other_keeps_the_balance(chat):
    await joined(chat, ANNA, ANNA_ON_NOSTR)

    told = await after(chat, ANNA_ON_NOSTR, "/unlink")

    assert told[ANNA_ON_NOSTR].content.text == told[ANNA].content.text
    assert "The balance stays with Telegram (2002)." in told[ANNA].content.text
    assert (await sats(chat, ANNA), await sats(chat, ANNA_ON_NOSTR)) == (1_300, 0)
    assert await chat.world.store.read(audit) == []


async def test_what_was_asked_for_there_is_answered_where_the_balance_is(chat):
    await joined(chat, ANNA, ANNA_ON_NOSTR)
    await chat.hears(ANNA_ON_NOSTR, REQUEST)
    await after(chat, ANNA_ON_NOSTR, "/unlink")

    [request] = await requests_of(chat, ANNA)

    assert request.peer == ANNA


async def test_who_is_joined_with_nobody_cannot_part(chat):
    assert await chat.says(BEN, "/unlink") == ["This account is joined with no other."]
    await joined(chat, ANNA, ANNA_ON_NOSTR)
    await after(chat, ANNA_ON_NOSTR, "/unlink")

    assert await chat.says(ANNA, "/unlink") == ["This account is joined with no other."]
    assert await sats(chat, ANNA) == 1_300


async def test_a_chat_parts_from_a_session_over_http_which_keeps_the_balance(chat):
    session_id, bearer = await over_http(chat, 200)
    desk = chat.world.core.desk
    await desk.links.take(bearer, await code_for(chat, ANNA))
    await presses(chat, ANNA, "Yes", (await news(chat))[ANNA])
    old_id = await session_of(chat, ANNA)

    told = await after(chat, ANNA, "/unlink")

    assert f"stays with {old_id}" in told[ANNA].content.text
    assert await sats(chat, ANNA) == 0
    assert (await desk.sessions.session(session_id, bearer)).balance == 1_200_000
    assert await chat.says(ANNA, "/unlink") == ["This account is joined with no other."]


async def test_a_blocked_channel_stays_blocked_when_it_parts(chat):
    await joined(chat, ANNA, ANNA_ON_NOSTR)
    await chat.world.store.write(people.block, await session_of(chat, ANNA), 1)

    await after(chat, ANNA_ON_NOSTR, "/unlink")

    person = await chat.world.store.read(people.person, await session_of(chat, ANNA_ON_NOSTR))
    assert person.is_blocked


async def test_a_link_of_others_cannot_be_confirmed(chat):
    _, stranger = await over_http(chat, 200)
    session_id, bearer = await over_http(chat, 300)
    desk = chat.world.core.desk
    made = await desk.links.make("me", bearer)
    await desk.links.take(stranger, made.code)

    with pytest.raises(NotFound):
        await desk.links.confirm("me", stranger, made.link_id)

    assert (await desk.sessions.session(session_id, bearer)).balance == 300_000
