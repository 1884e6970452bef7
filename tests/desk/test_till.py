"""The till: one invoice at a time, and nobody who has just paid is asked again."""

import asyncio

import pytest

from core.desk.session_desk import TokenOrder
from core.desk.till import PaymentRequired
from core.values.errors import (
    Forbidden,
    InvalidRequest,
    RateLimited,
    ShuttingDown,
    Unauthorized,
    WalletUnavailable,
    WrongState,
)
from core.values.money import from_sats
from core.values.tokens import to_l402
from tests.desk.counter import CLIENT, OTHER_CLIENT

AT_ONCE = 100
ALL_BUT_MANAGE = TokenOrder("a child", rights=("read", "spend", "topup", "withdraw"))


async def refused(attempt):
    """The PaymentRequired that this attempt ends in."""
    with pytest.raises(PaymentRequired) as refusal:
        await attempt
    return refusal.value


async def challenged(counter, sats=500, *, client=CLIENT):
    """The challenge for somebody without a credential whose request needs this much."""
    return (await counter.till.challenge_for(from_sats(sats), client=client)).challenge


# How much, and which invoice


@pytest.mark.parametrize(
    ("needed_msat", "sats"),
    [(1, 100), (100_000, 100), (100_001, 101), (150_001, 151), (1_000_000_000, 1_000_000)],
)
async def test_an_empty_session_is_asked_for_what_is_missing_in_whole_sats(
    counter, needed_msat, sats
):
    root = await counter.spent_down()

    refusal = await refused(counter.ask(root, needed_msat))

    assert refusal.payment.amount == from_sats(sats)
    assert refusal.payment.purpose == "topup"
    assert refusal.challenge.invoice == refusal.payment


async def test_what_is_free_is_taken_into_account(counter):
    root = await counter.fill(1_000)

    refusal = await refused(counter.ask(root, 1_250_001))

    assert refusal.payment.amount == from_sats(251)
    assert (refusal.shortage.needed, refusal.shortage.balance) == (1_250_001, 1_000_000)


async def test_paying_what_is_asked_makes_the_same_request_possible(counter):
    root = await counter.fill(100)
    refusal = await refused(counter.ask(root, 200_001))

    await counter.wallet.pay(refusal.payment.payment_hash)

    assert (await counter.ask(root, 200_001)).amount == 200_001


async def test_more_than_a_session_may_be_filled_with_is_a_fault_of_the_request(counter):
    root = await counter.spent_down()
    made = counter.wallet.made

    with pytest.raises(InvalidRequest):
        await counter.ask(root, 1_000_000_001)
    with pytest.raises(InvalidRequest):
        await challenged(counter, 1_000_001)

    assert counter.wallet.made == made


async def test_before_the_deposit_its_own_invoice_is_what_is_to_be_paid(counter):
    root, deposit = await counter.open(1_000)

    refusal = await refused(counter.ask(root, 5_000))

    assert refusal.payment == deposit
    assert counter.wallet.made == 1


async def test_a_deposit_that_would_not_do_is_joined_by_a_larger_invoice(counter):
    root, deposit = await counter.open(100)

    refusal = await refused(counter.ask(root, 100_001))
    again = await refused(counter.ask(root, 50_000))

    assert refusal.payment.amount == from_sats(101)
    assert refusal.payment != deposit
    assert again.payment in {deposit, refusal.payment}
    assert counter.wallet.made == 2


@pytest.mark.parametrize(("later_s", "is_reused"), [(839, True), (840, False), (2_000, False)])
async def test_an_invoice_is_reused_while_it_lives_a_minute_more(counter, later_s, is_reused):
    root = await counter.spent_down()
    first = await refused(counter.ask(root, 5_000))

    counter.clock.advance(later_s)
    second = await refused(counter.ask(root, 5_000))

    assert (second.payment == first.payment) is is_reused
    assert (second.challenge.macaroon == first.challenge.macaroon) is is_reused


async def test_a_paid_invoice_is_never_asked_for_again(counter):
    root = await counter.spent_down()
    first = await refused(counter.ask(root, 5_000))
    await counter.wallet.pay(first.payment.payment_hash)
    await counter.spend(root, 100_000)

    second = await refused(counter.ask(root, 5_000))

    assert second.payment != first.payment


