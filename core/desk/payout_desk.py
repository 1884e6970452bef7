"""The desk where money goes back: a job's debt, a session's free balance.

What is to be paid is found out before the transaction (an address is asked for its invoice); the
transaction then checks that the money is still there, and commits the intent. Who sends it, and
how it ends, is the payer's business.
"""

from dataclasses import dataclass
from typing import assert_never

from core.books import credentials, job_rows, ledger, payouts, refunds
from core.books.credentials import Bearer
from core.books.refunds import Refund
from core.desk.answers import AnswerBook, Keep
from core.desk.session_desk import own
from core.gate import Gate
from core.store.port import Store, Tx
from core.values.bolt11 import Network
from core.values.claims import ClaimLinks
from core.values.clock import Clock
from core.values.destinations import (
    Target,
    ToAddress,
    ToInvoice,
    ToSession,
    check_invoice,
    parse,
)
from core.values.errors import (
    Forbidden,
    InvalidRequest,
    MoreThanFree,
    NotFound,
    Unauthorized,
    WalletUnavailable,
    WrongState,
)
from core.values.ids import is_id
from core.values.money import MSAT_PER_SAT, Msat, from_sats, payout_sats
from core.values.terms import FeeRule, RefundTerms
from core.wallets.lnurl import Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutDesk:
    """Starts refunds and withdrawals, and shows how they stand."""

    store: Store
    resolver: Resolver
    clock: Clock
    gate: Gate
    answers: AnswerBook
    network: Network
    terms: RefundTerms
    insecure_hosts: tuple[str, ...]
    can_pay: bool  # a wallet that can only receive pays nothing out
    links: ClaimLinks

    async def refund_job(
        self, job_id: str, bearer: Bearer, to: str, *, keep: Keep[Refund] | None = None
    ) -> Refund:
        """Send what is due of a job to this destination; the same destination again is no change.

        Raises NotFound, Forbidden, InvalidRequest, WrongState, WalletUnavailable, ShuttingDown.
        """
        await self.check_job(job_id, bearer)
        destination = parse(to, insecure_hosts=self.insecure_hosts)
        due = await self.store.read(_due_or_same, job_id, _name(destination))
        if due.state != "due":
            return await self.store.write(self._keep_seen, due, keep)
        if isinstance(destination, ToSession):
            self.gate.check()
            return await self.store.write(self._credit, due, destination.session_id, keep)
        self._check_can_pay(due.amount)
        target = await self._target(destination, due.amount)
        return await self.store.write(self._start_refund, due, target, keep)

    async def withdraw(
        self,
        session_id: str,
        bearer: Bearer,
        to: str,
        *,
        amount_sats: int | None,
        keep: Keep[Refund] | None = None,
    ) -> Refund:
        """Send free money of a session to this destination, with the fee cap set aside.

        Raises Unauthorized, NotFound, Forbidden, InvalidRequest, WalletUnavailable, ShuttingDown.
        """
        own_id = await self.store.read(own, session_id, bearer, "withdraw")
        destination = parse(to, insecure_hosts=self.insecure_hosts)
        if isinstance(destination, ToSession):
            raise InvalidRequest("A session is withdrawn to a wallet.", pointer="/to")
        asked = None if amount_sats is None else from_sats(amount_sats)
        if isinstance(destination, ToAddress) and asked is None:
            account = await self.store.read(ledger.account, own_id)
            assert account is not None, "a session has an account"
            asked = largest_payout(account.free, self.terms.fee_rule)
            self._check_can_pay(asked)
        target = await self._target(destination, asked)
        self._check_can_pay(target.amount)
        return await self.store.write(self._start_withdrawal, own_id, target, keep)

    def claim_lnurl(self, refund: Refund) -> str | None:
        """The link by which any wallet can claim this refund, once; None where there is none."""
        if refund.claim_id is None or not self.can_pay or self._is_too_small(refund.amount):
            return None
        return self.links.lnurl(refund.claim_id)

    async def claimable(self, k1: str) -> Refund:
        """The refund that is due and that this claims. Raises WrongState."""
        claim_id = self.links.claim_id_in(k1)
        found = None if claim_id is None else await self.store.read(refunds.claimed, claim_id)
        if found is None or self._is_too_small(found.amount):
            raise WrongState("This link was used before, or is none of ours.")
        return found

    async def claim(self, k1: str, invoice: str) -> Refund:
        """Send the refund that this claims to an invoice of its amount; it is claimed for good.

        Raises InvalidRequest, WrongState, WalletUnavailable, ShuttingDown.
        """
        due = await self.claimable(k1)
        destination = parse(invoice, insecure_hosts=(), pointer="/pr")
        if not isinstance(destination, ToInvoice):
            raise InvalidRequest("Only a Lightning invoice is paid here.", pointer="/pr")
        self._check_can_pay(due.amount)
        target = await self._target(destination, due.amount)
        return await self.store.write(self._start_refund, due, target, None)

    async def may_send(self, job_id: str, bearer: Bearer | None) -> bool:
        """Whether this bearer may send what is due of a job, and so may see where it goes."""
        if bearer is None or not bearer.token.caveats.allows("withdraw"):
            return False
        return await self.store.read(_is_own_job, job_id, bearer)

    async def refund(self, refund_id: str, bearer: Bearer) -> Refund:
        """One refund, for its job's token or its session's. Raises NotFound, Forbidden."""
        return await self.store.read(_own_refund, refund_id, bearer)

    async def refunds_of_session(
        self, session_id: str, bearer: Bearer, *, before: tuple[int, str] | None, limit: int
    ) -> list[Refund]:
        """A session's withdrawals, newest first. Raises Unauthorized, NotFound, Forbidden."""
        return await self.store.read(_of_session, session_id, bearer, before, limit)

    async def check_job(self, job_id: str, bearer: Bearer) -> None:
        """Raise NotFound, Forbidden or WrongState where this bearer has no debt of this job."""
        await self.store.read(_own_job, job_id, bearer)

    async def _target(self, destination: ToInvoice | ToAddress, amount: Msat | None) -> Target:
        match destination:
            case ToInvoice():
                invoice = destination
            case ToAddress():
                assert amount is not None, "an address is asked for an invoice of an amount"
                invoice = await self.resolver.invoice_of(destination, amount)
            case _:
                assert_never(destination)
        now_ms = self.clock.now_ms()
        payable = check_invoice(invoice.bolt11, network=self.network, now_ms=now_ms, amount=amount)
        return Target.of(destination.text, invoice, payable)

    def _is_too_small(self, amount: Msat) -> bool:
        return amount < from_sats(self.terms.min_sats)

    def _check_can_pay(self, amount: Msat) -> None:
        """Raise where this cannot be sent: asked last, since some of it the customer can cure."""
        if self._is_too_small(amount):
            raise InvalidRequest(
                f"Less than {self.terms.min_sats} sats are not sent.", pointer="/to"
            )
        self.gate.check()
        if not self.can_pay:
            raise WalletUnavailable("no admin key: this server cannot pay out")

    async def _keep_seen(self, tx: Tx, seen: Refund, keep: Keep[Refund] | None) -> Refund:
        await self.answers.keep(tx, keep, seen, self.clock.now_ms())
        return seen

    async def _credit(
        self, tx: Tx, due: Refund, session_id: str, keep: Keep[Refund] | None
    ) -> Refund:
        """Give a debt whole to a session's balance."""
        now_ms = self.clock.now_ms()
        try:
            await refunds.give_to_session(tx, due, session_id, now_ms=now_ms)
        except NotFound:
            raise InvalidRequest("There is no such session.", pointer="/to") from None
        return await self._shown(tx, due.refund_id, due.account_id, keep)

    async def _start_refund(
        self, tx: Tx, due: Refund, target: Target, keep: Keep[Refund] | None
    ) -> Refund:
        now_ms = self.clock.now_ms()
        current = await refunds.get(tx, due.refund_id)
        if current != due:
            raise WrongState("What is due has changed; ask again.")
        await payouts.start_refund(tx, due, target, self.terms.fee_rule, now_ms)
        return await self._shown(tx, due.refund_id, due.account_id, keep)

    async def _start_withdrawal(
        self, tx: Tx, session_id: str, target: Target, keep: Keep[Refund] | None
    ) -> Refund:
        now_ms = self.clock.now_ms()
        fee = self.terms.fee_rule.cap(target.amount)
        account = await ledger.account(tx, session_id)
        assert account is not None, "a session has an account"
        if account.free < target.amount + fee:
            raise MoreThanFree(
                f"{target.amount} msat and up to {fee} msat for routing are more than the"
                f" {account.free} msat that are free.",
                pointer="/to",
            )
        refund_id = await payouts.start_withdrawal(tx, session_id, target, fee, now_ms)
        return await self._shown(tx, refund_id, session_id, keep)

    async def _shown(
        self, tx: Tx, refund_id: str, account_id: str, keep: Keep[Refund] | None
    ) -> Refund:
        now_ms = self.clock.now_ms()
        await payouts.tell(tx, account_id, now_ms)
        refund = await refunds.get(tx, refund_id)
        await self.answers.keep(tx, keep, refund, now_ms)
        return refund


