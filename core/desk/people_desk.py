"""The desk for people in a chat: what the conversation may know of them, and have done for them.

Nothing is kept in memory. A method reads, makes the foreign call that is needed, and then writes
one transaction: the effect, what is said of it, and the closing of the mail that it answers. Mail
that somebody else has closed meanwhile has no second effect.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from core.books import (
    allowances,
    credentials,
    inbox,
    jobs,
    lifecycle,
    outbox,
    people,
    refunds,
    requests,
    session_jobs,
    talks,
)
from core.books.credentials import Bearer
from core.books.inbox import Mail
from core.books.job_rows import NewJob
from core.books.jobs import Job
from core.books.people import Person
from core.books.refunds import Refund
from core.books.requests import PersonBill, Request
from core.desk import people_reply
from core.desk.answers import Along
from core.desk.job_desk import JobDesk
from core.desk.payout_desk import PayoutDesk
from core.desk.people_reply import Reply
from core.desk.person_view import View, view_of
from core.desk.session_desk import MintedToken, SessionDesk, TokenOrder
from core.desk.till import Till
from core.store.port import Store, Tx
from core.values import pricing
from core.values.caveats import read_caveats
from core.values.clock import Clock
from core.values.errors import Refused
from core.values.ids import new_id
from core.values.mail import Inbound, Letter, Peer, Press
from core.values.money import Msat
from core.values.terms import JobTerms
from core.values.tokens import Token, TokenKeys, mint
from core.wallets.port import Paid, WalletInvoice

REFUNDS_MAX = 50  # withdrawals of one person that are looked at, the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleDesk:
    """Serves people."""

    store: Store
    till: Till
    clock: Clock
    jobs: JobDesk
    sessions: SessionDesk
    payouts: PayoutDesk
    token_keys: TokenKeys
    terms: JobTerms

    def check_intake(self) -> None:
        """Raise ShuttingDown, Paused or WalletUnavailable where nothing new is begun."""
        self.till.gate.check_intake()

    async def take(self, mail: Sequence[tuple[Inbound, str]]) -> None:
        """Store what came in, each with the language to greet a new person in.

        Raises DatabaseUnavailable.
        """
        await self.store.write(_take, mail, self.clock.now_ms())

    async def is_current(self, peer: Peer, press: Press) -> bool:
        """Whether a button still belongs to what it stands for."""
        return await self.store.read(_is_current, peer, press, self.clock.now_ms())

    async def view(self, session_id: str, peer: Peer | None) -> View:
        """A person as it stands now."""
        return await self.store.read(view_of, session_id, peer, self.clock.now_ms())

    def bearer(self, person: Person) -> Bearer:
        """The person's own token."""
        identifier = people.root_of(person.session_id, person.token_id)
        return Bearer(Token(identifier, read_caveats(()), mint(self.token_keys, identifier)))

    async def request(self, session_id: str, code: str) -> Request | None:
        """A person's request."""
        return await self.store.read(requests.find, session_id, code)

    async def request_of_job(self, job_id: str) -> Request | None:
        """The request that a job belongs to."""
        return await self.store.read(requests.of_job, job_id)

    async def request_asked_in(self, session_id: str, message_id: str) -> Request | None:
        """The request that a message made."""
        return await self.store.read(requests.asked_in, session_id, message_id)

    async def history(self, session_id: str, *, skip: int, limit: int) -> list[Request]:
        """A person's requests, newest first."""
        return await self.store.read(requests.page, session_id, skip=skip, limit=limit)

    async def job(self, job_id: str) -> Job:
        """A job. Raises NotFound."""
        return await self.store.read(jobs.view, job_id)

    async def bill(self, payment_hash: str) -> PersonBill | None:
        """What an invoice was shown for."""
        return await self.store.read(requests.bill, payment_hash)

    async def bills_of(self, session_id: str, ref: str) -> list[PersonBill]:
        """The invoices shown for a request, or for the balance; newest first."""
        return await self.store.read(requests.bills_of, session_id, ref)

    async def open_bills(self, session_id: str) -> list[PersonBill]:
        """All invoices that a person could still pay; newest first."""
        return await self.store.read(requests.open_bills, session_id, self.clock.now_ms())

    async def refunds(self, session_id: str) -> list[Refund]:
        """A person's latest withdrawals, newest first."""
        return await self.store.read(refunds.page, session_id, before=None, limit=REFUNDS_MAX)

    async def waits_to_be_said(self, peer: Peer, slot: str) -> bool:
        """Whether the channel has not taken what is to stand in this slot."""
        return await self.store.read(outbox.waits, peer, slot)

    async def slot_of(self, peer: Peer, ext_id: str) -> str | None:
        """What a message of ours that somebody answers is about."""
        return await self.store.read(outbox.slot_of, peer, ext_id)

    async def where(self, slot: str) -> list[Peer]:
        """Who was shown this slot."""
        return await self.store.read(outbox.where, slot)

    async def has_seen(self, peer: Peer, slot: str) -> bool:
        """Whether somebody was shown this slot."""
        return await self.store.read(outbox.card, peer, slot) is not None

    async def new_code(self, session_id: str) -> str:
        """A code for a request. Two at once may get the same: the second is then tried again."""
        return await self.store.read(requests.free_code, session_id)

    async def finish(self, mail: Mail, reply: Reply) -> bool:
        """Close mail with a reply; False where it was closed already."""
        return await self.store.write(self._finish, mail, reply)

    async def say(self, session_id: str, reply: Reply) -> None:
        """Say something that answers no mail."""
        await self.store.write(people_reply.write, session_id, reply, self.clock.now_ms())

    async def welcome_back(self, peer: Peer, first: Letter) -> None:
        """A peer can be reached again: send what was kept for it, after this letter."""
        await self.store.write(_welcome_back, peer, first, self.clock.now_ms())

    async def lose(self, peer: Peer) -> None:
        """A peer cannot be reached: keep everything for it."""
        await self.store.write(_lose, peer)

    async def make_invoice(
        self, session_id: str, amount: Msat, *, memo: str, kind: str
    ) -> WalletInvoice:
        """An invoice that fills a person's balance.

        Raises WalletUnavailable, Paused, ShuttingDown.
        """
        self.check_intake()
        return await self.till.wallet.create_invoice(
            amount,
            memo=memo,
            expiry_s=self.terms.invoice_expiry_s,
            extra={"kind": "topup", "session": session_id, "for": kind},
        )

    async def look(self, session_id: str, limit: int) -> bool:
        """Have the wallet asked about a person's open invoices; True where one is paid."""
        found = False
        for bill in (await self.open_bills(session_id))[:limit]:
            found |= isinstance(await self.till.settler.ask(bill.payment_hash), Paid)
        return found

    def characters_max(self, text: str) -> int:
        """How many characters of this text, or of one like it, the model can take."""
        size, most = pricing.estimated_tokens(text), self.jobs.model.context_tokens
        return len(text) if size <= most else len(text) * most // size

    async def start(
        self,
        mail: Mail,
        view: View,
        request: Request,
        *,
        max_price_sats: int,
        reply: Callable[[Job], Reply],
    ) -> None:
        """Make a request a job: the balance pays the check.

        Raises MoneyMissing, RateLimited, QueueFull, ShuttingDown, Paused, WrongState.
        """
        opening = self._opening(mail, view, request, max_price_sats)
        await self.store.write(self._start_new, opening, reply)

    async def start_paid(
        self,
        mail: Mail,
        view: View,
        request: Request,
        *,
        max_price_sats: int,
        reply: Callable[[Job], Reply],
    ) -> None:
        """The same for a request whose invoice was paid: that is done however much waits.

        Raises MoneyMissing, RateLimited, WrongState.
        """
        opening = self._opening(mail, view, request, max_price_sats)
        await self.store.write(self._start, opening, reply)

    def _opening(self, mail: Mail, view: View, request: Request, max_price_sats: int) -> "_Opening":
        bearer = self.bearer(view.person)
        new = NewJob(
            job_id=new_id("job"),
            token_id=bearer.token.token_id,
            client=f"{request.peer.channel}:{request.peer.uid}",
            request=request.text,
            metadata=None,
            model_id=self.jobs.model.id,
            max_price_sats=max_price_sats,
            eval_fee=self.terms.eval_fee,
            wait_until_ms=0,
            session_id=view.session_id,
            caveats=(),
        )
        return _Opening(mail, request, new, bearer)

    async def accept(
        self, mail: Mail, view: View, job_id: str, *, reply: Callable[[Job], Reply]
    ) -> None:
        """Pay the work of a job from the balance. Raises MoneyMissing, RateLimited, WrongState."""
        await self.store.write(self._accept, mail, self.bearer(view.person), job_id, reply)

    async def cancel(self, mail: Mail, job_id: str, *, reply: Callable[[Job], Reply]) -> None:
        """End a job at its customer's wish. Raises WrongState."""
        await self.store.write(self._cancel, mail, job_id, reply)

    async def withdraw(
        self,
        mail: Mail,
        view: View,
        to: str,
        *,
        amount_sats: int | None,
        reply: Callable[[Refund], Reply],
    ) -> None:
        """Send free money away. Raises what `PayoutDesk.withdraw` raises."""

        async def along(tx: Tx, refund: Refund, now_ms: int) -> None:
            if not await inbox.done(tx, mail):
                raise _AnsweredMeanwhile("This was answered meanwhile.")
            await people_reply.write(tx, mail.session_id, reply(refund), now_ms)

        with suppress(_AnsweredMeanwhile):
            await self.payouts.withdraw(
                view.session_id,
                self.bearer(view.person),
                to,
                amount_sats=amount_sats,
                keep=Along(along),
            )

    async def hand_out_token(
        self, mail: Mail, view: View, *, reply: Callable[[MintedToken], Reply]
    ) -> None:
        """A token for the same balance, with the rights to read and to spend.

        All that were handed out before are void, those of a chat that was joined to this one too.
        """
        await self.store.write(self._hand_out_token, mail, view, reply)

    async def _finish(self, tx: Tx, mail: Mail, reply: Reply) -> bool:
        if not await inbox.done(tx, mail):
            return False
        await people_reply.write(tx, mail.session_id, reply, self.clock.now_ms())
        return True

    async def _start_new(self, tx: Tx, opening: "_Opening", reply: Callable[[Job], Reply]) -> None:
        if not opening.new.eval_fee:
            allowance, now_ms = self.jobs.free_evaluations, self.clock.now_ms()
            await allowances.use_or_refuse(tx, allowance, opening.new.client, now_ms)
        await self._start(tx, opening, reply)
        await self.jobs.check_capacity(tx)

    async def _start(self, tx: Tx, opening: "_Opening", reply: Callable[[Job], Reply]) -> None:
        mail, request = opening.mail, opening.request
        if not await inbox.done(tx, mail):
            return
        now_ms = self.clock.now_ms()
        job = await session_jobs.open_job(tx, opening.new, opening.bearer, now_ms=now_ms)
        if not await requests.start(tx, request, job.job_id):
            started = replace(request, job_id=job.job_id, state="started", told="evaluating")
            await requests.add(tx, started)
        await people_reply.write(tx, mail.session_id, reply(job), now_ms)

    async def _accept(
        self, tx: Tx, mail: Mail, bearer: Bearer, job_id: str, reply: Callable[[Job], Reply]
    ) -> None:
        if not await inbox.done(tx, mail):
            return
        now_ms = self.clock.now_ms()
        job = await session_jobs.accept(tx, job_id, bearer, self.terms, now_ms)
        await people_reply.write(tx, mail.session_id, reply(job), now_ms)

    async def _cancel(self, tx: Tx, mail: Mail, job_id: str, reply: Callable[[Job], Reply]) -> None:
        if not await inbox.done(tx, mail):
            return
        now_ms = self.clock.now_ms()
        job = await lifecycle.cancel(tx, job_id, self.terms, now_ms)
        await people_reply.write(tx, mail.session_id, reply(job), now_ms)

    async def _hand_out_token(
        self, tx: Tx, mail: Mail, view: View, reply: Callable[[MintedToken], Reply]
    ) -> None:
        if not await inbox.done(tx, mail):
            return
        bearer, now_ms = self.bearer(view.person), self.clock.now_ms()
        for known in await credentials.children_of_roots(tx, view.session_id, people.CHAT_LABEL):
            await credentials.revoke(tx, known, now_ms)
        order = TokenOrder(people.CHAT_LABEL, rights=("read", "spend"))
        minted = await self.sessions.mint_in(tx, view.session_id, bearer, order)
        await people_reply.write(tx, mail.session_id, reply(minted), now_ms)


class _AnsweredMeanwhile(Refused):
    """Somebody else has closed the mail that this answers: nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class _Opening:
    """A request that becomes a job."""

    mail: Mail
    request: Request
    new: NewJob
    bearer: Bearer


async def _take(tx: Tx, mail: Sequence[tuple[Inbound, str]], now_ms: int) -> None:
    for inbound, lang in mail:
        await inbox.take(tx, inbound, lang, now_ms)


async def _welcome_back(tx: Tx, peer: Peer, first: Letter, now_ms: int) -> None:
    await people.reach(tx, peer, 1)
    await outbox.unpark(tx, first, now_ms)


async def _lose(tx: Tx, peer: Peer) -> None:
    await people.reach(tx, peer, 0)
    await outbox.park(tx, peer)


async def _is_current(tx: Tx, peer: Peer, press: Press, now_ms: int) -> bool:
    contact = await people.contact(tx, peer)
    if contact is None:
        return False
    request = await requests.find(tx, contact.session_id, press.ref)
    if request is not None:
        return press.version in (0, request.version)
    prompt = await talks.prompt(tx, peer, now_ms)
    is_of_prompt = prompt is not None and prompt.ref == press.ref
    return is_of_prompt or press.version == 0