# Many at once


async def test_a_storm_before_the_deposit_makes_no_invoice(counter):
    root, deposit = await counter.open(1_000)

    refusals = await asyncio.gather(*(refused(counter.ask(root, 5_000)) for _ in range(AT_ONCE)))

    assert {refusal.payment for refusal in refusals} == {deposit}
    assert len({refusal.challenge.macaroon for refusal in refusals}) == 1
    assert counter.wallet.made == 1
    assert await counter.count("credentials") == 2


async def test_a_storm_on_an_empty_session_makes_one_invoice_whoever_asks(counter):
    root = await counter.spent_down()
    clients = [CLIENT, OTHER_CLIENT]

    refusals = await asyncio.gather(
        *(refused(counter.ask(root, 5_000, client=clients[n % 2])) for n in range(AT_ONCE))
    )

    assert len({refusal.payment for refusal in refusals}) == 1
    assert len({refusal.challenge.macaroon for refusal in refusals}) == 1
    assert counter.wallet.made == 2
    assert len((await counter.session(root)).open_invoices) == 1


async def test_a_storm_of_strangers_at_one_address_opens_one_session(counter):
    challenges = await asyncio.gather(*(challenged(counter) for _ in range(AT_ONCE)))

    assert len({challenge.macaroon for challenge in challenges}) == 1
    assert counter.wallet.made == 1
    assert await counter.count("sessions") == 1


