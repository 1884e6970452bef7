"""The answers of the simulated LNbits, as measured: a status and a body for each request."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from core.values import bolt11
from tests.simulator.lnbits_books import (
    SATS_MAX,
    Books,
    PaymentRefused,
    SimWallet,
    listed,
)

Reply = tuple[int, Any]

_SORTABLE = ("time", "created_at", "updated_at", "amount")


class Refusal(Exception):
    """An answer that is not the one asked for."""

    def __init__(self, code: int, detail: str, **more: str) -> None:
        super().__init__(detail)
        self.reply: Reply = (code, {"detail": detail, **more})


class Routes:
    def __init__(self, books: Books, *, allow_private_webhooks: bool) -> None:
        self._books = books
        self._allow_private_webhooks = allow_private_webhooks

    def create(self, key: str | None, order: Mapping[str, Any]) -> Reply:
        wallet = self._wallet_of(key)
        sats, webhook = int(order["amount"]), order.get("webhook")  # LNbits cuts fractions off
        if webhook is not None and not (self._allow_private_webhooks or _is_public(webhook)):
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(webhook))
            raise Refusal(
                400,
                f"Callback URL origin '{origin}' is not allowed. Please check your admin settings.",
            )
        if sats > SATS_MAX:
            detail = f"Invoice amount {sats} sats is too high. Max allowed: {SATS_MAX} sats."
            raise Refusal(520, detail, status="failed")
        payment = self._books.invoice(
            wallet,
            sats=sats,
            memo=order.get("memo") or "LNbits",
            expiry_s=order.get("expiry") or 3600,
            extra=order.get("extra") or {},
            webhook=webhook,
        )
        return 201, payment.as_json()

    def pay(self, key: str | None, order: Mapping[str, Any]) -> Reply:
        wallet = self._wallet_of(key)
        if key != wallet.admin_key:
            raise Refusal(403, "Invoice (or Admin) key required.")
        if not order.get("bolt11"):
            raise Refusal(400, "Missing BOLT11 invoice")
        try:
            payment = self._books.pay(wallet, order["bolt11"], order.get("extra") or {})
        except PaymentRefused as refusal:
            raise Refusal(520, refusal.detail, status=refusal.status) from None
        return 201, payment.as_json()

    def list(self, key: str | None, query: Mapping[str, str]) -> Reply:
        wallet = self._wallet_of(key)
        if query.get("sortby", "time") not in _SORTABLE:
            raise Refusal(
                400,
                "1 validation error for Filters\n__root__\n  Invalid sort field (type=value_error)",
            )
        return 200, [row.as_json() for row in listed(self._books.payments, wallet, query)]

    def status(self, key: str | None, payment_hash: str) -> Reply:
        wallet = self._books.wallet_of(key)
        payment = self._books.shown(payment_hash, wallet)
        if payment is None:
            raise Refusal(404, "Payment does not exist.")
        was_decided = payment.status != "pending"
        self._books.recheck(payment)
        is_paid = payment.status == "success"
        answer: dict[str, Any] = {"paid": is_paid}
        if is_paid or not was_decided:
            is_shown = is_paid or self._books.version == "1.5.6"
            answer["preimage"] = payment.preimage if is_shown else None
        if wallet is not None:
            answer["details"] = payment.as_json()
        if not is_paid and (wallet is not None or was_decided):
            answer["status"] = payment.status
        return 200, answer

    def wallet(self, key: str | None) -> Reply:
        wallet = self._wallet_of(key)
        answer = {"name": wallet.name, "balance": self._books.balance_msat(wallet)}
        return 200, {**answer, "id": wallet.id} if key == wallet.admin_key else answer

    def fee_reserve(self, invoice: str) -> Reply:
        amount = bolt11.decode(invoice).amount
        if amount is None:
            raise Refusal(400, "Invoice has no amount.")
        return 200, {"fee_reserve": self._books.reserve_msat(amount)}

    def _wallet_of(self, key: str | None) -> SimWallet:
        if key is None:
            raise Refusal(401, "No Api Key provided.")
        wallet = self._books.wallet_of(key)
        if wallet is None:
            raise Refusal(404, "Wallet not found.")
        return wallet


def _is_public(webhook: str) -> bool:
    """The default rule of 1.6.0 and later: a host name with a dot, no address."""
    host = urlsplit(webhook).hostname or ""
    return re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", host) is not None
