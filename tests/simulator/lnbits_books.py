"""What the simulated LNbits keeps: wallets, payments, and a journal of every movement of money.

It follows what was measured with LNbits 1.5.6 and 1.6.2 on their FakeWallet, oddities included.
"""

import hashlib
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from core.values import bolt11
from core.values.bolt11 import Bolt11Error, Network
from core.values.money import Msat

Version = Literal["1.5.6", "1.6.2"]
Status = Literal["pending", "success", "failed"]

BUYER_MSAT = 10**12
SATS_MAX = 10_000_000


@dataclass(eq=False)
class SimWallet:
    name: str
    credit_msat: int = 0  # what it began with
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    invoice_key: str = field(default_factory=lambda: secrets.token_hex(16))
    admin_key: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(eq=False)
class SimPayment:
    """One row; `amount_msat` is negative for a payment that goes out."""

    wallet: SimWallet
    checking_id: str
    payment_hash: str
    amount_msat: int
    bolt11: str
    memo: str
    expires_s: float
    made_s: float
    changed_s: float
    preimage: str | None
    extra: dict[str, Any]
    status: Status = "pending"
    is_paid_at_node: bool = False  # which LNbits may not know
    fee_msat: int = 0
    webhook: str | None = None
    labels: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "checking_id": self.checking_id,
            "payment_hash": self.payment_hash,
            "wallet_id": self.wallet.id,
            "amount": self.amount_msat,
            "fee": self.fee_msat,
            "bolt11": self.bolt11,
            "payment_request": self.bolt11,
            "fiat_provider": None,
            "status": self.status,
            "memo": self.memo,
            "expiry": _moment(self.expires_s),
            "webhook": self.webhook,
            "webhook_status": None,
            "preimage": self.preimage,
            "tag": None,
            "extension": None,
            "time": _moment(self.made_s),
            "created_at": _moment(self.made_s),
            "updated_at": _moment(self.changed_s),
            "labels": self.labels,
            "extra": self.extra,
            "external_id": None,
        }


@dataclass(frozen=True)
class Movement:
    """Money that entered (positive) or left (negative) a wallet, fee included."""

    at_s: float
    wallet: str
    payment_hash: str
    amount_msat: int


