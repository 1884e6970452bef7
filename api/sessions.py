"""Sessions over HTTP: fill a balance, look at it, hand on weaker tokens, buy jobs from it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from api import models as wire
from api import session_models as models
from api.edge import REQUEST_ID
from api.route import AnyRoute, Auth, Call, Reply, Route, answer
from api.session_views import (
    entries_before,
    entries_view,
    jobs_view,
    made_before,
    session_view,
    token_order,
    tokens_view,
)
from api.views import RefundView, invoice_view, job_view, refund_view_for
from core.books.credentials import Bearer
from core.books.invoices import Invoice
from core.books.jobs import Job
from core.books.sessions import Session
from core.desk.answers import Answer
from core.desk.ask_desk import Answered, Question
from core.desk.front_desk import Desk
from core.desk.job_desk import JobOrder
from core.desk.session_desk import MintedToken, OpenedSession
from core.values.pay_links import PayUrl
from core.values.tokens import to_bearer

_TAG: Final = "Sessions"
_OWN: Final = ("not_found", "forbidden", "database_unavailable")
_MAKES_INVOICE: Final = (
    "rate_limited",
    "wallet_unavailable",
    "database_unavailable",
    "paused",
    "shutting_down",
)
_SPENDS: Final = (
    "not_found",
    "forbidden",
    "wrong_state",
    "insufficient_balance",
    "queue_full",
    *_MAKES_INVOICE,
)


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """The routes under /sessions, and accepting a session's job."""

    desk: Desk

    def table(self) -> list[AnyRoute]:
        """All of them."""
        return [*self._balance(), *self._jobs(), *self._tokens()]

    def _balance(self) -> list[AnyRoute]:
        return [
            Route(
                method="POST",
                path="/sessions",
                handler=self.open,
                summary="Open a session with a deposit",
                tag=_TAG,
                body=models.Amount,
                is_keyed=True,
                replies=(
                    Reply(201, "The session, its token, and what to pay.", models.SessionOpened),
                ),
                problems=_MAKES_INVOICE,
            ),
            Route(
                method="GET",
                path="/sessions/{sessionId}",
                handler=self.read,
                summary="Read a session",
                tag=_TAG,
                auth=Auth.NEEDED,
                replies=(Reply(200, "The session.", models.Session),),
                problems=_OWN,
            ),
            Route(
                method="DELETE",
                path="/sessions/{sessionId}",
                handler=self.close,
                summary="Close a session to new spending",
                tag=_TAG,
                auth=Auth.NEEDED,
                replies=(Reply(200, "The session; again the same.", models.Session),),
                problems=_OWN,
            ),
            Route(
                method="POST",
                path="/sessions/{sessionId}/topup",
                handler=self.top_up,
                summary="Get an invoice that fills the session further",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=models.Amount,
                is_keyed=True,
                replies=(Reply(201, "The invoice.", models.ToppedUp),),
                problems=("not_found", "forbidden", *_MAKES_INVOICE),
            ),
            Route(
                method="GET",
                path="/sessions/{sessionId}/ledger",
                handler=self.entries,
                summary="Read the session's account, newest entries first",
                tag=_TAG,
                auth=Auth.NEEDED,
                query=models.Page,
                replies=(Reply(200, "A page of entries.", models.EntryPage),),
                problems=_OWN,
            ),
        ]

    def _jobs(self) -> list[AnyRoute]:
        return [
            Route(
                method="POST",
                path="/sessions/{sessionId}/request",
                handler=self.ask,
                summary="Ask once, paid from the balance at its real cost",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=models.SessionRequest,
                is_keyed=True,
                replies=(Reply(200, "The answer and its cost.", models.SessionAnswer),),
                problems=("model_failed", "model_unavailable", *_SPENDS),
            ),
            Route(
                method="POST",
                path="/sessions/{sessionId}/jobs",
                handler=self.order_job,
                summary="Order a job that the session pays",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=models.SessionJobOrder,
                is_keyed=True,
                replies=(Reply(201, "The job, being evaluated.", wire.Job),),
                problems=_SPENDS,
            ),
            Route(
                method="GET",
                path="/sessions/{sessionId}/jobs",
                handler=self.list_jobs,
                summary="List the session's jobs, newest first",
                tag=_TAG,
                auth=Auth.NEEDED,
                query=models.Page,
                replies=(Reply(200, "A page of jobs.", models.JobPage),),
                problems=_OWN,
            ),
            Route(
                method="POST",
                path="/jobs/{jobId}/accept",
                handler=self.accept_job,
                summary="Pay the quoted work of a session's job",
                tag=_TAG,
                auth=Auth.NEEDED,
                is_keyed=True,
                replies=(Reply(200, "The job.", wire.Job),),
                problems=_SPENDS,
            ),
        ]

    def _tokens(self) -> list[AnyRoute]:
        return [
            Route(
                method="POST",
                path="/sessions/{sessionId}/tokens",
                handler=self.make_token,
                summary="Make a weaker token for the same session",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=models.TokenOrder,
                is_keyed=True,
                replies=(Reply(201, "The token, shown this once.", models.TokenMade),),
                problems=_OWN,
            ),
            Route(
                method="GET",
                path="/sessions/{sessionId}/tokens",
                handler=self.list_tokens,
                summary="List the asking token and those that stem from it",
                tag=_TAG,
                auth=Auth.NEEDED,
                query=models.Page,
                replies=(Reply(200, "A page of tokens.", models.TokenPage),),
                problems=_OWN,
            ),
            Route(
                method="DELETE",
                path="/sessions/{sessionId}/tokens/{tokenId}",
                handler=self.revoke_token,
                summary="Revoke a token with its copies and children",
                tag=_TAG,
                auth=Auth.NEEDED,
                replies=(Reply(200, "It opens nothing any more.", models.Revoked),),
                problems=("wrong_state", *_OWN),
            ),
        ]

    async def open(self, call: Call[models.Amount, None]) -> Answer:
        """Open a session."""
        render = partial(_opened, now_ms=self._now_ms(), pay_url=self.desk.pay_url)
        opened = await self.desk.sessions.open_session(
            call.body().amount_sats, client=call.client, keep=call.keep(render)
        )
        return render(opened)

    async def read(self, call: Call[None, None]) -> Answer:
        """Show a session."""
        session = await self.desk.sessions.session(_session(call), call.needed_bearer)
        return self._shown(session)

    async def close(self, call: Call[None, None]) -> Answer:
        """Close a session."""
        session = await self.desk.sessions.close_session(_session(call), call.needed_bearer)
        return self._shown(session)

    async def top_up(self, call: Call[models.Amount, None]) -> Answer:
        """Make an invoice that fills the session."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.sessions.check(session_id, bearer, "topup")
        render = partial(_topped_up, now_ms=self._now_ms(), pay_url=self.desk.pay_url)
        invoice = await self.desk.sessions.top_up(
            session_id,
            bearer,
            call.body().amount_sats,
            client=call.client,
            keep=call.keep(render),
        )
        return render(invoice)

    async def entries(self, call: Call[None, models.Page]) -> Answer:
        """Show a page of the account."""
        session_id, bearer = _session(call), call.needed_bearer
        own_id = await self.desk.sessions.check(session_id, bearer, "read")
        page = call.query()
        entries = await self.desk.sessions.entries(
            session_id, bearer, before=entries_before(page.cursor), limit=page.limit + 1
        )
        return answer(entries_view(own_id, entries, page.limit))

    async def ask(self, call: Call[models.SessionRequest, None]) -> Answer:
        """Answer one request."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.sessions.check(session_id, bearer, "spend")
        fields = call.body()
        question = Question(
            fields.request, len(call.raw_body), fields.model, fields.max_output_tokens
        )
        answered = await self.desk.asks.ask(
            question,
            bearer,
            client=call.client,
            ref=call.request[REQUEST_ID],
            keep=call.keep(_answered),
        )
        return _answered(answered)

    async def order_job(self, call: Call[models.SessionJobOrder, None]) -> Answer:
        """Open a job from the balance."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.sessions.check(session_id, bearer, "spend")
        fields = call.body()
        order = JobOrder(fields.request, fields.max_price_sats, fields.metadata)
        render = self._rendering(bearer, 201)
        job = await self.desk.session_jobs.request_job(
            session_id, bearer, order, client=call.client, keep=call.keep(render)
        )
        return render(job)

    async def list_jobs(self, call: Call[None, models.Page]) -> Answer:
        """Show a page of jobs."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.sessions.check(session_id, bearer, "read")
        page = call.query()
        jobs = await self.desk.session_jobs.list_jobs(
            session_id, bearer, before=made_before(page.cursor, "job"), limit=page.limit + 1
        )
        view = jobs_view(
            jobs,
            page.limit,
            now_ms=self._now_ms(),
            pay_url=self.desk.pay_url,
            refund_as=refund_view_for(bearer, self.desk.payouts),
        )
        return answer(view)

    async def accept_job(self, call: Call[None, None]) -> Answer:
        """Pay the work of a job."""
        job_id = call.path_id("jobId", "job")
        await self.desk.session_jobs.check(job_id, call.needed_bearer)
        call.body()
        render = self._rendering(call.needed_bearer, 200)
        job = await self.desk.session_jobs.accept(
            job_id, call.needed_bearer, client=call.client, keep=call.keep(render)
        )
        return render(job)

    async def make_token(self, call: Call[models.TokenOrder, None]) -> Answer:
        """Mint a weaker token."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.sessions.check(session_id, bearer, "manage")
        minted = await self.desk.sessions.make_token(
            session_id, bearer, token_order(call.body()), keep=call.keep(_minted)
        )
        return _minted(minted)

    async def list_tokens(self, call: Call[None, models.Page]) -> Answer:
        """Show a page of the tokens that this one reaches."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.sessions.check(session_id, bearer, "manage")
        page = call.query()
        tokens = await self.desk.sessions.tokens(
            session_id, bearer, before=made_before(page.cursor, "tok"), limit=page.limit + 1
        )
        return answer(tokens_view(tokens, page.limit))

    async def revoke_token(self, call: Call[None, None]) -> Answer:
        """Revoke a token."""
        name = call.path_id("tokenId", "tok")
        await self.desk.sessions.revoke_token(_session(call), call.needed_bearer, name)
        return answer(models.Revoked(token_id=name, revoked=True))

    def _now_ms(self) -> int:
        return self.desk.clock.now_ms()

    def _shown(self, session: Session) -> Answer:
        return answer(session_view(session, self._now_ms(), pay_url=self.desk.pay_url))

    def _rendering(self, bearer: Bearer, status: int) -> Callable[[Job], Answer]:
        return partial(
            _job,
            status=status,
            now_ms=self._now_ms(),
            pay_url=self.desk.pay_url,
            refund_as=refund_view_for(bearer, self.desk.payouts),
        )