def largest_payout(free: Msat, rule: FeeRule) -> Msat:
    """The largest whole satoshi that fit into `free` together with their fee cap."""
    sats = payout_sats(Msat(free * 100 // (100 + rule.max_percent)))
    while sats > 0 and from_sats(sats) + rule.cap(from_sats(sats)) > free:
        over = from_sats(sats) + rule.cap(from_sats(sats)) - free
        sats -= max(1, over // MSAT_PER_SAT)
    return from_sats(max(sats, 0))


def _name(destination: ToInvoice | ToAddress | ToSession) -> str:
    return destination.session_id if isinstance(destination, ToSession) else destination.text


async def _own_job(tx: Tx, job_id: str, bearer: Bearer) -> None:
    job = await job_rows.record(tx, job_id)
    if job.session_id is not None:
        standing = await credentials.standing(tx, bearer)
        if standing.session_id != job.session_id:
            raise NotFound
        raise WrongState("What a session's job is owed was credited to its balance.")
    if job.token_id != bearer.token.token_id:
        raise NotFound
    if not bearer.token.caveats.allows("withdraw"):
        raise Forbidden("The token lacks the right to withdraw.")


async def _is_own_job(tx: Tx, job_id: str, bearer: Bearer) -> bool:
    job = await job_rows.record(tx, job_id)
    if job.session_id is None:
        return job.token_id == bearer.token.token_id
    try:
        standing = await credentials.standing(tx, bearer)
    except Unauthorized:
        return False
    return standing.session_id == job.session_id


async def _due_or_same(tx: Tx, job_id: str, destination: str) -> Refund:
    """What is due of a job, or what is on its way to this same destination. Raises WrongState."""
    all_refunds = await refunds.of_account(tx, job_id)
    live = [refund for refund in all_refunds if refund.is_live]
    for refund in live:
        if refund.destination == destination:
            return refund
    if live:
        raise WrongState("A refund of this job is on its way to another destination.")
    due = next((refund for refund in all_refunds if refund.state == "due"), None)
    if due is None:
        raise WrongState("Nothing is due of this job.")
    return due


async def _own_refund(tx: Tx, refund_id: str, bearer: Bearer) -> Refund:
    refund = await refunds.get(tx, refund_id)
    if is_id("job", refund.account_id):
        job = await job_rows.record(tx, refund.account_id)
        if job.session_id is None:
            if job.token_id != bearer.token.token_id:
                raise NotFound
            return refund
        account_id = job.session_id
    else:
        account_id = refund.account_id
    standing = await credentials.standing(tx, bearer)
    if standing.session_id != account_id:
        raise NotFound
    if not bearer.token.caveats.allows("read"):
        raise Forbidden("The token lacks the right to read.")
    return refund


async def _of_session(
    tx: Tx, session_id: str, bearer: Bearer, before: tuple[int, str] | None, limit: int
) -> list[Refund]:
    own_id = await own(tx, session_id, bearer, "read")
    return await refunds.page(tx, own_id, before=before, limit=limit)
