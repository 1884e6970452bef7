"""Money back over HTTP: refunds of jobs, withdrawals of sessions."""

from dataclasses import dataclass
from typing import Final

from api import models as wire
from api import session_models as models
from api.route import AnyRoute, Auth, Call, Reply, Route, answer
from api.session_views import made_before, refunds_view
from api.views import own_refund_view, refund_view_for
from core.books.refunds import Refund
from core.desk.answers import Answer
from core.desk.front_desk import Desk

_TAG: Final = "Money back"
_PAYS: Final = (
    "not_found",
    "forbidden",
    "wrong_state",
    "wallet_unavailable",
    "database_unavailable",
    "paused",
    "shutting_down",
)


@dataclass(frozen=True, slots=True)
class PayoutRoutes:
    """The routes by which money leaves."""

    desk: Desk

    def table(self) -> list[AnyRoute]:
        """All of them."""
        return [
            Route(
                method="POST",
                path="/jobs/{jobId}/refund",
                handler=self.refund_job,
                summary="Send what is due of a job to a wallet or a session",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=wire.RefundOrder,
                is_keyed=True,
                replies=(Reply(202, "The refund, on its way.", wire.Refund),),
                problems=_PAYS,
            ),
            Route(
                method="POST",
                path="/sessions/{sessionId}/withdraw",
                handler=self.withdraw,
                summary="Send free money of a session to a wallet",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=models.WithdrawOrder,
                is_keyed=True,
                replies=(Reply(202, "The withdrawal, on its way.", wire.Refund),),
                problems=_PAYS,
            ),
            Route(
                method="GET",
                path="/sessions/{sessionId}/refunds",
                handler=self.of_session,
                summary="List a session's withdrawals, newest first",
                tag=_TAG,
                auth=Auth.NEEDED,
                query=models.Page,
                replies=(Reply(200, "A page of them.", models.RefundPage),),
                problems=("not_found", "forbidden", "database_unavailable"),
            ),
            Route(
                method="GET",
                path="/refunds/{refundId}",
                handler=self.read,
                summary="Read a refund or a withdrawal",
                tag=_TAG,
                auth=Auth.NEEDED,
                replies=(Reply(200, "The refund.", wire.Refund),),
                problems=("not_found", "forbidden", "database_unavailable"),
            ),
        ]

    async def refund_job(self, call: Call[wire.RefundOrder, None]) -> Answer:
        """Start a job's refund."""
        job_id = call.path_id("jobId", "job")
        await self.desk.payouts.check_job(job_id, call.needed_bearer)
        refund = await self.desk.payouts.refund_job(
            job_id, call.needed_bearer, call.body().to, keep=call.keep(_accepted)
        )
        return _accepted(refund)

    async def withdraw(self, call: Call[models.WithdrawOrder, None]) -> Answer:
        """Start a withdrawal."""
        session_id = call.request.match_info["sessionId"]
        await self.desk.sessions.check(session_id, call.needed_bearer, "withdraw")
        fields = call.body()
        refund = await self.desk.payouts.withdraw(
            session_id,
            call.needed_bearer,
            fields.to,
            amount_sats=fields.amount_sats,
            keep=call.keep(_accepted),
        )
        return _accepted(refund)

    async def of_session(self, call: Call[None, models.Page]) -> Answer:
        """Show a page of withdrawals."""
        session_id = call.request.match_info["sessionId"]
        await self.desk.sessions.check(session_id, call.needed_bearer, "read")
        page = call.query()
        found = await self.desk.payouts.refunds_of_session(
            session_id,
            call.needed_bearer,
            before=made_before(page.cursor, "rfd"),
            limit=page.limit + 1,
        )
        view = refund_view_for(call.needed_bearer, self.desk.payouts)
        items = [view(refund) for refund in found]
        return answer(refunds_view(found, items, page.limit))

    async def read(self, call: Call[None, None]) -> Answer:
        """Show a refund."""
        refund = await self.desk.payouts.refund(call.path_id("refundId", "rfd"), call.needed_bearer)
        return answer(refund_view_for(call.needed_bearer, self.desk.payouts)(refund))


def _accepted(refund: Refund) -> Answer:
    return answer(own_refund_view(refund), 202)
