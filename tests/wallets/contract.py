"""What every wallet adapter keeps of `core.wallets.port.Wallet`: one set of facts for all of them.

A test file for an adapter has a `world` fixture that gives a `World` and calls each fact:

    @pytest.mark.parametrize("fact", contract.FACTS, ids=contract.name_of)
    async def test_the_contract_of_wallets(world, fact):
        await fact(world)

A fact waits for events with a limit and counts on nobody else using the wallet meanwhile.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from core.values import bolt11
from core.values.bolt11 import Network
from core.values.money import from_sats
from core.wallets.port import NotPaid, Paid, Settlement, Unknown, Wallet, WalletInvoice

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class World:
    """A wallet, and a customer who pays its invoices."""

    wallet: Wallet
    network: Network
    pay: Callable[[WalletInvoice], Awaitable[object]]  # a second time: refused or no effect


async def an_invoice_says_what_was_asked(world: World) -> None:
    before_s = int(time.time())

    made = await make(world, sats=123, expiry_s=600)

    read = bolt11.decode(made.bolt11)
    assert read.network == world.network
    assert read.amount == made.amount == from_sats(123)
    assert read.payment_hash == made.payment_hash
    assert read.expires_at_ms == made.expires_at_ms
    assert before_s - 60 <= read.expires_at_ms // 1000 - 600 <= time.time() + 60
    assert read.description is not None
    assert "two eggs" in read.description


async def every_invoice_has_a_hash_of_its_own(world: World) -> None:
    first, second = await make(world), await make(world)

    assert first.payment_hash != second.payment_hash


async def an_unpaid_invoice_is_not_paid(world: World) -> None:
    made = await make(world)

    assert await world.wallet.look_up(made.payment_hash) == NotPaid()


async def a_paid_invoice_is_paid_with_its_amount_and_preimage(world: World) -> None:
    made = await make(world, sats=77)

    await world.pay(made)

    answer = await world.wallet.look_up(made.payment_hash)
    assert isinstance(answer, Paid)
    assert answer.amount == from_sats(77)
    assert opens(answer.preimage, made)


async def paying_one_invoice_leaves_another_unpaid(world: World) -> None:
    paid, open_one = await make(world), await make(world)

    await world.pay(paid)

    assert await world.wallet.look_up(open_one.payment_hash) == NotPaid()


async def an_unknown_hash_proves_nothing(world: World) -> None:
    assert isinstance(await world.wallet.look_up("00" * 32), Unknown)


async def a_payment_raises_the_balance_once(world: World) -> None:
    made = await make(world, sats=50)
    before = await world.wallet.balance()

    await world.pay(made)
    await world.pay(made)

    assert await world.wallet.balance() == before + from_sats(50)


async def a_payment_is_heard_while_listening(world: World) -> None:
    made = await make(world, sats=31)

    async with listening(world) as heard:
        await caught_up(heard)
        await world.pay(made)
        settlement = await of(made, heard)

    assert settlement.amount == from_sats(31)
    assert settlement.extra["kind"] == "test"
    assert settlement.extra["job"] == "job_1"
    assert opens(settlement.preimage, made)


async def a_payment_made_while_nobody_listened_is_caught_up(world: World) -> None:
    made = await make(world)
    await world.pay(made)

    async with listening(world) as heard:
        settlement = await of(made, heard)

    assert settlement.amount == made.amount


async def all_of_many_payments_are_heard(world: World) -> None:
    made = [await make(world) for _ in range(5)]
    missing = {invoice.payment_hash for invoice in made}

    async with listening(world) as heard:
        await caught_up(heard)
        await asyncio.gather(*(world.pay(invoice) for invoice in made))
        while missing:
            settlement = await anext(heard)
            missing -= {settlement.payment_hash} if settlement else set()


async def a_listener_is_told_when_it_has_caught_up(world: World) -> None:
    made = await make(world)
    await world.pay(made)

    async with listening(world) as heard:
        await of(made, heard)
        await caught_up(heard)


async def what_came_in_is_listed_with_its_marks(world: World) -> None:
    paid, unpaid = await make(world, sats=45), await make(world)
    await world.pay(paid)

    listed = await world.wallet.movements(since_ms=0)

    [moved] = [one for one in listed if one.payment_hash == paid.payment_hash]
    assert (moved.direction, moved.amount, moved.fee) == ("in", from_sats(45), 0)
    assert moved.bolt11 == paid.bolt11
    assert (moved.extra["kind"], moved.extra["job"]) == ("test", "job_1")
    assert unpaid.payment_hash not in {one.payment_hash for one in listed}


async def what_came_in_long_ago_is_not_listed_again(world: World) -> None:
    paid = await make(world)
    await world.pay(paid)

    listed = await world.wallet.movements(since_ms=int(time.time() * 1000) + 3_600_000)

    assert [one for one in listed if one.direction == "in"] == []


FACTS: tuple[Callable[[World], Awaitable[None]], ...] = (
    an_invoice_says_what_was_asked,
    every_invoice_has_a_hash_of_its_own,
    an_unpaid_invoice_is_not_paid,
    a_paid_invoice_is_paid_with_its_amount_and_preimage,
    paying_one_invoice_leaves_another_unpaid,
    an_unknown_hash_proves_nothing,
    a_payment_raises_the_balance_once,
    a_payment_is_heard_while_listening,
    a_payment_made_while_nobody_listened_is_caught_up,
    all_of_many_payments_are_heard,
    a_listener_is_told_when_it_has_caught_up,
    what_came_in_is_listed_with_its_marks,
    what_came_in_long_ago_is_not_listed_again,
)


def name_of(fact: Callable[[World], Awaitable[None]]) -> str:
    return fact.__name__


async def make(world: World, *, sats: int = 21, expiry_s: int = 900) -> WalletInvoice:
    return await world.wallet.create_invoice(
        from_sats(sats), memo="two eggs", expiry_s=expiry_s, extra={"kind": "test", "job": "job_1"}
    )


@asynccontextmanager
async def listening(world: World) -> AsyncIterator[AsyncIterator[Settlement | None]]:
    """A listener of its own, closed again; everything inside has a limit of time."""
    heard = world.wallet.settlements()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield heard
    finally:
        if isinstance(heard, AsyncGenerator):
            await heard.aclose()


async def caught_up(heard: AsyncIterator[Settlement | None]) -> None:
    while await anext(heard) is not None:
        pass


async def of(made: WalletInvoice, heard: AsyncIterator[Settlement | None]) -> Settlement:
    while True:
        settlement = await anext(heard)
        if settlement is not None and settlement.payment_hash == made.payment_hash:
            return settlement


def opens(preimage: str | None, made: WalletInvoice) -> bool:
    """Whether this is the preimage of the invoice, where the wallet tells one."""
    if preimage is None:
        return True
    return hashlib.sha256(bytes.fromhex(preimage)).hexdigest() == made.payment_hash