class PaymentRefused(Exception):
    """LNbits' 520: `status` is what it says of the payment."""

    def __init__(self, detail: str, status: Status = "failed") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class Books:
    """The state; `tell` hears of each payment that LNbits tells the world about."""

    def __init__(
        self, *, version: Version, network: Network, tell: Callable[[SimPayment], None]
    ) -> None:
        self.version = version
        self.network = network
        self._tell = tell
        self.shop = SimWallet("shop")
        self.buyer = SimWallet("buyer", credit_msat=BUYER_MSAT)
        self.wallets = [self.shop, self.buyer]
        self.payments: list[SimPayment] = []
        self._by_hash: defaultdict[str, list[SimPayment]] = defaultdict(list)
        self.movements: list[Movement] = []
        self.clock_offset_s = 0.0
        self.outcome_abroad: Status = "success"  # of payments to invoices of other nodes
        self.failure_abroad = "no route"
        self.fee_abroad_msat = 1_000
        self.reserve_min_msat = 2_000
        self.reserve_percent = 1
        self._node_key = secrets.token_bytes(32)
        self._foreign_node_key = secrets.token_bytes(32)
        self._foreign_preimages: dict[str, str] = {}

    def now_s(self) -> float:
        return time.time() + self.clock_offset_s

    def wallet_of(self, key: str | None) -> SimWallet | None:
        return next((w for w in self.wallets if key in (w.invoice_key, w.admin_key)), None)

    def invoice(
        self,
        wallet: SimWallet,
        *,
        sats: int,
        memo: str,
        expiry_s: int,
        extra: dict[str, Any],
        webhook: str | None,
    ) -> SimPayment:
        text, preimage = self.mint(
            sats=sats, memo=memo, expiry_s=expiry_s, node_key=self._node_key, network=self.network
        )
        payment_hash = bolt11.decode(text).payment_hash
        now_s = self.now_s()
        payment = SimPayment(
            wallet=wallet,
            checking_id=payment_hash,
            payment_hash=payment_hash,
            amount_msat=sats * 1000,
            bolt11=text,
            memo=memo,
            expires_s=now_s + expiry_s,
            made_s=now_s,
            changed_s=now_s,
            preimage=preimage,
            extra=extra,
            webhook=webhook,
        )
        self._keep(payment)
        return payment

    def mint(
        self,
        *,
        sats: int,
        memo: str,
        expiry_s: int,
        node_key: bytes | None = None,
        network: Network | None = None,
    ) -> tuple[str, str]:
        """An invoice and its preimage."""
        preimage = secrets.token_bytes(32)
        text = bolt11.encode_and_sign(
            node_key or self._node_key,
            network=network or self.network,
            amount=Msat(sats * 1000),
            created_at_s=int(self.now_s()),
            payment_hash=hashlib.sha256(preimage).hexdigest(),
            payment_secret=secrets.token_hex(32),
            description=memo,
            expiry_s=expiry_s,
        )
        return text, preimage.hex()

    def foreign_invoice(self, sats: int, expiry_s: int = 3600) -> str:
        """An invoice of another node, which a payout can pay."""
        text, preimage = self.mint(
            sats=sats, memo="abroad", expiry_s=expiry_s, node_key=self._foreign_node_key
        )
        self._foreign_preimages[bolt11.decode(text).payment_hash] = preimage
        return text

    def incoming(self, payment_hash: str) -> SimPayment | None:
        return next((p for p in self._by_hash[payment_hash] if p.amount_msat > 0), None)

    def outgoing(self, payment_hash: str) -> SimPayment | None:
        return next((p for p in self._by_hash[payment_hash] if p.amount_msat < 0), None)

    def outflows_msat(self, payment_hash: str) -> list[int]:
        """What left any wallet for this invoice, fees included."""
        return [
            -m.amount_msat
            for m in self.movements
            if m.payment_hash == payment_hash and m.amount_msat < 0
        ]

    def reserve_msat(self, amount_msat: int) -> int:
        """What is set aside for routing."""
        return max(self.reserve_min_msat, amount_msat * self.reserve_percent // 100)

    def balance_msat(self, wallet: SimWallet) -> int:
        """What came in less what went out or is on its way, fees and reserves included."""
        return wallet.credit_msat + sum(
            p.amount_msat - abs(p.fee_msat)
            for p in self.payments
            if p.wallet is wallet
            and (p.status == "success" or (p.status == "pending" and p.amount_msat < 0))
        )

    def shown(self, payment_hash: str, wallet: SimWallet | None) -> SimPayment | None:
        """The row that a status question shows: of two halves the outgoing one."""
        found = [p for p in self._by_hash[payment_hash] if wallet in (None, p.wallet)]
        return min(found, key=lambda p: p.amount_msat, default=None)

    def recheck(self, payment: SimPayment) -> None:
        """What a status question does to a pending row before it answers."""
        if payment.status == "pending" and payment.is_paid_at_node:
            self.change(payment, "success")
        is_over = payment.amount_msat > 0 and payment.expires_s < self.now_s()
        if self.version == "1.6.2" and payment.status == "pending" and is_over:
            payment.labels.append("expired")
            self.change(payment, "failed")

    def change(self, payment: SimPayment, status: Status) -> None:
        payment.status = status
        payment.changed_s = self.now_s()

    def settle(self, payment: SimPayment) -> bool:
        """The node says that an incoming payment is there, whatever was thought of it before."""
        if payment.status == "success":
            return False
        self.change(payment, "success")
        self._move(payment.wallet, payment.payment_hash, payment.amount_msat)
        self._tell(payment)
        return True

    def pay(self, payer: SimWallet, text: str, extra: dict[str, Any]) -> SimPayment:
        """Pay an invoice of this LNbits or of another node; return the row that LNbits answers."""
        try:
            invoice = bolt11.decode(text)
        except Bolt11Error as fault:
            raise PaymentRefused("Bolt11 decoding failed.") from fault
        if invoice.amount is None:
            raise PaymentRefused("Amountless invoices not supported.")
        target = self.incoming(invoice.payment_hash)
        if target is not None and target.status == "success":
            raise PaymentRefused("Internal invoice already paid.")
        if target is not None and target.status == "pending":
            if target.bolt11 != text.lower():
                raise PaymentRefused("Invalid invoice. Bolt11 changed.")
            return self._pay_inside(payer, target, extra)
        return self._pay_abroad(payer, text, extra)

    def finish(self, payment_hash: str, status: Status) -> None:
        """Decide a payment that went out and is pending, or that was called failed too early."""
        payment = self.outgoing(payment_hash)
        assert payment is not None
        self._conclude(payment, status)

    def pay_at_node(self, payment_hash: str) -> None:
        """The node pays what LNbits believes to be pending, or to have failed."""
        payment = self.outgoing(payment_hash)
        assert payment is not None
        self._leave(payment)

    def _pay_inside(
        self, payer: SimWallet, target: SimPayment, extra: dict[str, Any]
    ) -> SimPayment:
        if self.balance_msat(payer) < target.amount_msat:
            raise PaymentRefused("Insufficient balance.")
        outgoing = self._new_outgoing(payer, target.bolt11, extra)
        outgoing.checking_id = f"internal_{target.payment_hash}"
        outgoing.status = "success"
        outgoing.preimage = target.preimage
        self._keep(outgoing)
        self._move(payer, target.payment_hash, -target.amount_msat)
        self._tell(outgoing)
        self.settle(target)
        self._tell(target)  # once more: both versions do (measured)
        return outgoing

    def _pay_abroad(self, payer: SimWallet, text: str, extra: dict[str, Any]) -> SimPayment:
        outgoing = self._new_outgoing(payer, text, extra)
        balance_msat, amount_msat = self.balance_msat(payer), -outgoing.amount_msat
        reserve_msat = self.reserve_msat(amount_msat)
        if balance_msat < amount_msat:
            raise PaymentRefused("Insufficient balance.")
        if balance_msat < amount_msat + reserve_msat:
            raise PaymentRefused(
                f"You must reserve at least ({round(reserve_msat / 1000)}"
                "  sat) to cover potential routing fees."
            )
        if (old := self.shown(outgoing.payment_hash, None)) is not None:
            return self._pay_again(old)
        outgoing.fee_msat = -reserve_msat
        self._keep(outgoing)
        self._conclude(outgoing, self.outcome_abroad)
        if self.outcome_abroad == "failed":
            raise PaymentRefused(f"Payment failed: {self.failure_abroad}")
        return outgoing

    def _pay_again(self, old: SimPayment) -> SimPayment:
        """What paying again gives: the old row of whatever wallet, or a refusal."""
        if old.status == "pending":
            raise PaymentRefused("Payment is still pending.", "pending")
        if old.status == "success":
            raise PaymentRefused("Payment already paid.", "success")
        if old.is_paid_at_node:  # only now LNbits asks (read in both versions' source)
            self.change(old, "success")
            detail = "Failed payment was already paid on the fundingsource."
            raise PaymentRefused(detail, "success")
        return old

    def _conclude(self, payment: SimPayment, status: Status) -> None:
        assert payment.status != "success", "money that left does not come back"
        if status == "success":
            self._leave(payment)
        self.change(payment, status)
        if status == "success":
            self._tell(payment)

    def _leave(self, payment: SimPayment) -> None:
        assert not payment.is_paid_at_node, "a node pays an invoice once"
        payment.is_paid_at_node = True
        payment.fee_msat = -self.fee_abroad_msat
        payment.preimage = self._foreign_preimages.get(payment.payment_hash)
        self._move(payment.wallet, payment.payment_hash, payment.amount_msat + payment.fee_msat)

    def _new_outgoing(self, payer: SimWallet, text: str, extra: dict[str, Any]) -> SimPayment:
        invoice = bolt11.decode(text)
        assert invoice.amount is not None
        now_s = self.now_s()
        return SimPayment(
            wallet=payer,
            checking_id=invoice.payment_hash,
            payment_hash=invoice.payment_hash,
            amount_msat=-invoice.amount,
            bolt11=text,
            memo=invoice.description or "",
            expires_s=invoice.expires_at_ms / 1000,
            made_s=now_s,
            changed_s=now_s,
            preimage=None,
            extra=extra,
        )

    def _keep(self, payment: SimPayment) -> None:
        self.payments.append(payment)
        self._by_hash[payment.payment_hash].append(payment)

    def _move(self, wallet: SimWallet, payment_hash: str, amount_msat: int) -> None:
        self.movements.append(Movement(self.now_s(), wallet.name, payment_hash, amount_msat))


def listed(
    payments: Sequence[SimPayment], wallet: SimWallet, query: Mapping[str, str]
) -> list[SimPayment]:
    """The rows of a list: `failed` ones never; filters that LNbits does not know are ignored."""
    rows = [p for p in payments if p.wallet is wallet and p.status in ("pending", "success")]
    for name, value in query.items():
        match name:
            case "status":
                rows = [p for p in rows if p.status == value]
            case "payment_hash":
                rows = [p for p in rows if p.payment_hash == value]
            case "amount[gt]":
                rows = [p for p in rows if p.amount_msat > int(value)]
            case "amount[lt]":
                rows = [p for p in rows if p.amount_msat < int(value)]
            case _:
                pass
    key = {
        "time": lambda p: p.made_s,
        "created_at": lambda p: p.made_s,
        "updated_at": lambda p: p.changed_s,
        "amount": lambda p: p.amount_msat,
    }[query.get("sortby", "time")]
    is_descending = query.get("direction", "desc" if "sortby" not in query else "asc") == "desc"
    rows.sort(key=key, reverse=is_descending)
    offset, limit = int(query.get("offset", "0")), int(query.get("limit", "10"))
    return rows[offset : offset + min(limit or 1000, 1000)]


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
