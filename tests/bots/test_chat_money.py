"""Money in the conversation: what is paid for is begun, and nothing is sent or said twice."""

import asyncio
from dataclasses import replace

import pytest

from core.books import freezes, ledger, people, requests
from core.books.inbox import Event, Mail
from core.books.requests import PersonBill
from core.desk.people_reply import Reply
from core.values.bolt11 import encode_and_sign
from core.values.errors import Unavailable
from core.values.mail import Letter, Peer
from core.values.money import Msat, from_sats
from tests.bots.chat_bench import ANNA, Chat, opened_chat
from tests.conftest import NOW_MS
from tests.fakes import ACCEPTED
from tests.process.server import eventually

REQUEST = "Sort these names: Bob, Alice"
LONGER = "Sort these names for me, please, and leave out the ones that come twice: Bob, Alice, Bob"


@pytest.fixture
async def chat(database):
    async with opened_chat(database) as opened:
        opened.world.agent.evaluations.append((asyncio.Event(),))  # the check takes long
        yield opened


async def session_of(chat: Chat, peer: Peer) -> str:
    contact = await chat.world.store.read(people.contact, peer)
    assert contact is not None
    return contact.session_id


async def bill_of(chat: Chat) -> PersonBill:
    return (await chat.world.core.desk.people.open_bills(await session_of(chat, ANNA)))[0]


async def paid(chat: Chat, bill: PersonBill) -> None:
    """Anna pays, and the books have it: she has mail."""
    mail, session_id = chat.world.core.desk.mail, await session_of(chat, ANNA)
    chat.world.wallet.pay(bill)

    async def is_told() -> bool:
        return await mail.next_mail(session_id) is not None

    await eventually(is_told)


async def pays(chat: Chat, bill: PersonBill) -> list[str]:
    await paid(chat, bill)
    await chat.read_all()
    return [letter.content.text for letter in await chat.letters()]


async def state_of(chat: Chat, code: str) -> str:
    request = await chat.world.store.read(requests.find, await session_of(chat, ANNA), code)
    assert request is not None
    return request.state


def code_on(card: Letter) -> str:
    assert card.slot is not None
    return card.slot.partition(":")[0]


def invoice(sats: int = 50) -> str:
    return encode_and_sign(
        bytes.fromhex("22" * 32),
        network="regtest",
        amount=from_sats(sats),
        created_at_s=NOW_MS // 1000,
        payment_hash="ab" * 32,
        payment_secret="cd" * 32,
        description="tea",
        expiry_s=3600,
    )


async def test_a_check_that_is_paid_during_a_pause_is_begun(chat):
    code = code_on(await chat.asked(ANNA, REQUEST))
    chat.world.core.gate.intake.stop("operator", "says the test")

    said = await pays(chat, await bill_of(chat))

    assert said[0].startswith("Paid 21 sat ✓  Checking")
    assert await state_of(chat, code) == "started"


async def test_a_check_that_is_paid_while_answers_hold_the_money_is_begun_after_them(chat):
    store = chat.world.store
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 10)
    code = code_on(await chat.asked(ANNA, REQUEST))
    bill, session_id = await bill_of(chat), await session_of(chat, ANNA)
    assert bill.amount == from_sats(11)
    far_ms = NOW_MS + 600_000
    await store.write(ledger.hold, "h1", session_id, from_sats(10), far_ms)

    await paid(chat, bill)
    with pytest.raises(Unavailable):
        await chat.read_all()
    assert await chat.letters() == []
    await store.write(ledger.post, "h1", Msat(0), ref="h1", now_ms=NOW_MS)
    await chat.world.core.desk.mail.let_go(session_id)
    await chat.read_all()

    assert await state_of(chat, code) == "started"


async def test_a_payment_to_a_frozen_account_is_told_and_kept(chat):
    await chat.asked(ANNA, REQUEST)
    bill, session_id = await bill_of(chat), await session_of(chat, ANNA)
    await chat.world.store.write(freezes.freeze, session_id, "test", NOW_MS)

    assert await pays(chat, bill) == ["Paid 21 sat ✓  Balance: 21 sat"]

    assert (await chat.world.store.read(requests.bill, bill.payment_hash)).is_paid


async def test_whose_account_is_frozen_is_told_so(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 100)
    session_id = await session_of(chat, ANNA)
    await chat.world.store.write(freezes.freeze, session_id, "test", NOW_MS)

    assert await chat.says(ANNA, REQUEST) == ["I cannot work for you. /withdraw still works."]


