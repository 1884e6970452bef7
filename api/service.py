"""Routes beside the jobs: the demo, the stub wallet's payer, the wallet's hints, and health."""

import hmac
import re
from dataclasses import dataclass
from typing import Final

from api import models
from api.json_strict import JsonValue, decode
from api.route import AnyRoute, Call, Reply, Route, answer
from core.desk.answers import Answer
from core.desk.front_desk import Desk
from core.values import bolt11
from core.values.errors import InvalidRequest, NotFound
from core.values.money import charge_sats
from core.wallets.stub import StubWallet

_HASH: Final = re.compile(r"[0-9a-f]{64}")
RETRY_READY_S: Final = "5"


@dataclass(frozen=True, slots=True)
class DemoRoutes:
    """A free taste."""

    desk: Desk

    def table(self) -> list[AnyRoute]:
        """The demo."""
        return [
            Route(
                method="GET",
                path="/demo",
                handler=self.taste,
                summary="Try the agent for free",
                tag="Demo",
                query=models.DemoQuery,
                replies=(Reply(200, "What the agent says.", models.DemoResult),),
                problems=("model_unavailable", "database_unavailable", "shutting_down"),
            )
        ]

    async def taste(self, call: Call[None, models.DemoQuery]) -> Answer:
        """Answer a request for nothing."""
        result = await self.desk.demo(call.query().request, client=call.client)
        return answer(models.DemoResult(result=result))


@dataclass(frozen=True, slots=True)
class StubRoutes:
    """The customer's side of the stub wallet; served only where the money is play money."""

    wallet: StubWallet

    def table(self) -> list[AnyRoute]:
        """Pay one of our invoices, make one of somebody else."""
        return [
            Route(
                method="POST",
                path="/dev/stub/pay/{paymentHash}",
                handler=self.pay,
                summary="Pay an invoice with play money",
                tag="Development",
                replies=(Reply(200, "Paid; again the same.", models.StubPaid),),
                problems=("not_found", "wallet_unavailable"),
            ),
            Route(
                method="POST",
                path="/dev/stub/invoice",
                handler=self.invoice,
                summary="Make an invoice of somebody else",
                tag="Development",
                body=models.SomebodysInvoice,
                replies=(Reply(201, "An invoice for refunds to pay.", models.StubInvoice),),
                problems=("wallet_unavailable",),
            ),
        ]

    async def pay(self, call: Call[None, None]) -> Answer:
        """Play the customer who pays."""
        payment_hash = call.request.match_info["paymentHash"]
        if _HASH.fullmatch(payment_hash) is None:
            raise NotFound
        call.body()
        preimage = await self.wallet.pay(payment_hash)
        return answer(models.StubPaid(paid=True, preimage=preimage))

    async def invoice(self, call: Call[models.SomebodysInvoice, None]) -> Answer:
        """Play somebody who wants to be paid."""
        text = await self.wallet.foreign_invoice(call.body().amount_sats)
        made = bolt11.decode(text)
        assert made.amount is not None, "the stub wallet makes no invoice without an amount"
        body = models.StubInvoice(
            payment_request=text,
            payment_hash=made.payment_hash,
            amount_sats=charge_sats(made.amount),
        )
        return answer(body, 201)


@dataclass(frozen=True, slots=True)
class HookRoutes:
    """Hints of the wallet: a reason to look, never evidence."""

    desk: Desk
    secret: str

    def table(self) -> list[AnyRoute]:
        """LNbits' webhook."""
        return [
            Route(
                method="POST",
                path="/hooks/lnbits/{secret}",
                handler=self.hear,
                summary="LNbits' webhook: a payment may have arrived",
                tag="Operation",
                body=models.Anything,
                replies=(Reply(202, "The wallet will be asked.", models.Accepted),),
                problems=("not_found",),
            )
        ]

    async def hear(self, call: Call[models.Anything, None]) -> Answer:
        """Take the hint."""
        secret = call.request.match_info["secret"]
        if not hmac.compare_digest(secret.encode(errors="replace"), self.secret.encode()):
            raise NotFound
        self.desk.hint_payment(_payment_hash(decode(call.raw_body)))
        return answer(models.Accepted(accepted=True), 202)


@dataclass(frozen=True, slots=True)
class HealthRoutes:
    """Whether the process lives, and whether it can serve."""

    desk: Desk

    def table(self) -> list[AnyRoute]:
        """Liveness and readiness."""
        return [
            Route(
                method="GET",
                path="/healthz",
                handler=self.health,
                summary="Whether the process answers",
                tag="Operation",
                replies=(Reply(200, "It does.", models.Health),),
            ),
            Route(
                method="GET",
                path="/readyz",
                handler=self.readiness,
                summary="Whether everything that is needed is there",
                tag="Operation",
                replies=(
                    Reply(200, "It is.", models.Readiness),
                    Reply(503, "What is not ready.", models.Readiness),
                ),
            ),
        ]

    async def health(self, _call: Call[None, None]) -> Answer:
        """Answer, which is all there is to it."""
        return answer(models.Health(status="ok"))

    async def readiness(self, _call: Call[None, None]) -> Answer:
        """Name what is not ready."""
        missing = self.desk.health.not_ready()
        body = models.Readiness(ready=not missing, not_ready=missing)
        if missing:
            return answer(body, 503, **{"Retry-After": RETRY_READY_S})
        return answer(body)


def _payment_hash(told: JsonValue) -> str:
    # LNbits sends a JSON string that holds JSON (measured, 1.6.2).
    if isinstance(told, str):
        told = decode(told.encode())
    payment_hash = told.get("payment_hash") if isinstance(told, dict) else None
    if not isinstance(payment_hash, str) or _HASH.fullmatch(payment_hash) is None:
        raise InvalidRequest("There is no payment hash in this.")
    return payment_hash
