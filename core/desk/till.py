"""The till: asks for money where money is missing, with one invoice at a time.

A token that may top up gets an invoice of its own session; anybody else a challenge that opens a
new one. An unpaid invoice is handed out again while it is large enough and lives long enough, so
that a storm of requests makes one invoice, not a storm of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar
from weakref import WeakValueDictionary

from core.books import credentials, invoices, ledger, sessions
from core.books.credentials import Bearer
from core.books.invoices import Invoice
from core.books.metering import MoneyMissing
from core.gate import Gate
from core.loops.settle import Settler
from core.store.bulletin import Bulletin
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.errors import (
    InvalidRequest,
    PaymentNotSeen,
    RateLimited,
    Refused,
    WalletUnavailable,
)
from core.values.ids import new_id
from core.values.money import Msat, charge_sats, from_sats
from core.values.terms import SessionTerms
from core.values.tokens import Identifier, TokenKeys, mint, new_token_id
from core.wallets.port import Paid, Unknown, Wallet, WalletInvoice

T = TypeVar("T")

REUSE_MS = 60_000  # an unpaid challenge is handed out again this long
LIVES_ON_MS = 60_000  # an invoice that is handed out again lives at least this much longer
PROOF_WAIT_S = 5.0  # whoever shows a preimage has paid; the wallet may need a moment to know
ASK_AGAIN_S = 1.0
NO_MARKS: Mapping[str, str] = MappingProxyType({})
TRIES = 3  # a payment may arrive between a refusal and the look for it
ASKED_MAX = 3  # the newest open invoices of a session, looked up beside the credential's own


@dataclass(frozen=True, slots=True)
class Challenge:
    """An invoice, and the macaroon that its payment turns into a credential."""

    macaroon: bytes
    invoice: Invoice


class PaymentRequired(Refused):
    """Money is missing, and paying `challenge` cures it.

    `payment` is the same invoice where it fills the session that was presented, else None;
    `shortage` says what that session lacks.
    """

    code = "payment_required"

    def __init__(
        self, challenge: Challenge, *, payment: Invoice | None, shortage: MoneyMissing | None
    ) -> None:
        super().__init__("Pay the invoice, then send the request again.")
        self.challenge = challenge
        self.payment = payment
        self.shortage = shortage


@dataclass(frozen=True, slots=True, kw_only=True)
class Till:
    """Makes invoices for sessions, and challenges around them."""

    store: Store
    bulletin: Bulletin
    wallet: Wallet
    settler: Settler
    clock: Clock
    gate: Gate
    token_keys: TokenKeys
    terms: SessionTerms
    open_invoices_per_client: int  # 0 is no limit
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def make_invoice(
        self, session_id: str, amount: Msat, *, kind: str, marks: Mapping[str, str] = NO_MARKS
    ) -> WalletInvoice:
        """An invoice of the wallet for this session.

        `marks` are what an old copy of the books would need to make the session again. Raises
        WalletUnavailable, Paused, ShuttingDown.
        """
        self.gate.check_intake()
        return await self.wallet.create_invoice(
            amount,
            memo="Deposit" if kind == "deposit" else "Top-up",
            expiry_s=self.terms.invoice_expiry_s,
            extra={"kind": kind, "session": session_id, **marks},
        )

    async def check_open_invoices(self, client: str) -> None:
        """Raise RateLimited where this client leaves too many invoices unpaid."""
        limit = self.open_invoices_per_client
        now_ms = self.clock.now_ms()
        if limit and await self.store.read(invoices.count_open, client, now_ms) >= limit:
            raise RateLimited("Too many of your invoices are open.", retry_after_s=60)

    async def sell(
        self, attempt: Callable[[Tx], Awaitable[T]], bearer: Bearer, *, client: str
    ) -> T:
        """What `attempt` returns; where it finds money missing, payments are looked for first.

        Raises what `attempt` raises but MoneyMissing, and PaymentRequired, InvalidRequest,
        RateLimited, WalletUnavailable, Paused, ShuttingDown.
        """
        for _ in range(TRIES):
            try:
                return await self.store.write(self._sell_if_open, attempt)
            except MoneyMissing as shortage:
                missing = shortage
            if not await self._saw_payment(missing, bearer):
                break
        raise await self._demand(missing, bearer, client=client)

    async def _sell_if_open(self, tx: Tx, attempt: Callable[[Tx], Awaitable[T]]) -> T:
        """Asked last: what the customer can cure comes first, and what was written so far goes."""
        sold = await attempt(tx)
        self.gate.check_intake()
        return sold

    async def challenge_for(self, needed: Msat, *, client: str) -> PaymentRequired:
        """What somebody without a credential pays to open a session that covers this request."""
        challenge = await self._challenge(needed, client)
        return PaymentRequired(challenge, payment=None, shortage=None)

    async def _challenge(self, needed: Msat, client: str) -> Challenge:
        """A challenge that opens a new session, or this client's unpaid one of a moment ago."""
        amount = self._amount(needed, self.terms.l402_deposit_sats)
        async with self._lock(client):
            known = await self._recent_challenge(amount, client)
            if known is not None:
                return known
            await self.check_open_invoices(client)
            session_id = new_id("ses")
            token_id = new_token_id()
            marks = {"token": token_id.hex(), "challenge": "yes"}
            made = await self.make_invoice(session_id, amount, kind="deposit", marks=marks)
            return await self.store.write(
                self._open_challenge, session_id, made, token_id=token_id, client=client
            )

    async def _saw_payment(self, shortage: MoneyMissing, bearer: Bearer) -> bool:
        """Ask the wallet about this session's open invoices; True where money has come.

        Whoever shows a preimage has paid: then the wallet gets a few seconds to know. Raises
        WalletUnavailable where it does not say, and where it still does not know of that payment.
        """
        session_id, own_hash = shortage.session_id, bearer.token.payment_hash.hex()
        ends = self.clock.monotonic() + PROOF_WAIT_S
        with self.bulletin.listen(session_id) as news:
            while True:
                bills = await self._invoices_to_ask_about(session_id, own_hash)
                await self._ask(bills)
                account = await self.store.read(ledger.account, session_id)
                if account is not None and account.deposited > shortage.deposited:
                    return True
                is_own_open = any(bill.payment_hash == own_hash for bill in bills)
                if not (bearer.has_proof and is_own_open):
                    return False
                left_s = ends - self.clock.monotonic()
                if left_s <= 0:
                    raise PaymentNotSeen
                await news.wait(min(ASK_AGAIN_S, left_s))

    async def _demand(
        self, shortage: MoneyMissing, bearer: Bearer, *, client: str
    ) -> PaymentRequired:
        """What to pay for a session that lacks money; the caller raises it.

        Raises InvalidRequest where that is more than a session may hold, Unauthorized,
        WalletUnavailable, RateLimited, ShuttingDown.
        """
        if not bearer.token.caveats.allows("topup"):
            challenge = await self._challenge(shortage.needed, client)
            return PaymentRequired(challenge, payment=None, shortage=shortage)
        amount = self._amount(shortage.missing, self.terms.min_deposit_sats)
        async with self._lock(shortage.session_id):
            bill = await self._session_invoice(shortage.session_id, amount, client)
        macaroon = await self.store.write(self._child, bearer, bill)
        return PaymentRequired(Challenge(macaroon, bill), payment=bill, shortage=shortage)

    def _amount(self, missing: Msat, least_sats: int) -> Msat:
        sats = max(least_sats, charge_sats(missing))
        if sats > self.terms.max_deposit_sats:
            raise InvalidRequest("The request costs more than a session may be filled with.")
        return from_sats(sats)

    def _lock(self, name: str) -> asyncio.Lock:
        """One lock for each session or client, forgotten with its last user."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def _invoices_to_ask_about(self, session_id: str, own_hash: str) -> Sequence[Invoice]:
        """The credential's own invoice while it is open, and the newest of the others."""
        bills = await self.store.read(invoices.of_account, session_id)
        open_bills = [bill for bill in bills if bill.state == "open"]
        own = [bill for bill in open_bills if bill.payment_hash == own_hash]
        others = [bill for bill in open_bills if bill.payment_hash != own_hash]
        return own + others[:ASKED_MAX]

    async def _ask(self, bills: Sequence[Invoice]) -> bool:
        """Have the wallet asked about these; True where one is paid. Raises WalletUnavailable."""
        answers = [await self.settler.ask(bill.payment_hash) for bill in bills]
        if any(isinstance(answer, Paid) for answer in answers):
            return True
        for answer in answers:
            if isinstance(answer, Unknown):
                raise WalletUnavailable(answer.reason)
        return False

    async def _session_invoice(self, session_id: str, amount: Msat, client: str) -> Invoice:
        known = await self.store.read(self._usable_invoice, session_id, amount)
        if known is not None:
            return known
        await self.check_open_invoices(client)
        made = await self.make_invoice(session_id, amount, kind="topup")
        return await self.store.write(self._first_invoice, session_id, made, client)

    async def _usable_invoice(self, tx: Tx, session_id: str, amount: Msat) -> Invoice | None:
        lives_until_ms = self.clock.now_ms() + LIVES_ON_MS
        return await sessions.usable_invoice(
            tx, session_id, amount=amount, expires_after_ms=lives_until_ms
        )

    async def _first_invoice(
        self, tx: Tx, session_id: str, made: WalletInvoice, client: str
    ) -> Invoice:
        """The invoice just made, unless another process was faster: then nobody sees this one."""
        known = await self._usable_invoice(tx, session_id, made.amount)
        return known or await self.add_invoice(tx, session_id, made, client)

    async def add_invoice(
        self, tx: Tx, session_id: str, made: WalletInvoice, client: str
    ) -> Invoice:
        """Record a further invoice of a session, which then waits for it too."""
        now_ms = self.clock.now_ms()
        own_id = await sessions.survivor(tx, session_id)  # it was not joined when it was asked for
        invoice = invoices.fresh(made, own_id, "topup", now_ms)
        await invoices.add(tx, invoice, client=client)
        await sessions.wait_longer(tx, own_id, now_ms + self.terms.unpaid_ttl_ms)
        return invoice

    async def _recent_challenge(self, amount: Msat, client: str) -> Challenge | None:
        now_ms = self.clock.now_ms()
        found = await self.store.read(
            sessions.recent_challenge,
            client,
            since_ms=now_ms - REUSE_MS,
            amount=amount,
            expires_after_ms=now_ms + LIVES_ON_MS,
        )
        if found is None or await self._ask([found[1]]):  # a paid one is never handed out again
            return None
        session_id, bill = found
        root = await self.store.read(credentials.challenge_root, session_id)
        if root is None:
            return None
        identifier = Identifier(root.payment_hash, root.token_id)
        return Challenge(mint(self.token_keys, identifier, root.caveats), bill)

    async def _open_challenge(
        self, tx: Tx, session_id: str, made: WalletInvoice, *, token_id: bytes, client: str
    ) -> Challenge:
        now_ms = self.clock.now_ms()
        await sessions.add(
            tx,
            session_id,
            client=client,
            wait_until_ms=now_ms + self.terms.unpaid_ttl_ms,
            is_challenge=True,
            now_ms=now_ms,
        )
        invoice = invoices.fresh(made, session_id, "deposit", now_ms)
        await invoices.add(tx, invoice, client=client)
        identifier = Identifier(bytes.fromhex(made.payment_hash), token_id)
        await credentials.add(
            tx,
            identifier,
            session_id=session_id,
            parent_id=None,
            needs_preimage=True,
            label="L402",
            caveats=(),
            inherited_count=0,
            now_ms=now_ms,
        )
        return Challenge(mint(self.token_keys, identifier), invoice)

    async def _child(self, tx: Tx, bearer: Bearer, bill: Invoice) -> bytes:
        """The child of the bearer's token that paying this invoice makes usable, made once.

        Raises Unauthorized where the token was revoked while the wallet was asked.
        """
        standing = await credentials.standing(tx, bearer)
        payment_hash = bytes.fromhex(bill.payment_hash)
        parent = bearer.token
        known = await credentials.challenge_child(
            tx, parent.token_id, payment_hash, parent.caveats.texts
        )
        if known is not None:
            identifier = Identifier(payment_hash, known.token_id)
            return mint(self.token_keys, identifier, known.caveats)
        identifier = Identifier(payment_hash, new_token_id())
        await credentials.add(
            tx,
            identifier,
            session_id=standing.session_id,
            parent_id=parent.token_id,
            needs_preimage=True,
            label="top-up",
            caveats=parent.caveats.texts,
            inherited_count=parent.caveats.count,
            now_ms=self.clock.now_ms(),
        )
        return mint(self.token_keys, identifier, parent.caveats.texts)