def _session(call: Call[Any, Any]) -> str:
    """The session in the path, or `me`; the desk compares it with the credential's own."""
    return call.request.match_info["sessionId"]


def _opened(opened: OpenedSession, *, now_ms: int, pay_url: PayUrl) -> Answer:
    body = models.SessionOpened(
        session_id=opened.session.session_id,
        macaroon=to_bearer(opened.macaroon),
        state="awaiting_deposit",
        deposit_invoice=invoice_view(opened.deposit_invoice, now_ms, pay_url=pay_url),
    )
    return answer(body, 201)


def _topped_up(invoice: Invoice, *, now_ms: int, pay_url: PayUrl) -> Answer:
    view = invoice_view(invoice, now_ms, pay_url=pay_url)
    return answer(models.ToppedUp(topup_invoice=view), 201)


def _job(job: Job, *, status: int, now_ms: int, pay_url: PayUrl, refund_as: RefundView) -> Answer:
    return answer(job_view(job, now_ms, pay_url=pay_url, refund_as=refund_as), status)


def _minted(minted: MintedToken) -> Answer:
    return answer(models.TokenMade(token_id=minted.name, macaroon=to_bearer(minted.macaroon)), 201)


def _answered(answered: Answered) -> Answer:
    body = models.SessionAnswer(
        result=answered.result,
        model=answered.model_id,
        usage=wire.Usage(input_tokens=answered.input_tokens, output_tokens=answered.output_tokens),
        cost_msat=answered.cost,
        balance_msat=answered.balance,
    )
    return answer(body)