async def test_what_the_model_cannot_take_is_refused_before_money_is_asked_for(chat):
    desk = chat.world.core.desk
    small = replace(desk.jobs.model, context_tokens=10)
    object.__setattr__(desk.people.jobs, "model", small)

    (said,) = await chat.says(ANNA, "Sort these names: " + "Bob, Alice, " * 20)

    assert said.startswith("This is 257 characters; I can take ")
    assert not [what for what, _ in chat.world.wallet.journal if what == "make"]


async def test_a_price_during_a_pause_keeps_nobody_from_an_answer(database):
    async with opened_chat(database) as chat:
        await chat.asked(ANNA, REQUEST)
        await paid(chat, await bill_of(chat))
        await chat.read_all()
        await eventually(lambda: _is_priced(chat))
        chat.world.core.gate.intake.stop("operator", "says the test")
        await chat.read_all()
        await chat.letters()

        (said,) = await chat.says(ANNA, "/balance")

    assert said.startswith("Balance: 0 sat")


async def _is_priced(chat: Chat) -> bool:
    (request,) = await chat.world.core.desk.people.history(
        await session_of(chat, ANNA), skip=0, limit=9
    )
    job = await chat.world.view(request.job_id)
    return job.state == "awaiting_work_payment"


async def test_a_deposit_during_a_pause_is_told_though_its_question_is_not_answered(chat):
    await chat.asked(ANNA, "/chat")
    await chat.says(ANNA, "How are you today?")
    chat.world.core.gate.intake.stop("operator", "says the test")

    said = await pays(chat, await bill_of(chat))

    assert said[0] == "Paid 1,000 sat ✓  Balance: 1,000 sat"
    assert "no new requests right now" in said[-1]


async def test_a_yes_after_a_new_request_sends_no_money(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 1_000)
    (question,) = await chat.says(ANNA, "/withdraw anna@pay.example.org")
    assert question.endswith("to anna@pay.example.org?")

    await chat.says(ANNA, LONGER)

    assert await chat.says(ANNA, "yes") == ["This button is out of date."]


async def test_no_new_invoice_is_made_where_money_came_another_way(chat):
    code = code_on(await chat.asked(ANNA, REQUEST))
    await chat.is_given(ANNA, 100)

    assert await chat.says(ANNA, f"new {code}") == [
        f"Checking #{code} ... (21 sat from your balance, 79 sat left)"
    ]

    assert await state_of(chat, code) == "started"


async def test_a_bare_yes_after_a_price_is_for_the_price(database):
    async with opened_chat(database) as chat:
        is_checked = asyncio.Event()
        chat.world.agent.evaluations.append((is_checked, ACCEPTED))
        await chat.says(ANNA, "/start")
        await chat.is_given(ANNA, 1_000)
        await chat.says(ANNA, REQUEST)
        await chat.says(ANNA, "/withdraw anna@pay.example.org")
        chat.world.clock.advance(0.5)
        is_checked.set()
        await eventually(lambda: _is_priced(chat))
        await chat.read_all()

        await chat.hears(ANNA, "yes")

        (request,) = await chat.world.core.desk.people.history(
            await session_of(chat, ANNA), skip=0, limit=9
        )
        assert (await chat.world.view(request.job_id)).state != "awaiting_work_payment"
        assert await chat.world.core.desk.people.refunds(await session_of(chat, ANNA)) == []


async def test_a_yes_to_deleting_forgets_nothing_that_was_begun_meanwhile(chat):
    question = await chat.asked(ANNA, "/delete")
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 21)
    session_id = await session_of(chat, ANNA)

    (said,) = await chat.presses(ANNA, "Yes", question)

    assert said.startswith("You still have 21 sat.")
    assert await chat.world.store.read(ledger.account, session_id)


async def test_an_answer_that_somebody_else_has_given_sends_no_money(chat):
    desk = chat.world.core.desk
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 1_000)
    await chat.hears(ANNA, "/help")
    session_id = await session_of(chat, ANNA)
    view = await desk.people.view(session_id, ANNA)
    mail = await chat.world.store.read(_last_mail, session_id)
    able = replace(desk.people, payouts=replace(desk.people.payouts, can_pay=True))

    await able.withdraw(mail, view, invoice(), amount_sats=None, reply=lambda _: Reply())

    account = await chat.world.store.read(ledger.account, session_id)
    assert account.balance == from_sats(1_000)
    assert await desk.people.refunds(session_id) == []


async def _last_mail(tx, session_id):
    """A piece that is closed, as a reader has it that was too slow."""
    row = await tx.one(
        "SELECT MAX(number) AS number FROM inbox WHERE session_id = :session_id",
        session_id=session_id,
    )
    return Mail(session_id, row["number"], 0, NOW_MS, Event("closing", ""))
