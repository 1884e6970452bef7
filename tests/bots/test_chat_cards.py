"""What people see of their money and of their absence."""

import asyncio

from bots.scene import Place, Scene, Voice
from core.agents.port import Verdict
from core.books import people
from core.books.inbox import Event, Mail
from core.values.mail import Letter, Note
from core.values.money import from_sats
from tests.bots.chat_bench import ANNA, Chat, opened_chat
from tests.process.server import eventually

REQUEST = "Sort these names: Bob, Alice"
NO = Verdict("reject", "There is nothing to sort.", "", 1)


async def last_letters(chat: Chat, text: str) -> list[Letter]:
    """What is said until something with this text in it has been said."""
    said: list[Letter] = []

    async def is_said() -> bool:
        await chat.read_all()
        said.extend(await chat.letters())
        return any(text in letter.content.text for letter in said)

    await eventually(is_said)
    return said


async def rejected(chat: Chat) -> str:
    chat.world.agent.evaluations.append((NO,))
    await chat.asked(ANNA, "/help")
    await chat.is_given(ANNA, 100)
    await chat.hears(ANNA, REQUEST)
    letters = await last_letters(chat, "I cannot do")
    return letters[-1].content.text


async def test_a_no_says_that_the_fee_is_used(database) -> None:
    async with opened_chat(database) as chat:
        text = await rejected(chat)

    assert "The check fee is used." in text
    assert "Balance: 79 sat" in text


async def test_where_the_fee_is_returned_a_no_says_so(database) -> None:
    async with opened_chat(database, PRICING__EVAL_FEE_ON_REJECT="return") as chat:
        text = await rejected(chat)

    assert "The check fee is back on your balance." in text
    assert "Balance: 100 sat" in text


async def test_the_balance_in_an_answer_is_as_new_as_the_job(database) -> None:
    go_on = asyncio.Event()
    async with opened_chat(database, PRICING__EVAL_FEE_ON_REJECT="return") as chat:
        chat.world.agent.evaluations.append((go_on, NO))
        await chat.asked(ANNA, "/help")
        await chat.is_given(ANNA, 100)
        await chat.hears(ANNA, REQUEST)
        desk = chat.world.core.desk.people
        contact = await chat.world.store.read(people.contact, ANNA)
        assert contact is not None
        (request,) = await desk.history(contact.session_id, skip=0, limit=1)
        before = await desk.view(contact.session_id, None)

        async def is_rejected() -> bool:
            return (await desk.job(request.job_id)).state == "rejected"

        go_on.set()
        await eventually(is_rejected)
        mail = Mail(contact.session_id, 1, 0, before.now_ms, Event("job", request.job_id))
        scene = Scene(mail, before, Voice(chat.conversation.catalogue, "en"), Place(ANNA))
        reply = await chat.conversation.following.job_moved(scene, request.job_id)

    assert before.account.balance == from_sats(79)
    assert reply is not None
    assert "Balance: 100 sat" in reply.letters[0].content.text


async def test_a_deposit_that_ran_out_says_so_and_offers_a_fresh_one(database) -> None:
    async with opened_chat(database) as chat:
        await chat.asked(ANNA, "/topup 700")
        chat.world.clock.jump(901_000)
        await chat.world.core.desk.mail.ring()
        await chat.read_all()

        (card,) = await chat.letters()
        assert isinstance(card.content, Note)
        assert card.content.text.startswith("This invoice ran out. Nothing was taken.")
        assert not card.is_news
        fresh = await chat.presses(ANNA, "New invoice", card)

    assert fresh[0].startswith("Put 700 sat on your balance")


async def test_an_older_deposit_that_ran_out_leaves_the_newer_card_alone(database) -> None:
    async with opened_chat(database) as chat:
        await chat.asked(ANNA, "/topup 700")
        chat.world.clock.jump(600_000)
        await chat.asked(ANNA, "/topup 800")
        chat.world.clock.jump(301_000)
        await chat.world.core.desk.mail.ring()
        await chat.read_all()

        assert await chat.letters() == []


async def test_whoever_blocks_the_bot_is_written_to_no_more_until_back(database) -> None:
    async with opened_chat(database) as chat:
        await chat.hears(ANNA, "/help")
        await chat.is_lost(ANNA)

        assert await chat.letters() == []
        contact = await chat.world.store.read(people.contact, ANNA)
        assert contact is not None
        assert not contact.is_reachable
        said = await chat.says(ANNA, "/balance")

    assert said[0] == "While you were away:"
    assert said[1].startswith("Write a request in your own words.")
    assert said[2].startswith("Balance: 0 sat")
