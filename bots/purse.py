"""A person's money: what is there, putting more in, taking it out."""

from dataclasses import dataclass

import structlog

from bots import questions
from bots.cards import bill_of, state_of, withdraw_button
from bots.counter import Counter
from bots.scene import Place, Scene
from core.books.refunds import Refund
from core.books.requests import BillKind, PersonBill, Request
from core.books.talks import Prompt
from core.desk import withdrawals
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import Answered, MoveCard, PaidBill, Reply
from core.desk.withdrawals import Able, Cannot
from core.values.errors import InvalidRequest, MoreThanFree, WalletUnavailable
from core.values.mail import Button, Letter, Note, Row
from core.values.money import MSAT_PER_SAT, Msat, from_sats

USUAL_DEPOSIT_SATS = 1_000
DEPOSITS_SATS = (500, 2_000, 5_000)
DEPOSIT_SLOT = "deposit"
SLOW_MS = 60_000  # who waited longer for a payment's end is told, not only shown
TARGET_LENGTH = 40  # of an invoice, where it is named

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Purse:
    """Handles a person's money. None says that the mail is closed already."""

    counter: Counter

    @property
    def desk(self) -> PeopleDesk:
        """Where all of it is done."""
        return self.counter.desk

    def show(self, scene: Scene) -> Reply:
        """What is there, and what is open."""
        held = scene.view.account.held
        lines = [self._line(scene, request) for request in scene.view.open_requests]
        text = scene.voice.say(
            "balance.view",
            balance=scene.balance,
            held=scene.voice.say("balance.held", held=scene.voice.has(held)) if held else "",
            open_list="\n".join(lines),
        )
        topup = scene.voice.say("btn.topup", amount=scene.voice.sat(USUAL_DEPOSIT_SATS))
        row: Row = (Button(topup, "topup", str(USUAL_DEPOSIT_SATS)),)
        if scene.view.free:
            row = (*row, withdraw_button(scene.voice))
        hint = scene.voice.say("hint.topup")
        return Reply((scene.place.letter(Note(text.strip(), buttons=(row,), hint=hint)),))

    async def top_up(self, scene: Scene, sats: int | None) -> Reply:
        """An invoice that fills the balance."""
        return await self.deposit(scene, "topup", sats or USUAL_DEPOSIT_SATS, key="topup.card")

    async def deposit(
        self, scene: Scene, kind: BillKind, sats: int, *, key: str, is_redrawn: bool = False
    ) -> Reply:
        """The card of a deposit over so much; `key` is its text."""
        if (refusal := scene.refusal) is not None:
            return Reply((refusal,))
        least, most = self.counter.shop.deposit_min_sats, self.counter.shop.deposit_max_sats
        if not least <= sats <= most:
            low, high = scene.voice.sat(least), scene.voice.sat(most)
            return Reply((scene.note("topup.bad", min=low, max=high),))
        try:
            billing = await self.counter.bill(scene, kind, from_sats(sats), what="deposit")
        except WalletUnavailable as fault:
            log.warning("deposit invoice not made", reason=fault.reason)
            return Reply((scene.note("pay.deposit_down"),))
        text = scene.voice.say(
            key,
            amount=scene.voice.sat(sats),
            avg=scene.voice.costs(self.counter.shop.usual_answer),
            invoice="{invoice}",
            minutes=self.counter.shop.invoice_expiry_s // 60,
        )
        verb = "fund" if kind == "chat" else "topup"
        others = tuple(
            Button(scene.voice.sat(other), verb, str(other))
            for other in DEPOSITS_SATS
            if other != sats and least <= other <= most
        )
        hint = scene.voice.say("hint.topup_amount")
        content = bill_of(scene.voice, text, billing.payable, others, hint)
        place = scene.place
        letter = (place.redrawn if is_redrawn else place.letter)(content, slot=DEPOSIT_SLOT)
        return Reply((letter,), billing.effects)

    def paid(self, scene: Scene, bill: PersonBill | None, amount: Msat) -> Reply:
        """Money came that is for no request."""
        text = scene.voice.say(
            "card.paid_chat", amount=scene.voice.has(amount), balance=scene.balance
        )
        note = Note(text, is_settled=True)
        if bill is None:  # paid for over HTTP, with a token of the same balance
            return Reply((scene.place.letter(note),))
        card = scene.place.redrawn(note, DEPOSIT_SLOT)
        return Reply((card,), (PaidBill(bill.payment_hash),))

    async def expired(self, scene: Scene, bill: PersonBill) -> Reply:
        """A deposit's invoice ran out: its card says so, unless a newer one stands there."""
        newest = await self.desk.bills_of(scene.session_id, "")
        shown_there = [other for other in newest if other.peer == bill.peer]
        if shown_there[0].payment_hash != bill.payment_hash:
            return Reply()
        sats = bill.amount // MSAT_PER_SAT
        label = scene.voice.say("btn.new_invoice")
        verb = "fund" if bill.kind == "chat" else "topup"
        button = Button(label, verb, str(sats))
        text, hint = scene.voice.say("card.deposit_expired"), scene.voice.say("hint.topup")
        note = Note(text, buttons=((button,),), hint=hint)
        return Reply((scene.at(bill.peer).place.redrawn(note, DEPOSIT_SLOT),))

    async def withdraw(self, scene: Scene, to: str) -> Reply:
        """Somebody wants money back; ask where to, unless that was said."""
        if to:
            return await self.confirm(scene, to)
        most = withdrawals.most(self.desk.payouts, scene.view.free)
        if withdrawals.is_too_small(self.desk.payouts, most):
            return Reply((scene.note("wd.small", balance=scene.balance),))
        text = scene.voice.say(
            "wd.ask",
            max=scene.voice.has(most),
            balance=scene.voice.has(scene.view.free),
            fee=scene.voice.costs(Msat(scene.view.free - most)),
        )
        return Reply((scene.place.letter(Note(text)),), (questions.wait_for(scene, "withdraw"),))

    async def confirm(self, scene: Scene, to: str) -> Reply:
        """A destination was named: ask before anything is sent."""
        free = scene.view.free
        found = await withdrawals.look(self.desk.payouts, to.strip(), free=free)
        match found:
            case Cannot(why):
                return Reply((self._bad(scene, why),))
            case Able(destination, amount, names_amount=names_amount):
                if withdrawals.is_too_small(self.desk.payouts, amount):
                    return Reply((scene.note("wd.small", balance=scene.balance),))
                sats = "" if names_amount else str(amount // MSAT_PER_SAT)
                return _confirmation(scene, destination, amount, sats)

    async def send(self, scene: Scene, prompt: Prompt) -> Reply | None:
        """Somebody said yes: `prompt` holds the destination."""
        to, _, sats = prompt.body.partition("\n")
        peer = scene.place.peer

        def sent(refund: Refund) -> Reply:
            slot = _slot(refund.refund_id)
            note = Note(scene.voice.say("wd.sending", amount=scene.voice.has(refund.amount)))
            moved = MoveCard(peer, questions.slot_of(prompt), slot)
            return Reply((scene.place.passing(note, slot),), (Answered(peer), moved))

        try:
            await self.desk.withdraw(
                scene.mail,
                scene.view,
                to,
                amount_sats=int(sats) if sats else None,
                reply=sent,
            )
        except InvalidRequest as refusal:
            log.info("withdrawal refused", reason=refusal.detail)
            why = "too_high" if isinstance(refusal, MoreThanFree) else "unreachable"
            return Reply((self._bad(scene, why),), (Answered(peer),))
        except WalletUnavailable as fault:
            log.warning("withdrawal not begun", reason=fault.reason)
            return Reply((self._bad(scene, "unreachable"),), (Answered(peer),))
        return None

    async def refunds_moved(self, scene: Scene) -> Reply:
        """Withdrawals of the person have changed: those that ended, or cannot be known yet."""
        letters = []
        for refund in await self.desk.refunds(scene.session_id):
            # Each change is told by mail of its own, written in the same moment.
            if refund.updated_at_ms != scene.mail.at_ms or refund.state in {"due", "sending"}:
                continue
            slot = _slot(refund.refund_id)
            at = await self._where_shown(scene, slot)
            content = Note(self._outcome(scene, refund))
            is_slow = refund.updated_at_ms - refund.created_at_ms > SLOW_MS
            letters.append((at.letter if is_slow else at.redrawn)(content, slot=slot))
        return Reply(tuple(letters))

    async def _where_shown(self, scene: Scene, slot: str) -> Place:
        """Where the person said yes to this; one who asked over HTTP is told where seen last."""
        own = {contact.peer for contact in scene.view.contacts}
        shown_to = (peer for peer in await self.desk.where(slot) if peer in own)
        return scene.at(next(shown_to, scene.place.peer)).place

    def _outcome(self, scene: Scene, refund: Refund) -> str:
        amount, fee = scene.voice.has(refund.amount), scene.voice.costs(refund.fee)
        match refund.state:
            case "paid":
                return scene.voice.say("wd.paid", amount=amount, fee=fee, balance=scene.balance)
            case "unknown":
                return scene.voice.say("wd.unknown", amount=amount)
            case _:
                return scene.voice.say("wd.failed", balance=scene.balance)

    def _bad(self, scene: Scene, why: str) -> Letter:
        most = withdrawals.most(self.desk.payouts, scene.view.free)
        reason = scene.voice.say(f"wd.why.{why}", max=scene.voice.has(most))
        return scene.note("wd.bad", why=reason)

    def _line(self, scene: Scene, request: Request) -> str:
        word = state_of(scene.voice, request)
        return scene.voice.say("balance.line", code=request.code, state=word, amount="").strip()


def _confirmation(scene: Scene, to: str, amount: Msat, sats: str) -> Reply:
    target = to if len(to) <= TARGET_LENGTH else f"{to[:16]}…{to[-8:]}"
    text = scene.voice.say("wd.confirm", amount=scene.voice.has(amount), target=target)
    return questions.ask(scene, "send", text, body=f"{to}\n{sats}", hint="hint.confirm")


def _slot(refund_id: str) -> str:
    """Where a withdrawal stands, once somebody has said yes to it."""
    return f"wd:{refund_id}"
