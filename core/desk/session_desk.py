"""The desk for sessions: fill a balance once, spend it many times, hand on weaker tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.books import credentials, invoices, ledger, session_jobs, sessions
from core.books.credentials import Bearer, Credential
from core.books.invoices import Invoice
from core.books.ledger import Entry
from core.books.sessions import Session
from core.desk.answers import AnswerBook, Keep
from core.desk.till import Till
from core.store.port import Store, Tx
from core.values.caveats import Budget, Right, new_budget_id, write_caveats
from core.values.clock import Clock
from core.values.errors import Forbidden, InvalidRequest, NotFound
from core.values.ids import new_id
from core.values.money import Msat, from_sats
from core.values.terms import JobTerms, SessionTerms
from core.values.tokens import Identifier, TokenKeys, mint, new_token_id
from core.wallets.port import WalletInvoice

ME = "me"
ALL_RIGHTS = frozenset({"read", "spend", "topup", "withdraw", "manage"})


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that was opened, and its first token, shown this once."""

    session: Session
    macaroon: bytes
    deposit_invoice: Invoice


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """The limits of a token that is asked for; None is no limit of its own."""

    label: str
    budget_msat: int | None = None
    max_request_msat: int | None = None
    expires_at_s: int | None = None
    models: Sequence[str] | None = None
    rights: Sequence[Right] | None = None

    @property
    def is_root(self) -> bool:
        """Whether it asks for everything, without any limit."""
        limits = (self.budget_msat, self.max_request_msat, self.expires_at_s, self.models)
        return all(limit is None for limit in limits) and set(self.rights or ()) == ALL_RIGHTS


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token that was handed out, shown this once."""

    name: str
    macaroon: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDesk:
    """Opens, shows, fills and closes sessions."""

    store: Store
    till: Till
    clock: Clock
    answers: AnswerBook
    token_keys: TokenKeys
    terms: SessionTerms
    job_terms: JobTerms

    async def open_session(
        self, amount_sats: int, *, client: str, keep: Keep[OpenedSession] | None = None
    ) -> OpenedSession:
        """Open a session with the invoice of its deposit.

        Raises InvalidRequest, RateLimited, WalletUnavailable, ShuttingDown.
        """
        amount = self._deposit(amount_sats)
        await self.till.check_open_invoices(client)
        session_id = new_id("ses")
        token_id = new_token_id()
        made = await self.till.make_invoice(
            session_id, amount, kind="deposit", marks={"token": token_id.hex()}
        )
        return await self.store.write(
            self._open, session_id, made, token_id=token_id, client=client, keep=keep
        )

    async def check(self, session_id: str, bearer: Bearer, right: Right) -> str:
        """The id of the bearer's own session. Raises Unauthorized, NotFound, Forbidden."""
        return await self.store.read(own, session_id, bearer, right)

    async def session(self, session_id: str, bearer: Bearer) -> Session:
        """The session as its customer sees it. Raises Unauthorized, NotFound, Forbidden."""
        return await self.store.read(self._view, session_id, bearer)

    async def top_up(
        self,
        session_id: str,
        bearer: Bearer,
        amount_sats: int,
        *,
        client: str,
        keep: Keep[Invoice] | None = None,
    ) -> Invoice:
        """A further invoice for this session.

        Raises Unauthorized, NotFound, Forbidden, InvalidRequest, RateLimited, WalletUnavailable,
        ShuttingDown.
        """
        own_id = await self.store.read(own, session_id, bearer, "topup")
        amount = self._deposit(amount_sats)
        await self.till.check_open_invoices(client)
        made = await self.till.make_invoice(own_id, amount, kind="topup")
        return await self.store.write(self._add_invoice, own_id, made, client, keep)

    async def close_session(self, session_id: str, bearer: Bearer) -> Session:
        """End all new spending; only a token without any caveat may. Again is no change.

        Raises Unauthorized, NotFound, Forbidden.
        """
        return await self.store.write(self._close, session_id, bearer)

    async def entries(
        self, session_id: str, bearer: Bearer, *, before: int | None, limit: int
    ) -> list[Entry]:
        """The account's entries, newest first. Raises Unauthorized, NotFound, Forbidden."""
        return await self.store.read(self._entries, session_id, bearer, before, limit)

    async def make_token(
        self,
        session_id: str,
        bearer: Bearer,
        order: TokenOrder,
        *,
        keep: Keep[MintedToken] | None = None,
    ) -> MintedToken:
        """A weaker token for the same session; a root may make a second root.

        Raises Unauthorized, NotFound, Forbidden, InvalidRequest.
        """
        return await self.store.write(self._make_token, session_id, bearer, order, keep)

    async def tokens(
        self, session_id: str, bearer: Bearer, *, before: tuple[int, str] | None, limit: int
    ) -> list[Credential]:
        """The tokens that the bearer's reaches, newest first, from below this time and name on.

        Raises Unauthorized, NotFound, Forbidden.
        """
        found = await self.store.read(_own_tokens, session_id, bearer)
        newest_first = sorted(found, key=_age, reverse=True)
        return [token for token in newest_first if before is None or _age(token) < before][:limit]

    async def revoke_token(self, session_id: str, bearer: Bearer, name: str) -> None:
        """Revoke a token that the bearer's reaches, and its descendants.

        Raises Unauthorized, NotFound, Forbidden, WrongState.
        """
        await self.store.write(_revoke, session_id, bearer, name, self.clock.now_ms())

    async def _open(
        self,
        tx: Tx,
        session_id: str,
        made: WalletInvoice,
        *,
        token_id: bytes,
        client: str,
        keep: Keep[OpenedSession] | None,
    ) -> OpenedSession:
        now_ms = self.clock.now_ms()
        await sessions.add(
            tx,
            session_id,
            client=client,
            wait_until_ms=now_ms + self.terms.unpaid_ttl_ms,
            is_challenge=False,
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
            needs_preimage=False,
            label="",
            caveats=(),
            inherited_count=0,
            now_ms=now_ms,
        )
        session = await sessions.view(tx, session_id)
        opened = OpenedSession(session, mint(self.token_keys, identifier), invoice)
        await self.answers.keep(tx, keep, opened, now_ms)
        return opened

    async def _view(self, tx: Tx, session_id: str, bearer: Bearer) -> Session:
        return await sessions.view(tx, await own(tx, session_id, bearer, "read"))

    async def _add_invoice(
        self, tx: Tx, session_id: str, made: WalletInvoice, client: str, keep: Keep[Invoice] | None
    ) -> Invoice:
        invoice = await self.till.add_invoice(tx, session_id, made, client)
        await self.answers.keep(tx, keep, invoice, self.clock.now_ms())
        return invoice

    async def _close(self, tx: Tx, session_id: str, bearer: Bearer) -> Session:
        own_id = await own(tx, session_id, bearer, "read")
        if bearer.token.caveats.count:
            raise Forbidden("Only a token without any limit may close its session.")
        if await sessions.state(tx, own_id) != "closed":
            now_ms = self.clock.now_ms()
            await session_jobs.close_session(tx, own_id, self.job_terms, now_ms)
        return await sessions.view(tx, own_id)

    async def _entries(
        self, tx: Tx, session_id: str, bearer: Bearer, before: int | None, limit: int
    ) -> list[Entry]:
        own_id = await own(tx, session_id, bearer, "read")
        return await ledger.page(tx, own_id, before=before, limit=limit)

    async def _make_token(
        self,
        tx: Tx,
        session_id: str,
        bearer: Bearer,
        order: TokenOrder,
        keep: Keep[MintedToken] | None,
    ) -> MintedToken:
        minted = await self.mint_in(tx, session_id, bearer, order)
        await self.answers.keep(tx, keep, minted, self.clock.now_ms())
        return minted

    async def mint_in(
        self, tx: Tx, session_id: str, bearer: Bearer, order: TokenOrder
    ) -> MintedToken:
        """As `make_token`, as a part of this transaction."""
        own_id = await own(tx, session_id, bearer, "manage")
        parent = bearer.token
        is_root = order.is_root and parent.caveats.count == 0
        caveats = parent.caveats.texts if is_root else (*parent.caveats.texts, *_caveats(order))
        identifier = Identifier(parent.payment_hash, new_token_id())
        macaroon = mint(self.token_keys, identifier, caveats)
        name = await credentials.add(
            tx,
            identifier,
            session_id=own_id,
            parent_id=None if is_root else parent.token_id,
            needs_preimage=False,
            label=order.label,
            caveats=caveats,
            inherited_count=parent.caveats.count,
            now_ms=self.clock.now_ms(),
        )
        return MintedToken(name, macaroon)

    def _deposit(self, amount_sats: int) -> Msat:
        least, most = self.terms.min_deposit_sats, self.terms.max_deposit_sats
        if not least <= amount_sats <= most:
            raise InvalidRequest(
                f"A session is filled with {least} to {most} sats at a time.",
                pointer="/amountSats",
            )
        return from_sats(amount_sats)


