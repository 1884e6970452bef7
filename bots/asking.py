"""Requests, as people ask for them: the first word, and what they wish for afterwards."""

from dataclasses import dataclass, replace

from bots.counter import WAITED, Counter
from bots.scene import Scene
from core.books.jobs import Job
from core.books.requests import Request
from core.books.talks import Turn
from core.desk.people_reply import (
    AddRequest,
    Answered,
    DropRequest,
    Effect,
    NewCard,
    OpenChat,
    PayOnce,
    Remind,
    Reply,
    Say,
    Told,
)
from core.values.errors import NotFound, WrongState
from core.values.mail import Button, Letter, Row
from core.values.money import Msat

TEXT_MAX = 16_000  # characters of a request


@dataclass(frozen=True, slots=True)
class Asking:
    """Handles what people want of their requests. None says that the mail is closed already."""

    counter: Counter

    async def ask(self, scene: Scene, text: str, *effects: Effect) -> Reply | None:
        """Somebody asks for something."""
        if (refusal := scene.refusal) is not None:
            return Reply((refusal,), effects)
        most = min(TEXT_MAX, self.counter.desk.characters_max(text))
        if len(text) > most:
            return Reply((scene.note("ref.long", n=len(text), max=most),))
        effects += _questions_left(scene)
        self.counter.desk.check_intake()
        shop = self.counter.shop
        waiting = [one for one in scene.view.open_requests if one.state == "unpaid"]
        if len(waiting) >= shop.unpaid_max:
            return Reply((_too_many(scene, waiting),))
        request = Request(
            session_id=scene.session_id,
            code=await self.counter.desk.new_code(scene.session_id),
            job_id=None,
            text=text,
            state="unpaid",
            told="",
            version=1,
            once_sats=0,
            peer=scene.place.peer,
            message_id=scene.place.message_id,
            created_at_ms=scene.now_ms,
        )
        if await self._starts_from_balance(scene, request, *effects):
            return None
        until_ms = scene.now_ms + shop.unpaid_ttl_ms
        given_up = Remind(WAITED, request.code, until_ms)
        return await self.counter.bill_check(
            scene, request, AddRequest(request), given_up, *effects
        )

    async def again(self, scene: Scene, code: str) -> Reply | None:
        """The same request once more."""
        request = await self._find(scene, code)
        if request is None or not request.text:
            return _not_found(scene, code)
        return await self.ask(_at(scene, request), request.text, NewCard(request))

    async def pay_once(self, scene: Scene, code: str) -> Reply | None:
        """Somebody wants to pay check and work together."""
        request = await self._find(scene, code)
        if request is None or request.state != "unpaid":
            return Reply((scene.note("sys.stale"),))
        sats = self.counter.shop.pay_once_sats
        wished = replace(request.on_next_card, once_sats=sats)
        return await self.counter.bill_check(
            _at(scene, request), wished, PayOnce(request, sats), is_redrawn=True
        )

    async def renew(self, scene: Scene, code: str) -> Reply | None:
        """A fresh invoice for what a request waits for, on the same card."""
        request = await self._find(scene, code)
        if request is None:
            return _not_found(scene, code)
        if request.state == "unpaid":
            at = _at(scene, request)
            if not request.once_sats and await self._starts_from_balance(at, request):
                return None
            return await self.counter.bill_check(
                at, request.on_next_card, NewCard(request), is_redrawn=True
            )
        return await self.show(scene, code)

    async def leave(self, scene: Scene, code: str, *, key: str) -> Reply | None:
        """Somebody does not want a request any more; `key` is what its card says then."""
        request = await self._find(scene, code)
        if request is None:
            return _not_found(scene, code)
        cards = self.counter.cards(_at(scene, request), request)
        if request.state == "unpaid":
            return Reply((cards.closed("check", key),), (DropRequest(request),))
        if request.job_id is None:
            return Reply((scene.note("sys.stale"),))
        slot = "price" if request.told == "awaiting_work_payment" else "check"

        def left(_: Job) -> Reply:
            return Reply((cards.closed(slot, key),), (Told(request, "failed"),))

        try:
            await self.counter.desk.cancel(scene.mail, request.job_id, reply=left)
        except WrongState:
            return Reply((scene.note("sys.stale"),))
        return None

    async def accept(self, scene: Scene, code: str) -> Reply | None:
        """Somebody says yes to a price."""
        request = await self._find(scene, code)
        if request is None or request.job_id is None:
            return _not_found(scene, code)
        at = _at(scene, request)
        cards = self.counter.cards(at, request)

        def accepted(job: Job) -> Reply:
            return Reply((cards.working(job, None),))

        try:
            if await self.counter.accept(at, request, reply=accepted):
                return None
        except WrongState:
            return await self.show(scene, code)
        job = await self.counter.desk.job(request.job_id)
        return await self.counter.price(at, request.on_next_card, job, NewCard(request))

    async def show(self, scene: Scene, code: str) -> Reply | None:
        """A request as it stands now, as a new message."""
        request = await self._find(scene, code)
        if request is None:
            return _not_found(scene, code)
        if request.state == "unpaid":
            return await self.counter.bill_check(
                _at(scene, request), request.on_next_card, NewCard(request)
            )
        if request.job_id is None:
            return Reply((scene.note("card.cancelled", code=code),))
        try:
            job = await self.counter.desk.job(request.job_id)
        except NotFound:
            return _not_found(scene, code)
        return await self._show_job(_at(scene, request), request, job)

    async def talk_about(self, scene: Scene, code: str) -> Reply | None:
        """Open a chat that knows a request and its result."""
        request = await self._find(scene, code)
        if request is None or request.job_id is None:
            return _not_found(scene, code)
        job = await self.counter.desk.job(request.job_id)
        said = (Say(Turn("user", job.request or "")), Say(Turn("assistant", job.result or "")))
        return Reply((scene.note("chat.on", balance=scene.balance),), (OpenChat(), *said))

    async def _starts_from_balance(self, scene: Scene, request: Request, *effects: Effect) -> bool:
        """Have a request checked at once; False where the balance does not cover that."""
        fee, free = self.counter.shop.check_fee, scene.view.free
        if free < fee:
            return False
        checking = self.counter.cards(scene, request).checking_free(Msat(free - fee))
        return await self.counter.start(
            scene,
            request,
            max_price_sats=scene.view.person.limit_sats,
            reply=Reply((checking,), effects),
        )

    async def _show_job(self, scene: Scene, request: Request, job: Job) -> Reply:
        if job.state == "awaiting_work_payment":
            return await self.counter.price(scene, request.on_next_card, job, NewCard(request))
        if job.state == "complete" and job.result is not None:
            return Reply((self.counter.cards(scene, request).result(job, left=None),))
        return Reply((self._standing(scene, request, job),))

    def _standing(self, scene: Scene, request: Request, job: Job) -> Letter:
        code = request.code
        match job.state:
            case "executing":
                return scene.note("card.working", code=code)
            case "evaluating":
                return scene.note("card.checking", code=code)
            case "rejected":
                key = self.counter.shop.rejection
                return scene.note(key, code=code, reason=job.reason or "", tip="")
            case "complete":
                return scene.note("job.not_kept", code=code, days=self.counter.shop.retention_days)
            case _:
                return scene.note("card.cancelled", code=code)

    async def _find(self, scene: Scene, code: str) -> Request | None:
        return await self.counter.desk.request(scene.session_id, code)


def _questions_left(scene: Scene) -> tuple[Effect, ...]:
    """A question of ours that a request passes over is closed: a later yes is not for it."""
    prompt = scene.view.prompt
    if prompt is None or prompt.kind == "question":
        return ()
    return (Answered(scene.place.peer),)


def _at(scene: Scene, request: Request) -> Scene:
    """The same scene, answered in reply to what was asked, where it was asked here."""
    is_here = request.peer == scene.place.peer
    return scene.at(request.peer, request.message_id) if is_here else scene


def _not_found(scene: Scene, code: str) -> Reply:
    return Reply((scene.note("job.not_found", code=code),))


def _too_many(scene: Scene, waiting: list[Request]) -> Letter:
    rows: tuple[Row, ...] = tuple(
        (Button(scene.voice.say("btn.cancel_code", code=one.code), "cancel", one.code),)
        for one in waiting
    )
    hint = scene.voice.say("hint.cancel_code", code=waiting[0].code)
    return scene.note("busy.unpaid", n=len(waiting), buttons=rows, hint=hint)
