"""LNURL-withdraw: any wallet claims what is due of a job, once, with the link that it was shown.

Wallets read `status`, not the status of HTTP: what cannot be claimed is answered with 200 and
`{"status": "ERROR", "reason": ...}`. Source: LUD-01, LUD-03.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from api.models import Incoming, Msat, Outgoing
from api.route import AnyRoute, Call, Reply, Route, answer
from core.desk.answers import Answer
from core.desk.payout_desk import PayoutDesk
from core.values.errors import Refused

_TAG: Final = "Money back"
_CANNOT: Final = ("wallet_unavailable", "database_unavailable", "paused", "shutting_down")


class Claim(Incoming):
    """What a wallet hands in; whatever else it says is ignored."""

    model_config = ConfigDict(extra="ignore")

    k1: str
    pr: Annotated[str, Field(max_length=4096, description="An invoice over the amount.")]


class WithdrawRequest(Outgoing):
    """What can be claimed: exactly this amount."""

    tag: Literal["withdrawRequest"]
    callback: str
    k1: str
    default_description: str
    min_withdrawable: Msat
    max_withdrawable: Msat


class LnurlOk(Outgoing):
    """The payment is on its way."""

    status: Literal["OK"]


class LnurlError(Outgoing):
    """Nothing is paid."""

    status: Literal["ERROR"]
    reason: str


@dataclass(frozen=True, slots=True)
class LnurlRoutes:
    """The two calls of a wallet."""

    desk: PayoutDesk

    def table(self) -> list[AnyRoute]:
        """Both of them."""
        return [
            Route(
                method="GET",
                path="/lnurl/withdraw/{k1}",
                handler=self.offer,
                summary="What a link claims, as LUD-03 wants it",
                tag=_TAG,
                replies=(Reply(200, "The offer, or why not.", (WithdrawRequest, LnurlError)),),
                problems=("database_unavailable",),
            ),
            Route(
                method="GET",
                path="/lnurl/callback",
                handler=self.claim,
                summary="Claim with an invoice, once",
                tag=_TAG,
                query=Claim,
                has_effect=True,
                replies=(Reply(200, "It is on its way, or why not.", (LnurlOk, LnurlError)),),
                problems=_CANNOT,
            ),
        ]

    async def offer(self, call: Call[None, None]) -> Answer:
        """Say what can be claimed."""
        k1 = call.request.match_info["k1"]
        try:
            due = await self.desk.claimable(k1)
        except Refused as refusal:
            return _error(refusal)
        return answer(
            WithdrawRequest(
                tag="withdrawRequest",
                callback=self.desk.links.callback,
                k1=k1,
                default_description="Refund",
                min_withdrawable=due.amount,
                max_withdrawable=due.amount,
            )
        )

    async def claim(self, call: Call[None, Claim]) -> Answer:
        """Start the payment."""
        try:
            claim = call.query()
            await self.desk.claim(claim.k1, claim.pr)
        except Refused as refusal:
            return _error(refusal)
        return answer(LnurlOk(status="OK"))


def _error(refusal: Refused) -> Answer:
    return answer(LnurlError(status="ERROR", reason=refusal.detail))
