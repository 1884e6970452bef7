"""Sessions with money, their tokens, and jobs that they pay.

As in `paid_jobs` the evaluation costs 21 sats and the work 34; a session has 1,000 sats.
"""

import hashlib
import secrets
from dataclasses import replace

from core.books import credentials, invoices, ledger, refunds, session_jobs, sessions
from core.books.credentials import Bearer
from core.books.job_rows import NewJob, Quote, keep_quote
from core.books.settlement import Payment, settle
from core.values.caveats import Budget, read_caveats
from core.values.ids import id_from_bytes, new_id
from core.values.money import Msat, from_sats
from core.values.tokens import Identifier, Token, new_token_id
from tests.books.paid_jobs import FEE, NOW_MS, PRICE_SATS, Books

FILLED = from_sats(1_000)


def budget(limit_msat, budget_id=None):
    """A budget's caveat, with a fresh id unless one is given."""
    return f"budget_msat={limit_msat};id={budget_id or secrets.token_hex(8)}"


def narrowed(bearer, *caveats):
    """A copy of a token, narrowed offline."""
    texts = (*bearer.token.caveats.texts, *caveats)
    return Bearer(Token(bearer.token.identifier, read_caveats(texts), b""), bearer.preimage)


def name_of(bearer):
    """The public id of a token and all its copies."""
    return id_from_bytes("tok", hashlib.sha256(bearer.token.token_id).digest())


