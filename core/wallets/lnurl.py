"""LNURL-pay: ask whoever receives at an address for an invoice over an amount.

Nothing that comes back is believed: it is an invoice to pay only after it was read and compared
with what was asked for. Every fault is the customer's to hear about, and costs nothing: what is
due stays due. Source: LUD-06 (payRequest), LUD-16 (Lightning addresses).
"""

import hashlib
import ssl
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import structlog

from core.net import Names, SystemNames
from core.values import bolt11
from core.values.bolt11 import Bolt11Error, Network
from core.values.clock import Clock
from core.values.destinations import Endpoint, ToAddress, ToInvoice, check_invoice, endpoint_of
from core.values.errors import InvalidRequest
from core.values.money import Msat
from core.wallets.lnurl_http import LnurlHttp, NoAnswer

log = structlog.get_logger(__name__)

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Offer:
    """What the receiver says of itself."""

    callback: Endpoint
    amount_min: int
    amount_max: int
    metadata: str


class Resolver:
    """Turns an address into an invoice to pay."""

    def __init__(
        self,
        *,
        network: Network,
        insecure_hosts: Collection[str],
        clock: Clock,
        names: Names | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """`timeout_s` is for one call of the two; without `names` and `tls`, the machine's own."""
        self._network: Network = network
        self._insecure_hosts = insecure_hosts
        self._clock = clock
        self._names = names or SystemNames()
        self._http = LnurlHttp(
            names=self._names, tls=tls or ssl.create_default_context(), timeout_s=timeout_s
        )

    async def invoice_of(self, address: ToAddress, amount: Msat) -> ToInvoice:
        """An invoice over exactly this amount, made by the receiver and found payable.

        Raises InvalidRequest whatever goes wrong on the other side.
        """
        try:
            offer = self._offer(await self._ask(address.endpoint))
            if not offer.amount_min <= amount <= offer.amount_max:
                raise _refused(
                    f"The receiver takes between {offer.amount_min} and {offer.amount_max} msat"
                    f" at once, not {amount} msat."
                )
            return self._invoice(
                await self._ask(_with_amount(offer.callback, amount)), offer, amount
            )
        except InvalidRequest as fault:
            log.info("no invoice from a receiver", host=address.endpoint.host, why=fault.detail)
            raise

    def close(self) -> None:
        """Look up no more names."""
        self._names.close()

    async def _ask(self, endpoint: Endpoint) -> dict[str, Any]:
        reply = await self._http.get(endpoint)
        if isinstance(reply, NoAnswer):
            raise _refused(reply.detail)
        if str(reply.body.get("status")).upper() == "ERROR":
            # Its reason is a stranger's text, which we do not say in our own name.
            raise _refused("The receiver refuses to make an invoice.")
        return reply.body

    def _offer(self, body: dict[str, Any]) -> _Offer:
        match body:
            case {
                "tag": "payRequest",
                "callback": str(callback),
                "minSendable": int(amount_min),
                "maxSendable": int(amount_max),
                "metadata": str(metadata),
            }:
                endpoint = endpoint_of(callback, self._insecure_hosts)
                if endpoint is None:
                    raise _refused("The receiver names a callback that may not be called.")
                return _Offer(endpoint, amount_min, amount_max, metadata)
            case {"tag": str(tag)} if tag != "payRequest":
                raise _refused("The LNURL is for something else than receiving a payment.")
            case _:
                raise _refused("The receiver does not answer as LUD-06 wants it.")

    def _invoice(self, body: dict[str, Any], offer: _Offer, amount: Msat) -> ToInvoice:
        text = body.get("pr")
        if not isinstance(text, str):
            raise _refused("The receiver made no invoice.")
        try:
            invoice = bolt11.decode(text)
        except Bolt11Error:
            raise _refused("The receiver made something that is no invoice.") from None
        check_invoice(invoice, network=self._network, now_ms=self._clock.now_ms(), amount=amount)
        if invoice.description_hash != hashlib.sha256(offer.metadata.encode()).hexdigest():
            raise _refused("The receiver's invoice does not commit to what it said of itself.")
        return ToInvoice(text.lower(), invoice)


def _with_amount(callback: Endpoint, amount: Msat) -> Endpoint:
    joint = "&" if "?" in callback.target else "?"
    return replace(callback, target=f"{callback.target}{joint}amount={amount}")


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest(detail, pointer="/to")
