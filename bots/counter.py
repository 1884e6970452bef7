"""The counter: asks for the money of a request, and starts what is paid for.

What a request needs is first looked for on the balance. Every invoice fills the balance, too, so
that a payment is never lost, whenever it comes: the request goes on if it still waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from bots.cards import Cards, Payable, price_of
from bots.scene import Scene, Shop
from core.books.inbox import Event
from core.books.jobs import Job
from core.books.metering import MoneyMissing
from core.books.requests import BillKind, PersonBill, Request
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import Billed, Effect, Remind, Reply, Told
from core.values.errors import Paused, WalletUnavailable
from core.values.mail import Letter
from core.values.money import Msat, charge_sats, from_sats

INVOICE_S = 3.0  # nobody waits longer for a card; it comes later then
AGAIN_MS, PAUSED_MS = 5_000, 60_000
EXPIRED = "expired"  # reminder: an invoice has run out
INVOICE = "invoice"  # reminder: an invoice could not be made
PROGRESS = "progress"  # reminder: the work takes long
UNREACHED = "unreached"  # reminder: a result may not have reached the person where it was asked for
WAITED = "waited"  # reminder: nobody has paid for the check within its time
PROGRESS_MS, UNREACHED_MS = 300_000, 3_600_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Billing:
    """An invoice that was made to be shown, and what is to be written when it is."""

    payable: Payable
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """Bills and starts requests."""

    desk: PeopleDesk
    shop: Shop
    pay_url: Callable[[str], str | None]

    def cards(self, scene: Scene, request: Request) -> Cards:
        """What draws this request's cards; its buttons are those of its version."""
        return Cards(self.shop, scene.voice, scene.place, request, request.version)

    async def start(
        self, scene: Scene, request: Request, *, max_price_sats: int, reply: Reply
    ) -> bool:
        """Have a request checked, paid from the balance; False where that does not cover it."""
        return await _is_covered(
            self.desk.start(
                scene.mail,
                scene.view,
                request,
                max_price_sats=max_price_sats,
                reply=_started(request, reply),
            )
        )

    async def start_paid(
        self, scene: Scene, request: Request, *, max_price_sats: int, reply: Reply
    ) -> bool:
        """The same, now that the request's invoice is paid: nothing but the money is in the way.

        Raises WrongState, RateLimited.
        """
        return await _is_covered(
            self.desk.start_paid(
                scene.mail,
                scene.view,
                request,
                max_price_sats=max_price_sats,
                reply=_started(request, reply),
            )
        )

    async def accept(
        self, scene: Scene, request: Request, *, reply: Callable[[Job], Reply]
    ) -> bool:
        """Have the work done, paid from the balance; False where that does not cover it.

        Raises WrongState.
        """
        assert request.job_id is not None, "work belongs to a job"

        def accepted(job: Job) -> Reply:
            told = Told(request, job.state)
            return reply(job) + Reply((), (told, self.progress(request, scene.now_ms)))

        return await _is_covered(
            self.desk.accept(scene.mail, scene.view, request.job_id, reply=accepted)
        )

    async def bill_check(
        self, scene: Scene, request: Request, *effects: Effect, is_redrawn: bool = False
    ) -> Reply:
        """The card of the check, with an invoice over what the balance lacks."""
        kind: BillKind = "once" if request.once_sats else "check"
        needed = from_sats(request.once_sats) if request.once_sats else self.shop.check_fee
        amount = _missing(needed, scene.view.free)
        try:
            billing = await self._bill_request(scene, request, kind, amount)
        except WalletUnavailable as fault:
            return self._later(scene, request, fault, effects)
        card = self.cards(scene, request).check(billing.payable)
        letter = scene.place.redrawn(card.content, card.slot or "") if is_redrawn else card
        return Reply((letter,), (*effects, *billing.effects))

    async def price(self, scene: Scene, request: Request, job: Job, *effects: Effect) -> Reply:
        """The card of the price: one press where the balance covers it, else an invoice."""
        cards, price = self.cards(scene, request), price_of(job)
        free = scene.view.free
        if free >= price:
            return Reply((cards.price_from_balance(job, balance=free),), effects)
        try:
            billing = await self._bill_request(scene, request, "price", _missing(price, free))
        except WalletUnavailable as fault:
            return self._later(scene, request, fault, effects)
        letter = cards.price(job, billing.payable, balance=free)
        return Reply((letter,), (*effects, *billing.effects))

    async def bill(
        self, scene: Scene, kind: BillKind, amount: Msat, *, what: str, ref: str = ""
    ) -> Billing:
        """An invoice that fills the balance, for `what` it says; `ref` is a request's code.

        Raises WalletUnavailable, Paused, ShuttingDown.
        """
        memo = f"{self.shop.name} {what}"
        try:
            async with asyncio.timeout(INVOICE_S):
                made = await self.desk.make_invoice(scene.session_id, amount, memo=memo, kind=kind)
        except TimeoutError:
            raise WalletUnavailable(f"no invoice within {INVOICE_S} s") from None
        bill = PersonBill(
            payment_hash=made.payment_hash,
            session_id=scene.session_id,
            kind=kind,
            ref=ref,
            peer=scene.place.peer,
            bolt11=made.bolt11,
            amount=made.amount,
            expires_at_ms=made.expires_at_ms,
        )
        payable = Payable(bill, self.pay_url(bill.payment_hash))
        expiry = Remind(EXPIRED, bill.payment_hash, bill.expires_at_ms)
        return Billing(payable, (Billed(made, bill), expiry))

    def progress(self, request: Request, now_ms: int) -> Remind:
        """Have the person told when the work takes long."""
        return Remind(PROGRESS, request.code, now_ms + PROGRESS_MS)

    def unreached(self, request: Request, now_ms: int) -> Remind:
        """Have it seen to that a result reaches the person."""
        return Remind(UNREACHED, request.code, now_ms + UNREACHED_MS)

    async def _bill_request(
        self, scene: Scene, request: Request, kind: BillKind, amount: Msat
    ) -> Billing:
        what = f"{'check' if kind == 'check' else 'work'} #{request.code}"
        at = scene.at(request.peer)
        try:
            return await self.bill(at, kind, amount, what=what, ref=request.code)
        except Paused as pause:
            if not isinstance(scene.mail.item, Event):
                raise
            # The person has asked before, and is not kept waiting for an answer to all the rest.
            raise WalletUnavailable(pause.reason) from pause

    def _later(
        self, scene: Scene, request: Request, fault: WalletUnavailable, effects: tuple[Effect, ...]
    ) -> Reply:
        """No invoice can be made now: say so once, and try again."""
        log.warning("invoice for a request not made", reason=fault.reason)
        is_paused = isinstance(fault.__cause__, Paused)
        again_at_ms = scene.now_ms + (PAUSED_MS if is_paused else AGAIN_MS)
        again = Remind(INVOICE, request.code, again_at_ms)
        down: tuple[Letter, ...] = ()
        if not scene.is_reminded:
            down = (scene.note("pay.down", code=request.code, slot=f"{request.code}:down"),)
        return Reply(down, (*effects, again))


async def _is_covered(paying: Awaitable[None]) -> bool:
    try:
        await paying
    except MoneyMissing:
        return False
    return True


def _started(request: Request, reply: Reply) -> Callable[[Job], Reply]:
    return lambda _: reply + Reply((), (Told(request, "evaluating"),))


def _missing(needed: Msat, free: Msat) -> Msat:
    """What an invoice has to be over, in whole satoshi."""
    return from_sats(max(1, charge_sats(Msat(needed - free))))
