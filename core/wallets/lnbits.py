"""The LNbits wallet: invoices made at LNbits, and payments heard from it.

Works with the invoice key alone, which can receive and read but not pay. LNbits is believed
nothing that can be compared: an invoice is decoded before anybody sees it, a payment needs the
evidence of `core/wallets/lnbits_rows.py`. Tried with LNbits 1.5.6 and 1.6.2; "measured" in this
and the `lnbits_*` files means: seen with these two.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import assert_never

import structlog
from pydantic import BaseModel, ValidationError

from core.values import bolt11
from core.values.bolt11 import Bolt11, Bolt11Error, Network
from core.values.clock import Clock
from core.values.errors import WalletUnavailable
from core.values.money import MSAT_PER_SAT, Msat
from core.wallets.lnbits_feed import Hints, LnbitsFeed
from core.wallets.lnbits_http import Answer, LnbitsHttp, LnbitsTurns, NoAnswer, Reply
from core.wallets.lnbits_list import list_movements
from core.wallets.lnbits_looks import LnbitsLooks
from core.wallets.lnbits_rows import read_balance
from core.wallets.port import (
    LookUp,
    Movement,
    NotPaid,
    Paid,
    Settlement,
    Unknown,
    WalletInvoice,
)

log = structlog.get_logger(__name__)

_DESCRIPTION_BYTES_MAX = 639  # what a BOLT11 description field holds; LNbits refuses more
_EXPIRY_LEEWAY_MS = 300_000  # two clocks are compared


class LnbitsWallet:
    """A `core.wallets.port.Wallet` that lives at an LNbits."""

    def __init__(
        self,
        *,
        url: str,
        invoice_key: str,
        network: Network,
        clock: Clock,
        webhook_url: str | None = None,
        catch_up_s: float = 2.0,
        since_ms: int = 0,
        requests_per_minute: int = 150,
        timeout_s: float = 10.0,
    ) -> None:
        """`since_ms` is how far back the first round of `settlements` reads; 0 is everything.

        `turns` is then the budget of calls, for a payer at the same LNbits.
        """
        self.turns = LnbitsTurns(clock=clock, requests_per_minute=requests_per_minute)
        self._http = LnbitsHttp(url=url, key=invoice_key, turns=self.turns, timeout_s=timeout_s)
        self._looks = LnbitsLooks(self._http, clock=clock)
        self._hints = Hints()
        self._network = network
        self._clock = clock
        self._webhook_url = webhook_url
        self._catch_up_s = catch_up_s
        self._since_ms = since_ms

    async def create_invoice(
        self, amount: Msat, *, memo: str, expiry_s: int, extra: Mapping[str, str]
    ) -> WalletInvoice:
        """An invoice that was decoded and compared; a long memo is cut."""
        # LNbits cuts fractions off: 0.5 makes an invoice over nothing (measured).
        assert amount > 0
        assert amount % MSAT_PER_SAT == 0, "invoices are over whole satoshi"
        order = {
            "out": False,
            "unit": "sat",
            "amount": amount // MSAT_PER_SAT,
            "memo": memo.encode()[:_DESCRIPTION_BYTES_MAX].decode(errors="ignore"),
            "expiry": expiry_s,
            "extra": dict(extra),
        }
        text, payment_hash = _read_made(await self._order(order))
        invoice = self._compared(text, payment_hash, amount=amount, expiry_s=expiry_s)
        return WalletInvoice(payment_hash, text, amount, invoice.expires_at_ms)

    async def look_up(self, payment_hash: str) -> LookUp:
        """What LNbits knows of this incoming payment now, asked at most once a second."""
        match await self._looks.look(payment_hash):
            case Settlement() as settlement:
                return Paid(settlement.amount, settlement.preimage)
            case NotPaid() | Unknown() as outcome:
                return outcome
            case other:
                assert_never(other)

    def settlements(self) -> AsyncIterator[Settlement | None]:
        """Settled incoming payments, for one listener at a time; a new listener hears all again."""
        feed = LnbitsFeed(
            self._http,
            self._looks.look,
            hints=self._hints,
            clock=self._clock,
            catch_up_s=self._catch_up_s,
            since_ms=self._since_ms,
        )
        return feed.hear()

    async def movements(self, *, since_ms: int) -> Sequence[Movement]:
        """LNbits' own list, in and out; the invoice key may read all of it."""
        return await list_movements(self._http, since_ms)

    def watch(self, payment_hashes: Sequence[str]) -> None:
        """Look these up soon, while somebody listens to `settlements`."""
        self._hints.add(payment_hashes)

    async def balance(self) -> Msat:
        """What LNbits says the wallet holds."""
        return read_balance(await self._http.get("/api/v1/wallet"))

    async def aclose(self) -> None:
        """Close connections."""
        await self._looks.aclose()
        await self._http.aclose()

    async def _order(self, order: Mapping[str, object]) -> Reply:
        """Order an invoice, with the webhook as long as LNbits takes it.

        From 1.6.0 on LNbits makes no invoice at all (400) for a webhook on a private address or a
        host name without a dot (measured, 1.6.2), which is every plain home server.
        """
        if self._webhook_url is None:
            return await self._http.post_first("/api/v1/payments", order)
        with_webhook = {**order, "webhook": self._webhook_url}
        reply = await self._http.post_first("/api/v1/payments", with_webhook)
        if not isinstance(reply, Answer) or reply.status != 400:
            return reply
        plain = await self._http.post_first("/api/v1/payments", order)
        if isinstance(plain, Answer) and plain.status == 201:
            self._webhook_url = None
            log.warning("lnbits refuses our webhook address; payments are heard without it")
        return plain

    def _compared(self, text: str, payment_hash: str, *, amount: Msat, expiry_s: int) -> Bolt11:
        """The invoice that `text` is, if it is the one that was ordered."""
        try:
            invoice = bolt11.decode(text)
        except Bolt11Error as fault:
            raise WalletUnavailable(
                f"LNbits made an invoice that cannot be read: {fault}"
            ) from None
        now_ms = self._clock.now_ms()
        off_ms = abs(invoice.expires_at_ms - (now_ms + expiry_s * 1000))
        differences = [
            name
            for name, is_as_ordered in (
                ("payment hash", invoice.payment_hash == payment_hash),
                ("amount", invoice.amount == amount),
                ("network", invoice.network == self._network),
                ("expiry", off_ms <= _EXPIRY_LEEWAY_MS and invoice.expires_at_ms > now_ms),
            )
            if not is_as_ordered
        ]
        if differences:
            others = ", ".join(differences)
            raise WalletUnavailable(f"LNbits made another invoice than was ordered: {others}")
        return invoice


class _Made(BaseModel):
    payment_hash: str
    bolt11: str


def _read_made(reply: Reply) -> tuple[str, str]:
    """The invoice and the payment hash in the answer to an order."""
    match reply:
        case Answer(201, body):
            try:
                made = _Made.model_validate(body)
            except ValidationError:
                raise WalletUnavailable("LNbits answered an order without an invoice") from None
            return made.bolt11, made.payment_hash
        case Answer() | NoAnswer():
            raise WalletUnavailable(f"LNbits made no invoice: {reply.reason}")
        case other:
            assert_never(other)