async def test_two_processes_that_make_invoices_at_once_show_one(two_counters):
    root = await two_counters[0].spent_down()
    paces = [counter.wallet.slow_down() for counter in two_counters]
    asking = [
        asyncio.create_task(refused(counter.ask(root, 5_000)))
        for counter in two_counters
        for _ in range(AT_ONCE // 2)
    ]
    for wanted, _ in paces:
        await asyncio.wait_for(wanted.wait(), 5)

    for _, go_on in paces:
        go_on.set()
    refusals = await asyncio.gather(*asking)

    assert len({refusal.payment for refusal in refusals}) == 1
    assert len({refusal.challenge.macaroon for refusal in refusals}) == 1
    assert len((await two_counters[1].session(root)).open_invoices) == 1


async def test_after_the_payment_a_storm_is_served_to_the_last_msat(counter):
    root, deposit = await counter.open(100)
    await counter.wallet.pay(deposit.payment_hash)

    charges = await asyncio.gather(*(counter.spend(root, 1_000) for _ in range(AT_ONCE)))

    assert len(charges) == AT_ONCE
    assert (await counter.session(root)).balance == 0
    await refused(counter.ask(root, 1))


# Whoever has paid


async def test_a_deposit_that_was_paid_is_found_by_the_first_spend(counter):
    root, deposit = await counter.open()
    await counter.wallet.pay(deposit.payment_hash)
    assert (await counter.session(root)).state == "awaiting_deposit"

    await counter.ask(root, 5_000)

    assert (await counter.session(root)).state == "active"


async def test_a_top_up_that_was_paid_is_found_by_the_next_spend(counter):
    root = await counter.spent_down()
    bill = await counter.core.desk.sessions.top_up("me", root, 100, client=CLIENT)
    await counter.wallet.pay(bill.payment_hash)

    assert (await counter.ask(root, 100_000)).amount == 100_000


async def test_a_payment_that_does_not_suffice_is_counted_before_more_is_asked(counter):
    root, deposit = await counter.open(1_000)
    await counter.wallet.pay(deposit.payment_hash)

    refusal = await refused(counter.ask(root, 1_500_000))

    assert refusal.payment.amount == from_sats(500)
    assert refusal.shortage.balance == 1_000_000


async def test_with_a_preimage_that_the_wallet_does_not_know_it_is_never_402(counter):
    root, deposit = await counter.open()
    preimage = counter.wallet.preimage_of(deposit.payment_hash)
    counter.wallet.look_lasts_s = 2.5
    began_s = counter.clock.monotonic()

    with pytest.raises(WalletUnavailable):
        await counter.ask(counter.bearer(root.token.raw, preimage), 5_000)

    assert counter.clock.monotonic() - began_s >= 5
    assert counter.wallet.made == 1


async def test_a_payment_that_the_wallet_gets_to_know_meanwhile_is_served(counter):
    root, deposit = await counter.open()
    preimage = counter.wallet.preimage_of(deposit.payment_hash)
    waiting = asyncio.create_task(counter.ask(counter.bearer(root.token.raw, preimage), 5_000))
    await asyncio.wait_for(counter.wallet.looked.wait(), 5)

    await counter.wallet.pay(deposit.payment_hash)
    await counter.book(deposit)

    assert (await asyncio.wait_for(waiting, 5)).amount == 5_000


async def test_a_preimage_of_what_was_paid_and_spent_is_asked_for_more(counter):
    root, deposit = await counter.open(100)
    preimage = bytes.fromhex(await counter.wallet.pay(deposit.payment_hash))
    bearer = counter.bearer(root.token.raw, preimage)
    await counter.spend(bearer, 100_000)

    refusal = await refused(counter.ask(bearer, 5_000))

    assert refusal.payment.purpose == "topup"


async def test_a_preimage_counts_however_many_invoices_are_open_beside_it(counter):
    root, deposit = await counter.open()
    preimage = counter.wallet.preimage_of(deposit.payment_hash)
    for _ in range(5):
        counter.clock.advance(1)
        await counter.core.desk.sessions.top_up("me", root, 100, client=CLIENT)
    counter.wallet.look_lasts_s = 2.5

    with pytest.raises(WalletUnavailable):
        await counter.ask(counter.bearer(root.token.raw, preimage), 5_000)


async def test_a_deposit_is_found_however_many_invoices_are_open_beside_it(counter):
    root, deposit = await counter.open()
    for _ in range(5):
        counter.clock.advance(1)
        await counter.core.desk.sessions.top_up("me", root, 100, client=CLIENT)

    await counter.wallet.pay(deposit.payment_hash)

    assert (await counter.ask(root, 5_000)).amount == 5_000


async def test_a_wrong_preimage_is_no_credential(counter):
    root, _ = await counter.open()

    with pytest.raises(Unauthorized):
        await counter.ask(counter.bearer(root.token.raw, bytes(32)), 5_000)


@pytest.mark.parametrize("is_active", [False, True])
async def test_a_wallet_that_does_not_say_is_a_503_and_nothing_is_made(counter, is_active):
    root, _ = await counter.open(100)
    if is_active:
        root = await counter.spent_down()
        await refused(counter.ask(root, 5_000))
    counter.wallet.mood = "silent"
    made = counter.wallet.made

    with pytest.raises(WalletUnavailable):
        await counter.ask(root, 5_000)

    assert counter.wallet.made == made


async def test_what_one_invoice_proves_counts_though_another_is_unknown(counter):
    root, deposit = await counter.open(100)
    bill = await counter.core.desk.sessions.top_up("me", root, 100, client=CLIENT)
    await counter.wallet.pay(deposit.payment_hash)
    counter.wallet.moods[bill.payment_hash] = "silent"

    assert (await counter.ask(root, 5_000)).amount == 5_000


async def test_a_wallet_that_makes_no_invoice_leaves_nothing_half_made(counter):
    root = await counter.spent_down()
    before = await counter.count("credentials"), await counter.count("sessions")
    counter.wallet.is_down = True

    with pytest.raises(WalletUnavailable):
        await counter.ask(root, 5_000)
    with pytest.raises(WalletUnavailable):
        await challenged(counter)

    assert (await counter.count("credentials"), await counter.count("sessions")) == before


# What paying does not cure


async def test_money_that_running_requests_hold_asks_for_no_payment(counter):
    root = await counter.fill(100)
    await counter.ask(root, 100_000)
    made = counter.wallet.made

    with pytest.raises(RateLimited):
        await counter.ask(root, 5_000)

    assert counter.wallet.made == made


@pytest.mark.parametrize(
    "caveat", ["max_request_msat=4999", "budget_msat=4999;id=0123456789abcdef"]
)
async def test_a_limit_of_the_token_is_no_reason_to_pay(counter, caveat):
    root = await counter.spent_down()
    made = counter.wallet.made

    with pytest.raises(Forbidden):
        await counter.ask(counter.narrowed(root, caveat), 5_000)

    assert counter.wallet.made == made


async def test_a_closed_session_is_not_asked_to_pay(counter):
    root, _ = await counter.open()
    await counter.core.desk.sessions.close_session("me", root)

    with pytest.raises(WrongState):
        await counter.ask(root, 5_000)


async def test_while_the_server_stops_nothing_is_sold(counter):
    root = await counter.fill()
    counter.core.gate.close()

    with pytest.raises(ShuttingDown):
        await counter.ask(root, 5_000)
    with pytest.raises(ShuttingDown):
        await challenged(counter)


async def test_who_leaves_too_many_invoices_unpaid_gets_no_more(counter):
    root = await counter.spent_down()
    for _ in range(10):
        await counter.core.desk.sessions.top_up("me", root, 100, client=CLIENT)

    with pytest.raises(RateLimited):
        await counter.ask(root, 500_000)
    with pytest.raises(RateLimited):
        await challenged(counter, 5_000)
    await challenged(counter, 5_000, client=OTHER_CLIENT)


async def test_an_invoice_that_has_expired_counts_no_more(counter):
    root = await counter.spent_down()
    for _ in range(10):
        await counter.core.desk.sessions.top_up("me", root, 100, client=CLIENT)

    counter.clock.advance(900)

    await refused(counter.ask(root, 500_000))


# Challenges


async def test_a_challenge_that_is_paid_opens_a_session(counter):
    challenge = await challenged(counter, 2_000)

    bearer = await counter.paid(challenge)
    await counter.ask(bearer, 5_000)

    session = await counter.session(bearer)
    assert (session.state, session.balance) == ("active", 2_000_000)
    assert challenge.invoice.purpose == "deposit"
    assert bearer.token.payment_hash.hex() == challenge.invoice.payment_hash


async def test_a_challenge_asks_for_the_usual_deposit_at_least(counter):
    assert (await challenged(counter, 1)).invoice.amount == from_sats(1_000)
    assert (await challenged(counter, 1_001)).invoice.amount == from_sats(1_001)


async def test_a_challenge_alone_opens_nothing(counter):
    challenge = await challenged(counter)
    await counter.wallet.pay(challenge.invoice.payment_hash)

    for bearer in (
        counter.bearer(challenge.macaroon),
        counter.bearer(challenge.macaroon, None, "rights=read"),
        counter.bearer(challenge.macaroon, bytes(32)),
    ):
        with pytest.raises(Unauthorized):
            await counter.ask(bearer, 5_000)


@pytest.mark.parametrize(("later_s", "is_reused"), [(59.999, True), (60, False)])
async def test_a_challenge_is_handed_out_again_for_a_minute(counter, later_s, is_reused):
    first = await challenged(counter)

    counter.clock.advance(later_s)
    second = await challenged(counter)

    assert (first == second) is is_reused


async def test_a_challenge_is_handed_out_again_to_the_same_client_only(counter):
    mine = await challenged(counter)
    other = await challenged(counter, client=OTHER_CLIENT)

    assert mine.invoice != other.invoice
    assert await challenged(counter) == mine


async def test_a_challenge_that_is_too_small_is_not_handed_out_again(counter):
    small = await challenged(counter, 1_000)
    large = await challenged(counter, 3_000)

    assert large.invoice.amount == from_sats(3_000)
    assert await challenged(counter, 2_000) == large
    assert small != large


async def test_a_paid_challenge_is_handed_out_to_nobody(counter):
    first = await challenged(counter)
    bearer = await counter.paid(first)

    second = await challenged(counter)

    assert second.invoice != first.invoice
    assert second.macaroon != first.macaroon
    assert (await counter.session(bearer)).balance == from_sats(1_000)


async def test_a_challenge_of_which_the_wallet_does_not_say_whether_it_is_paid_is_kept_back(
    counter,
):
    await challenged(counter)
    counter.wallet.mood = "silent"

    with pytest.raises(WalletUnavailable):
        await challenged(counter)


async def test_a_session_that_was_opened_by_hand_is_no_challenge(counter):
    _, deposit = await counter.open(1_000)

    assert (await challenged(counter)).invoice != deposit


# A token that may not top up


async def test_without_the_right_to_top_up_the_challenge_opens_another_session(counter):
    root = await counter.fill(1_000)
    weak = counter.narrowed(root, "rights=read,spend")

    refusal = await refused(counter.ask(weak, 1_250_001))
    other = await counter.paid(refusal.challenge)
    await counter.ask(other, 1_250_001)

    assert refusal.payment is None
    assert refusal.shortage.needed == 1_250_001
    assert refusal.challenge.invoice.purpose == "deposit"
    assert (await counter.session(other)).balance == from_sats(1_251)
    assert (await counter.session(root)).balance == from_sats(1_000)


async def test_that_challenge_asks_for_the_usual_deposit_at_least(counter):
    root = await counter.spent_down()

    refusal = await refused(counter.ask(counter.narrowed(root, "rights=spend"), 5_000))

    assert refusal.challenge.invoice.amount == from_sats(1_000)
    assert refusal.challenge == await challenged(counter, 1)


# The child that a top-up's challenge carries


async def test_paying_the_challenge_makes_a_child_that_spends_the_same_session(counter):
    root = await counter.spent_down()
    refusal = await refused(counter.ask(root, 5_000))

    child = await counter.paid(refusal.challenge)
    await counter.spend(child, 60_000)
    await counter.spend(root, 40_000)

    assert (await counter.session(child)).session_id == (await counter.session(root)).session_id
    assert (await counter.session(root)).balance == 0


async def test_the_child_needs_its_preimage_and_the_old_token_needs_none(counter):
    root = await counter.spent_down()
    refusal = await refused(counter.ask(root, 5_000))
    await counter.paid(refusal.challenge)

    with pytest.raises(Unauthorized):
        await counter.ask(counter.bearer(refusal.challenge.macaroon), 5_000)
    await counter.ask(root, 5_000)


async def test_the_child_has_the_caveats_of_the_token_that_asked(counter):
    root = await counter.spent_down()
    limits = ("max_request_msat=7000", "budget_msat=8000;id=0123456789abcdef")
    narrow = counter.narrowed(root, *limits)
    refusal = await refused(counter.ask(narrow, 5_000))

    child = await counter.paid(refusal.challenge)
    await counter.spend(child, 5_000)

    assert child.token.caveats.texts == limits
    with pytest.raises(Forbidden):
        await counter.ask(child, 4_000)
    with pytest.raises(Forbidden):
        await counter.ask(narrow, 4_000)


async def test_a_copy_that_was_challenged_reaches_its_child_and_not_its_parents(counter):
    root = await counter.spent_down()
    await refused(counter.ask(root, 5_000))
    copy = counter.narrowed(root, "rights=read,spend,topup,manage")
    refusal = await refused(counter.ask(copy, 5_000))

    reached = await counter.core.desk.sessions.tokens("me", copy, before=None, limit=10)

    child = counter.bearer(refusal.challenge.macaroon)
    assert [token.token_id for token in reached] == [child.token.token_id]


async def test_two_tokens_that_lack_money_get_one_invoice_and_two_children(counter):
    root = await counter.spent_down()
    narrow = counter.narrowed(root, "max_request_msat=7000")

    one = await refused(counter.ask(root, 5_000))
    other = await refused(counter.ask(narrow, 5_000))

    assert one.payment == other.payment
    assert to_l402(one.challenge.macaroon) != to_l402(other.challenge.macaroon)
    for refusal, caveats in ((one, 0), (other, 1)):
        child = counter.bearer(
            refusal.challenge.macaroon, counter.wallet.preimage_of(one.payment.payment_hash)
        )
        assert child.token.caveats.count == caveats


async def test_a_token_revoked_while_its_invoice_is_made_gets_no_child(counter):
    root = await counter.spent_down()
    minted = await counter.core.desk.sessions.make_token("me", root, ALL_BUT_MANAGE)
    child = counter.bearer(minted.macaroon)
    wanted, go_on = counter.wallet.slow_down()
    asking = asyncio.create_task(counter.ask(child, 5_000))
    await asyncio.wait_for(wanted.wait(), 5)

    await counter.core.desk.sessions.revoke_token("me", root, minted.name)
    before = await counter.count("credentials")
    go_on.set()

    with pytest.raises(Unauthorized):
        await asking
    assert await counter.count("credentials") == before