async def own(tx: Tx, session_id: str, bearer: Bearer, right: Right) -> str:
    """The bearer's own session, asked for as `me`, by its id or by one that stands for it.

    Raises Unauthorized, NotFound for any other session, Forbidden without the right.
    """
    own_id = await _opened_by(tx, session_id, bearer)
    _check_right(bearer, right)
    return own_id


async def _opened_by(tx: Tx, session_id: str, bearer: Bearer) -> str:
    standing = await credentials.standing(tx, bearer)
    own_id = standing.session_id
    if session_id not in {ME, own_id} and await sessions.survivor(tx, session_id) != own_id:
        raise NotFound
    return own_id


def _check_right(bearer: Bearer, right: Right) -> None:
    if not bearer.token.caveats.allows(right):
        raise Forbidden(f"The token lacks the right to {right}.")


async def _own_tokens(tx: Tx, session_id: str, bearer: Bearer) -> list[Credential]:
    await own(tx, session_id, bearer, "manage")
    return await credentials.reach(tx, bearer)


def _age(token: Credential) -> tuple[int, str]:
    """Where a token stands in a list by age."""
    return token.created_at_ms, token.name


async def _revoke(tx: Tx, session_id: str, bearer: Bearer, name: str, now_ms: int) -> None:
    await _opened_by(tx, session_id, bearer)
    chosen = credentials.named(await credentials.reach(tx, bearer), name)
    _check_right(bearer, "manage")
    await credentials.revoke(tx, chosen, now_ms)


def _caveats(order: TokenOrder) -> tuple[str, ...]:
    budget = None
    if order.budget_msat is not None:
        budget = Budget(new_budget_id(), Msat(order.budget_msat))
    return write_caveats(
        expires_at_s=order.expires_at_s,
        budget=budget,
        max_request_msat=order.max_request_msat,
        models=order.models,
        rights=order.rights if order.rights is not None else ("read", "spend"),
    )
