"""The points of a payout at which the program is killed, each reached by watching from outside.

One payout at a time stands at a point, since the payer does not go on before all that it has taken
is answered.
"""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.values import bolt11
from core.values.bech32 import decode, to_octets
from tests.process.creditor import Creditor, Drawer, cut_off
from tests.process.gate import Held
from tests.process.world import World, writes_held
from tests.simulator.receiver import SimulatedReceiver

_RESERVE = b"GET /api/v1/payments/fee-reserve"
_PAY = b"POST /api/v1/payments"


@dataclass(frozen=True, slots=True)
class PayoutPoint:
    """Where it is held; `cross` lets it go on while the program cannot write."""

    name: str
    hold: Callable[[World, Creditor], Held] | None
    is_crossed: bool = False


def _at_the_door(world: World, creditor: Creditor) -> Held:
    """Committed, and the customer does not know."""
    return world.front.hold_answer(creditor.path.encode())


def _before_the_reserve(world: World, creditor: Creditor) -> Held:
    return world.wallet_gate.hold_request(_RESERVE, creditor.named[-1].encode())


def _after_the_reserve(world: World, creditor: Creditor) -> Held:
    return world.wallet_gate.hold_answer(_RESERVE, creditor.named[-1].encode())


def _before_the_call(world: World, creditor: Creditor) -> Held:
    return world.wallet_gate.hold_request(_PAY, creditor.named[-1].encode())


def _after_the_call(world: World, creditor: Creditor) -> Held:
    return world.wallet_gate.hold_answer(_PAY, creditor.named[-1].encode())


POINTS = (
    PayoutPoint("asked, not committed", None, is_crossed=True),
    PayoutPoint("committed, no reply", _at_the_door),
    PayoutPoint("taken, reserve not asked", _before_the_reserve),
    PayoutPoint("reserve answered, not read", _after_the_reserve),
    PayoutPoint("reserve read, intent not committed", _after_the_reserve, is_crossed=True),
    PayoutPoint("intent committed, call not arrived", _before_the_call),
    PayoutPoint("call answered, not read", _after_the_call),
    PayoutPoint("call read, outcome not committed", _after_the_call, is_crossed=True),
)
KINDS: dict[str, type[Creditor]] = {"job": Creditor, "session": Drawer}


async def kill_payout_at(world: World, point: PayoutPoint, kind: type[Creditor]) -> None:
    """One kill while a payout stands at this point; then it arrives, once."""
    creditor = kind(world.program, world.pay, world.new_invoice)
    await creditor.become_one()
    await creditor.name_one()
    held = point.hold(world, creditor) if point.hold else None
    asking: asyncio.Task[None] | None = None
    if held is not None:
        asking = asyncio.create_task(cut_off(creditor.ask(url=world.front.url)))
        await held.reached()
    async with writes_held(world.database) if point.is_crossed else nullcontext():
        if held is None:
            asking = asyncio.create_task(cut_off(creditor.ask(url=world.front.url)))
            await world.program.settle_down()
        elif point.is_crossed:
            held.let_go()
            await held.passed()
            await world.program.settle_down()
        world.program.kill()
    if held is not None:
        held.cut()
    assert asking is not None
    await asking

    await world.program.start()

    await creditor.be_paid()
    assert outflows(world, creditor) == 1, point.name


async def kill_while_an_address_is_asked(world: World, receiver: SimulatedReceiver) -> None:
    """One kill between the two calls to the address that an order named; it is paid, once."""
    creditor = Creditor(world.program, world.pay, world.new_invoice)
    stands, usual = asyncio.Event(), receiver.instead_of_invoice

    async def stand(_request: object) -> None:
        stands.set()
        await asyncio.Event().wait()

    receiver.instead_of_invoice = stand  # type: ignore[assignment]
    await creditor.become_one(refundTo=receiver.address)
    await stands.wait()
    world.program.kill()
    receiver.instead_of_invoice = usual

    await world.program.start()

    await creditor.hears_of(lambda refunds: any(one["state"] == "paid" for one in refunds))


async def kill_after_a_claim(world: World) -> None:
    """One kill after a wallet's claim was committed and before it heard so; it is paid, once."""
    creditor = Creditor(world.program, world.pay, world.new_invoice)
    await creditor.become_one()
    [due] = await creditor.look()
    k1 = k1_of(due["claimLnurl"])
    invoice = await creditor.name_one()
    path = f"/lnurl/callback?k1={k1}&pr={invoice}"
    held = world.front.hold_answer(b"/lnurl/callback", k1.encode())
    claim = world.program.ask("GET", path, url=world.front.url)
    asking = asyncio.create_task(cut_off(claim))
    await held.reached()
    world.program.kill()
    held.cut()
    await asking

    await world.program.start()

    again = await world.program.get(f"/lnurl/callback?k1={k1}&pr={await creditor.name_one()}")
    assert again.json()["status"] == "ERROR"
    await creditor.hears_of(lambda refunds: any(one["state"] == "paid" for one in refunds))
    assert outflows(world, creditor) == 1


def k1_of(link: str) -> str:
    """What a wallet reads in a link."""
    return urlsplit(to_octets(decode(link, length_max=2_000)[1]).decode()).path.rpartition("/")[2]


def outflows(world: World, creditor: Creditor) -> int:
    """How many payments have left for her invoices."""
    return sum(
        len(world.lnbits.books.outflows_msat(bolt11.decode(text).payment_hash))
        for text in creditor.named
    )
