"""Paying out of the stub wallet: play money for invoices that it made for somebody else.

A payment is decided once, in one transaction of the journal: the same invoice again has the same
outcome. Routing costs 0 or 1 satoshi, as the last bit of the payment hash says.
"""

import json
import sqlite3
from collections.abc import Mapping

from core.values.bolt11 import Bolt11, decode
from core.values.clock import Clock
from core.values.errors import WalletUnavailable
from core.values.money import NOTHING, Msat, from_sats
from core.wallets.port import Failed, Missing, Outcome, Sent, Unproven
from core.wallets.stub_journal import StubJournal

_FEE = from_sats(1)


class StubPayer:
    """A `core.wallets.port.Payer` that spends a stub wallet."""

    def __init__(self, journal: StubJournal, *, clock: Clock) -> None:
        """`journal` is the wallet's, which closes it."""
        self._journal = journal
        self._clock = clock

    async def fee_reserve(self, bolt11: str) -> Msat:  # noqa: ARG002 - it is the port's
        """The most that routing ever costs here."""
        return _FEE

    async def balance(self) -> Msat:
        """What the wallet holds."""
        return self._journal.balance()

    async def pay(self, bolt11: str, *, extra: Mapping[str, str]) -> Outcome:
        """Pay this invoice, which is one that can be read."""
        invoice = decode(bolt11)
        try:
            with self._journal.transaction():
                row = self._find(invoice.payment_hash) or self._decide(bolt11, invoice, extra)
        except WalletUnavailable as fault:
            return Unproven(fault.reason)
        return _outcome(row)

    async def outcome(self, payment_hash: str) -> Outcome:
        """What the journal says, which misses nothing."""
        try:
            row = self._find(payment_hash)
        except WalletUnavailable as fault:
            return Unproven(fault.reason)
        return (
            Missing("the stub wallet was never told to pay this") if row is None else _outcome(row)
        )

    async def aclose(self) -> None:
        """Leave the journal to its wallet."""

    def _decide(self, bolt11: str, invoice: Bolt11, extra: Mapping[str, str]) -> sqlite3.Row:
        fee = _FEE if int(invoice.payment_hash, 16) % 2 else NOTHING
        rows = self._journal.run(
            """SELECT amount_msat, preimage FROM invoices
               WHERE bolt11 = :bolt11 AND payment_hash = :payment_hash
                 AND owner = 'somebody else'""",
            bolt11=bolt11.lower(),
            payment_hash=invoice.payment_hash,
        )
        amount = Msat(rows[0]["amount_msat"] if rows else 0)
        failure = None
        if not rows:
            failure = "the stub wallet can only pay invoices that it made for somebody else"
        elif invoice.expires_at_ms <= self._clock.now_ms():
            failure = "the invoice has expired"
        elif self._journal.balance() < amount + fee:
            failure = "the stub wallet does not hold enough"
        [row] = self._journal.run(
            """INSERT INTO payouts (payment_hash, amount_msat, fee_msat, failure, preimage, extra)
               VALUES (:payment_hash, :amount_msat, :fee_msat, :failure, :preimage, :extra)
               RETURNING *""",
            payment_hash=invoice.payment_hash,
            amount_msat=amount,
            fee_msat=fee,
            failure=failure,
            preimage=None if failure else rows[0]["preimage"],
            extra=json.dumps(dict(extra)),
        )
        return row

    def _find(self, payment_hash: str) -> sqlite3.Row | None:
        rows = self._journal.run(
            """SELECT fee_msat, failure, preimage FROM payouts
               WHERE payment_hash = :payment_hash""",
            payment_hash=payment_hash,
        )
        return rows[0] if rows else None


def _outcome(row: sqlite3.Row) -> Sent | Failed:
    if row["failure"] is not None:
        return Failed(row["failure"])
    return Sent(Msat(row["fee_msat"]), row["preimage"])