class SessionBooks(Books):
    """A store, and the few things that happen to sessions and their jobs."""

    async def fill(self, amount=FILLED):
        """A session with this much on it, and its root token."""
        session_id, root = await self.wait_for_deposit(amount)
        [bill] = await self.store.read(invoices.of_account, session_id)
        await self.store.write(settle, Payment(bill.payment_hash, amount), self.terms, NOW_MS)
        return root

    async def wait_for_deposit(self, amount=FILLED):
        """A session that nobody has paid yet, and its root token."""
        session_id = new_id("ses")
        bill = self.invoice(session_id, "deposit", amount)
        identifier = Identifier(bytes.fromhex(bill.payment_hash), new_token_id())
        await self.store.write(_open, session_id, bill, identifier)
        return session_id, Bearer(Token(identifier, read_caveats(()), b""))

    async def challenged(self, amount=FILLED):
        """The root token of a session that a challenge opened and that was paid; its preimage."""
        preimage = secrets.token_bytes(32)
        session_id = new_id("ses")
        bill = self.invoice(session_id, "deposit", amount)
        bill = replace(bill, payment_hash=hashlib.sha256(preimage).hexdigest())
        identifier = Identifier(bytes.fromhex(bill.payment_hash), new_token_id())
        await self.store.write(_open, session_id, bill, identifier, needs_preimage=True)
        await self.store.write(settle, Payment(bill.payment_hash, amount), self.terms, NOW_MS)
        return Bearer(Token(identifier, read_caveats(()), b"")), preimage

    async def child(self, parent, *caveats):
        """A token that stems from another."""
        return await self._handed_out(parent, parent.token.token_id, caveats)

    async def second_root(self, root):
        """A further token without a parent."""
        return await self._handed_out(root, None, ())

    async def _handed_out(self, asking, parent_id, caveats):
        inherited = asking.token.caveats.texts
        identifier = Identifier(asking.token.payment_hash, new_token_id())
        await self.store.write(
            credentials.add,
            identifier,
            session_id=await self.session_of(asking),
            parent_id=parent_id,
            needs_preimage=False,
            label="child",
            caveats=(*inherited, *caveats),
            inherited_count=len(inherited),
            now_ms=NOW_MS,
        )
        return Bearer(Token(identifier, read_caveats((*inherited, *caveats)), b""))

    async def revoke(self, bearer):
        within = await self.store.read(credentials.reach, bearer)
        chosen = credentials.named(within, name_of(bearer))
        await self.store.write(credentials.revoke, chosen, NOW_MS)

    async def close(self, bearer):
        session_id = await self.session_of(bearer)
        await self.store.write(session_jobs.close_session, session_id, self.terms, NOW_MS)

    async def ask(self, bearer, *, max_price_sats=None, fee=FEE):
        """A job of the bearer's session."""
        new = NewJob(
            job_id=new_id("job"),
            token_id=bearer.token.token_id,
            client="192.0.2.1",
            request="Sort these names.",
            metadata=None,
            model_id="offline",
            max_price_sats=max_price_sats,
            eval_fee=fee,
            wait_until_ms=0,
            session_id=await self.session_of(bearer),
            caveats=bearer.token.caveats.texts,
        )
        job = await self.store.write(session_jobs.open_job, new, bearer, now_ms=NOW_MS)
        return job.job_id

    async def quote(self, job_id, *, now_ms=NOW_MS):
        """The verdict is yes; at or under its maximum the work starts. Whether the job moved."""
        job = await self.record(job_id)
        if job.session_id is None:
            return await super().quote(job_id)
        quote = Quote(PRICE_SATS, input_tokens=5, output_tokens=100, expires_at_ms=0)
        if not await self.store.write(keep_quote, job, quote, "A small task.", NOW_MS):
            return False
        priced = await self.record(job_id)
        return await self.store.write(session_jobs.quote, priced, self.terms, now_ms)

    async def accept(self, job_id, bearer):
        return await self.store.write(session_jobs.accept, job_id, bearer, self.terms, NOW_MS)

    async def work_on(self, bearer, state, *, max_price_sats=PRICE_SATS, fee=FEE):
        """A job of this session in this state."""
        job_id = await self.ask(
            bearer, max_price_sats=max_price_sats if state == "executing" else None, fee=fee
        )
        if state == "asked":
            return job_id
        await self.begin_evaluation(job_id)
        if state != "evaluating":
            assert await self.quote(job_id)
        assert (await self.view(job_id)).state == state
        return job_id

    async def session_of(self, bearer):
        return (await self.store.read(credentials.standing, bearer)).session_id

    async def session(self, session_id):
        return await self.store.read(sessions.view, session_id)

    async def on_account(self, account_id):
        return (await self.store.read(ledger.account, account_id)).balance

    async def revenue_of(self, job_id):
        return await self.store.read(_revenue_of, job_id)

    async def credited(self, job_id):
        """What of a job was credited to its session."""
        rows = await self.store.read(refunds.of_account, job_id)
        assert {row.state for row in rows} <= {"credited"}
        return [row.amount for row in rows]

    async def counted(self, bearer):
        """What counts against the bearer's budgets: of each, what is used and what is held."""
        session_id = await self.session_of(bearer)
        budgets = bearer.token.caveats.budgets
        return [await self.store.read(_counted, session_id, each) for each in budgets]


async def _open(tx, session_id, bill, identifier, *, needs_preimage=False):
    await sessions.add(
        tx,
        session_id,
        client="192.0.2.1",
        wait_until_ms=NOW_MS + 86_400_000,
        is_challenge=False,
        now_ms=NOW_MS,
    )
    await invoices.add(tx, bill, client="192.0.2.1")
    await credentials.add(
        tx,
        identifier,
        session_id=session_id,
        parent_id=None,
        needs_preimage=needs_preimage,
        label="",
        caveats=(),
        inherited_count=0,
        now_ms=NOW_MS,
    )


async def _revenue_of(tx, job_id):
    row = await tx.one(
        "SELECT CAST(COALESCE(SUM(e.amount_msat), 0) AS BIGINT) AS msat FROM entries e"
        " JOIN transfers t ON t.transfer_id = e.transfer_id"
        " WHERE t.ref = :job_id AND e.account_id = 'revenue'",
        job_id=job_id,
    )
    return row["msat"]


async def _counted(tx, session_id, budget: Budget):
    row = await tx.one(
        "SELECT used_msat, held_msat FROM budgets"
        " WHERE session_id = :session_id AND budget_id = :budget_id",
        session_id=session_id,
        budget_id=budget.budget_id,
    )
    return (Msat(row["used_msat"]), Msat(row["held_msat"])) if row else (0, 0)
