"""Requests, as the books tell of them: a payment came, a job moved on, time has passed."""

from dataclasses import dataclass, replace

from bots.cards import price_of, withdraw_button
from bots.counter import EXPIRED, INVOICE, PROGRESS, UNREACHED, WAITED, Counter
from bots.purse import Purse
from bots.scene import Scene
from bots.stage import Stage
from core.books.inbox import Event
from core.books.jobs import Job
from core.books.requests import PersonBill, Request
from core.desk.people_reply import DropRequest, NewCard, PaidBill, Reply, Told
from core.values.errors import WrongState
from core.values.mail import Button, Letter
from core.values.money import MSAT_PER_SAT, Msat

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Following:
    """Handles what happens to requests. None says that the mail is closed already."""

    counter: Counter
    purse: Purse
    stage: Stage

    async def paid(self, scene: Scene, bill: PersonBill, amount: Msat) -> Reply | None:
        """An invoice that was shown for a request is paid: the money is on the balance."""
        request = await self.counter.desk.request(scene.session_id, bill.ref)
        if request is None:  # it was deleted; its money is on the balance all the same
            return _kept(scene, bill, amount)
        at = scene.at(request.peer, request.message_id)
        was_paid = (PaidBill(bill.payment_hash),)
        if bill.kind == "price":
            return await self._price_paid(at, request, bill, amount)
        if request.state != "unpaid":
            why = "cancelled" if request.state == "dropped" else "twice"
            return Reply((self._late(at, request, amount, why),), was_paid)
        checking = self.counter.cards(at, request).checking(bill.amount)
        news = self._about_payment(at, request, bill, amount)
        reply = Reply((checking, *news), was_paid)
        most = self._most(at, request) if bill.kind == "once" else scene.view.person.limit_sats
        try:
            if await self.counter.start_paid(at, request, max_price_sats=most, reply=reply):
                return None
        except WrongState:  # the account is frozen, or was closed over HTTP
            return _kept(at, bill, amount)
        return await self.counter.bill_check(at, request.on_next_card, NewCard(request), *was_paid)

    async def job_moved(self, scene: Scene, job_id: str) -> Reply | None:
        """A job of the person's session has changed."""
        request = await self.counter.desk.request_of_job(job_id)
        if request is None:  # asked for over HTTP, with a token of the same balance
            return Reply()
        job = await self.counter.desk.job(job_id)
        if request.told == job.state and job.state != "evaluating":
            return Reply()
        scene = await self._renewed(scene)
        at, told = scene.at(request.peer, request.message_id), Told(request, job.state)
        if job.state == "awaiting_work_payment":
            return await self.counter.price(at, request.on_next_card, job, told)
        if job.state == "evaluating":
            self.stage.follow(at.place, job_id, scene.mail.number)
            return Reply((), (told,))
        if job.state == "executing":
            self.stage.follow(at.place, job_id, scene.mail.number)
            started = self._started(at, request, job)
            return Reply(started, (told, self.counter.progress(request, scene.now_ms)))
        ended = Reply(self._ended(at, request.on_next_card, job), (told,))
        if job.state == "complete" and len(scene.view.contacts) > 1:
            ended += Reply((), (self.counter.unreached(request, scene.now_ms),))
        return ended

    async def reminded(self, scene: Scene, event: Event) -> Reply | None:
        """Time has passed."""
        handlers = {
            EXPIRED: self._expired,
            INVOICE: self._invoice,
            PROGRESS: self._progress,
            UNREACHED: self._unreached,
            WAITED: self._waited,
        }
        return await handlers[event.kind](scene, event.ref)

    async def _renewed(self, scene: Scene) -> Scene:
        """The scene with the balance of now, in which is what the job gave back."""
        return replace(scene, view=await self.counter.desk.view(scene.session_id, None))

    async def _price_paid(
        self, scene: Scene, request: Request, bill: PersonBill, amount: Msat
    ) -> Reply | None:
        was_paid = PaidBill(bill.payment_hash)
        assert request.job_id is not None, "a price belongs to a job"
        job = await self.counter.desk.job(request.job_id)
        cards = self.counter.cards(scene, request)

        def accepted(now: Job) -> Reply:
            news = self._about_payment(scene, request, bill, amount)
            return Reply((cards.working(now, bill.amount), *news), (was_paid,))

        try:
            if await self.counter.accept(scene, request, reply=accepted):
                return None
        except WrongState:
            return Reply((self._late(scene, request, amount, _why(job)),), (was_paid,))
        # A part of the balance that the price counted on was spent meanwhile.
        return await self.counter.price(
            scene, request.on_next_card, job, NewCard(request), was_paid
        )

    async def _expired(self, scene: Scene, payment_hash: str) -> Reply:
        """An invoice ran out: its card says so, unless a newer one stands there."""
        bill = await self.counter.desk.bill(payment_hash)
        if bill is None or bill.is_paid:
            return Reply()
        if not bill.ref:
            return await self.purse.expired(scene, bill)
        request = await self.counter.desk.request(scene.session_id, bill.ref)
        newest = await self.counter.desk.bills_of(scene.session_id, bill.ref)
        if request is None or newest[0].payment_hash != payment_hash:
            return Reply()
        cards = self.counter.cards(scene.at(request.peer, request.message_id), request)
        if request.state == "unpaid" and bill.kind != "price":
            return Reply((cards.check_expired(),))
        if request.told == "awaiting_work_payment" and bill.kind == "price":
            return Reply((cards.price_expired(),))
        return Reply()

    async def _invoice(self, scene: Scene, code: str) -> Reply:
        """Try again to make an invoice that could not be made."""
        request = await self.counter.desk.request(scene.session_id, code)
        if request is None or request.state == "dropped":
            return Reply()
        at, fresh = scene.at(request.peer, request.message_id), request.on_next_card
        if request.state == "unpaid":
            billed = await self.counter.bill_check(at, fresh, NewCard(request))
        else:
            assert request.job_id is not None, "a request that has started is a job"
            job = await self.counter.desk.job(request.job_id)
            if job.state != "awaiting_work_payment":
                return Reply()
            billed = await self.counter.price(at, fresh, job, NewCard(request))
        if not billed.letters:
            return billed
        below = self.counter.cards(at, request).below()
        return Reply((below,)) + billed

    async def _waited(self, scene: Scene, code: str) -> Reply:
        """Nobody has paid for the check of a request within its time."""
        request = await self.counter.desk.request(scene.session_id, code)
        if request is None or request.state != "unpaid":
            return Reply()
        cards = self.counter.cards(scene.at(request.peer, request.message_id), request)
        return Reply((cards.given_up(),), (DropRequest(request),))

    async def _progress(self, scene: Scene, code: str) -> Reply:
        """The work takes long."""
        request = await self.counter.desk.request(scene.session_id, code)
        if request is None or request.told != "executing" or request.job_id is None:
            return Reply()
        job = await self.counter.desk.job(request.job_id)
        minutes = max(1, (scene.now_ms - job.updated_at_ms) // MINUTE_MS)
        at = scene.at(request.peer, request.message_id)
        letter = at.note("job.progress", code=code, minutes=minutes, slot=f"{code}:progress")
        return Reply((letter,))

    async def _unreached(self, scene: Scene, code: str) -> Reply:
        """A result still waits for its channel: say it where the person was seen last, too."""
        request = await self.counter.desk.request(scene.session_id, code)
        if request is None or request.job_id is None:
            return Reply()
        slot = self.counter.cards(scene, request).result_slot
        if not await self.counter.desk.waits_to_be_said(request.peer, slot):
            return Reply()
        others = [
            contact.peer
            for contact in scene.view.contacts
            if contact.is_reachable and contact.peer != request.peer
        ]
        if not others:
            return Reply()
        job = await self.counter.desk.job(request.job_id)
        return Reply(self._ended(scene.at(others[0]), request, job))

    def _started(self, scene: Scene, request: Request, job: Job) -> tuple[Letter, ...]:
        """The work runs; drawn here only where it started by itself."""
        if request.told == "awaiting_work_payment":
            return ()
        cards = self.counter.cards(scene, request)
        if request.once_sats:
            return (cards.working(job, None),)
        limit_sats = scene.view.person.limit_sats
        return (cards.started(job, limit_sats=limit_sats, left=scene.view.free),)

    def _ended(self, scene: Scene, request: Request, job: Job) -> tuple[Letter, ...]:
        cards = self.counter.cards(scene, request)
        match job.state:
            case "complete":
                left = scene.view.free if request.once_sats else None
                return (cards.result(job, left=left),)
            case "rejected":
                return (self._rejected(scene, request, job),)
            case _:
                return self._failed(scene, request, job)

    def _rejected(self, scene: Scene, request: Request, job: Job) -> Letter:
        has_rest = bool(scene.view.free)
        rest = scene.voice.say("balance.view", balance=scene.balance, held="", open_list="")
        return scene.note(
            self.counter.shop.rejection,
            code=request.code,
            reason=job.reason or "",
            tip=rest.strip() if has_rest else "",
            buttons=((withdraw_button(scene.voice),),) if has_rest else (),
            hint=scene.voice.say("hint.withdraw") if has_rest else "",
        )

    def _failed(self, scene: Scene, request: Request, job: Job) -> tuple[Letter, ...]:
        cards = self.counter.cards(scene, request)
        match job.error_code:
            case "quote_expired":
                return (cards.closed("price", "card.price_ended"),)
            case "cancelled" | "eval_unpaid" | None:
                return (cards.closed("price", "card.cancelled"),)
            case "evaluation_failed":
                back, key = self.counter.shop.check_fee, "job.failed_check"
            case "work_failed" | "deadline_exceeded":
                back, key = Msat(self.counter.shop.check_fee + price_of(job)), "job.failed"
        again = scene.voice.say("btn.try_again", amount=scene.voice.costs(back))
        buttons = (
            (Button(again, "again", request.code, request.version),),
            (withdraw_button(scene.voice),),
        )
        letter = scene.note(
            key,
            code=request.code,
            amount=scene.voice.has(back),
            balance=scene.balance,
            buttons=buttons,
            hint=scene.voice.say("hint.withdraw"),
        )
        return (letter,)

    def _about_payment(
        self, scene: Scene, request: Request, bill: PersonBill, amount: Msat
    ) -> tuple[Letter, ...]:
        """What is to be said of a payment that is not quite as asked for."""
        letters: tuple[Letter, ...] = ()
        if scene.mail.at_ms > bill.expires_at_ms:
            letters += (scene.note("pay.late_go", code=request.code),)
        if amount > bill.amount:
            extra = scene.voice.has(Msat(amount - bill.amount))
            over = scene.note("pay.over", code=request.code, extra=extra, balance=scene.balance)
            letters += (over,)
        return letters

    def _late(self, scene: Scene, request: Request, amount: Msat, why: str) -> Letter:
        return scene.note(
            "pay.late_credit",
            code=request.code,
            amount=scene.voice.has(amount),
            why=scene.voice.say(f"pay.why.{why}"),
            balance=scene.balance,
            buttons=((withdraw_button(scene.voice),),),
            hint=scene.voice.say("hint.withdraw"),
        )

    def _most(self, scene: Scene, request: Request) -> int:
        """What the work may cost that is paid together with its check."""
        once = Msat(request.once_sats * MSAT_PER_SAT - self.counter.shop.check_fee)
        return max(once // MSAT_PER_SAT, scene.view.person.limit_sats)


def _kept(scene: Scene, bill: PersonBill, amount: Msat) -> Reply:
    """A payment that nothing waits for: it is on the balance."""
    paid = scene.note("card.paid_chat", amount=scene.voice.has(amount), balance=scene.balance)
    return Reply((paid,), (PaidBill(bill.payment_hash),))


def _why(job: Job) -> str:
    """Why a payment of a price came too late for its job."""
    match job.error_code:
        case "quote_expired":
            return "price_ended"
        case "cancelled":
            return "cancelled"
        case _:
            return "twice"
