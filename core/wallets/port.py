"""The wallet port: what the core asks of whoever holds the money.

Outcomes that a caller must tell apart are types. `Unknown` is never taken for "not paid": a
wallet that is down, slow or confused has said nothing about the money.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from core.values.money import Msat


@dataclass(frozen=True, slots=True)
class WalletInvoice:
    """An invoice that the wallet made and that was read and compared before anybody sees it."""

    payment_hash: str  # 64 lower-case hex digits
    bolt11: str
    amount: Msat
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Paid:
    """The wallet shows this incoming payment as settled."""

    amount: Msat
    preimage: str | None  # 64 lower-case hex digits, where the wallet tells it


@dataclass(frozen=True, slots=True)
class NotPaid:
    """The wallet knows this invoice and shows it as not settled at this moment."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The wallet gave no answer that proves anything; `reason` is for the log."""

    reason: str


LookUp = Paid | NotPaid | Unknown


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settled incoming payment as the wallet lists it."""

    payment_hash: str
    amount: Msat
    preimage: str | None
    settled_at_ms: int
    extra: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Movement:
    """One settled payment in the wallet's own list, in or out; `fee` is what routing has cost."""

    direction: Literal["in", "out"]
    payment_hash: str
    bolt11: str
    amount: Msat
    fee: Msat
    at_ms: int
    extra: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """The wallet shows this outgoing payment as settled; `fee` is what routing really cost."""

    fee: Msat
    preimage: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The wallet shows this outgoing payment as failed at this moment; that may still change."""

    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The wallet has no record of this outgoing payment at this moment; one may still come."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unproven:
    """Nothing proves where this outgoing payment stands: it may settle, or may never have begun."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotBegun:
    """This one call to pay moved nothing and never will; of earlier ones it says nothing."""

    reason: str


Outcome = Sent | Failed | Missing | Unproven


class Payer(Protocol):
    """Where money goes out; only the payout part holds it, since it can spend the wallet."""

    async def fee_reserve(self, bolt11: str) -> Msat:
        """What the wallet would set aside for routing. Raises WalletUnavailable."""
        ...

    async def balance(self) -> Msat:
        """What the wallet holds. Raises WalletUnavailable."""
        ...

    async def pay(self, bolt11: str, *, extra: Mapping[str, str]) -> Outcome | NotBegun:
        """Pay this invoice; faults are Unproven.

        The same invoice again is never paid twice: a payment that the wallet has a record of is
        asked after, as far as the wallet can ask.
        """
        ...

    async def outcome(self, payment_hash: str) -> Outcome:
        """Where an outgoing payment stands, as the wallet shows it now; faults are Unproven."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class Wallet(Protocol):
    """Where money comes in; paying out has a port of its own."""

    async def create_invoice(
        self, amount: Msat, *, memo: str, expiry_s: int, extra: Mapping[str, str]
    ) -> WalletInvoice:
        """Make an invoice over whole satoshi.

        `extra` marks the payment at the wallet with its kind and its ids. Raises
        `core.values.errors.WalletUnavailable`; an invoice that differs from what was asked
        (amount, network, hash, expiry) counts as that.
        """
        ...

    async def look_up(self, payment_hash: str) -> LookUp:
        """What the wallet knows of this incoming payment now; its faults are Unknown."""
        ...

    def settlements(self) -> AsyncIterator[Settlement | None]:
        """Settled incoming payments as they are heard, for ever: pushed, and caught up from lists.

        May repeat and may reorder; the books count each hash once. Yields None whenever a round of
        catching up has ended, so that a listener can tell silence from deafness. Faults of the
        wallet are logged and outlived inside.
        """
        ...

    async def movements(self, *, since_ms: int) -> Sequence[Movement]:
        """All that came in and went out since then, and perhaps some of before, oldest first.

        Raises WalletUnavailable where the list is not whole.
        """
        ...

    def watch(self, payment_hashes: Sequence[str]) -> None:
        """Hint that these hashes deserve an early look (a webhook, a waiting customer)."""
        ...

    async def balance(self) -> Msat:
        """What the wallet holds. Raises WalletUnavailable."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
