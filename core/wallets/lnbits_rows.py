"""What LNbits' answers mean: evidence of a payment, evidence of none, or no evidence at all.

Measured with 1.5.6 and 1.6.2 alike, where not said otherwise:

- `GET /api/v1/payments/<hash>` answers `{"paid": true, "preimage", "details"}`, without `status`,
  once paid, and `{"paid": false, "status", "preimage", "details"}` before.
- `details` is there only if the key is that of the payment's own wallet. The key of another wallet
  gets 404, as does an unknown hash; a key that LNbits does not know gets the answer for strangers,
  without `status` and `details`, for any hash that LNbits has. Neither proves anything about us.
- `{"paid": false}` without `status` also means that LNbits could not ask its own node.
- `failed` is "not paid at this moment" only: 1.6.0 and later write it at the first look after the
  expiry, without asking the node, and a later word of the node makes it `success`.
- 1.5.6 shows the preimage of an unpaid invoice. So a preimage is passed on only with a payment.
- A wallet that paid its own invoice has two payments of one hash, and is shown the outgoing one.
- A payment has no time of settlement; `updated_at` is that moment until somebody edits its labels.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, assert_never

from pydantic import AfterValidator, BaseModel, StrictBool, StrictInt, TypeAdapter, ValidationError

from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.lnbits_http import Answer, NoAnswer, Reply
from core.wallets.port import Movement, NotPaid, Settlement, Unknown

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PaidOut:
    """The payment shown is one that left the wallet; of an incoming one nothing is said."""


Look = Settlement | NotPaid | Unknown


def is_payment_hash(text: str) -> bool:
    """Whether this is the hex form that LNbits and the books use."""
    return _HASH.fullmatch(text) is not None


def _in_utc(moment: datetime) -> datetime:
    # The answer to a new invoice has an expiry without a zone; all others say UTC.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Row(BaseModel):
    """One payment in LNbits' words, in msat; what went out is negative, and every fee."""

    payment_hash: str
    bolt11: str | None = None
    amount: StrictInt
    fee: StrictInt = 0
    status: str
    preimage: str | None = None
    expiry: _Moment | None = None
    updated_at: _Moment
    extra: dict[str, Any] | None = None

    @property
    def updated_at_ms(self) -> int:
        """Unix time in milliseconds."""
        return int(self.updated_at.timestamp() * 1000)

    def settlement(self) -> Settlement | None:
        """The settled incoming payment that this is, if it is one."""
        if self.status != "success" or self.amount <= 0 or not is_payment_hash(self.payment_hash):
            return None
        return Settlement(
            payment_hash=self.payment_hash,
            amount=Msat(self.amount),
            preimage=self.true_preimage(),
            settled_at_ms=self.updated_at_ms,
            extra=self.marks(),
        )

    def movement(self) -> Movement | None:
        """The settled payment, in or out, that this is, if it is one."""
        if self.status != "success" or not self.amount or not is_payment_hash(self.payment_hash):
            return None
        return Movement(
            direction="in" if self.amount > 0 else "out",
            payment_hash=self.payment_hash,
            bolt11=self.bolt11 or "",
            amount=Msat(abs(self.amount)),
            fee=Msat(abs(self.fee)),
            at_ms=self.updated_at_ms,
            extra=self.marks(),
        )

    def marks(self) -> dict[str, str]:
        """What `extra` says in words; LNbits and its extensions add other things."""
        return {k: v for k, v in (self.extra or {}).items() if isinstance(v, str)}

    def true_preimage(self) -> str | None:
        """The preimage, if it is shown and is the one of the hash."""
        if self.preimage is None or not is_payment_hash(self.preimage):
            return None
        hashed = hashlib.sha256(bytes.fromhex(self.preimage)).hexdigest()
        return self.preimage if hashed == self.payment_hash else None


class _Status(BaseModel):
    paid: StrictBool
    status: str | None = None
    details: Row | None = None


class _Balance(BaseModel):
    balance: StrictInt  # msat


class _Push(BaseModel):
    payment: Row


_ROWS = TypeAdapter(list[Row])


def read_status(reply: Reply, payment_hash: str) -> Look | PaidOut:
    """What the answer to a question after this hash proves."""
    match reply:
        case Answer(200, body):
            try:
                return _judge(_Status.model_validate(body), payment_hash)
            except ValidationError:
                return Unknown("LNbits' answer has not the form of a payment's status")
        case Answer() | NoAnswer():
            return Unknown(reply.reason)
        case other:
            assert_never(other)


def _judge(shown: _Status, payment_hash: str) -> Look | PaidOut:
    row = shown.details
    if row is None:
        return Unknown("LNbits shows no details: it could not ask its node, or the key is not ours")
    if row.payment_hash != payment_hash:
        return Unknown("LNbits answered about another payment")
    if row.amount <= 0:
        return PaidOut()
    settlement = row.settlement()
    if shown.paid and settlement is not None:
        return settlement
    if not shown.paid and shown.status == row.status and row.status in ("pending", "failed"):
        return NotPaid()
    return Unknown("LNbits' answer does not say whether the invoice is paid")


def read_rows(reply: Reply) -> Sequence[Row] | Unknown:
    """The payments of a list; one that cannot be read spoils it, so that none is missed quietly."""
    match reply:
        case Answer(200, body):
            try:
                return _ROWS.validate_python(body)
            except ValidationError:
                return Unknown("LNbits' answer has not the form of a list of payments")
        case Answer() | NoAnswer():
            return Unknown(reply.reason)
        case other:
            assert_never(other)


def read_balance(reply: Reply) -> Msat:
    """What LNbits says the wallet holds. Raises WalletUnavailable."""
    match reply:
        case Answer(200, body):
            try:
                return Msat(_Balance.model_validate(body).balance)
            except ValidationError:
                raise WalletUnavailable("LNbits did not say what the wallet holds") from None
        case Answer() | NoAnswer():
            raise WalletUnavailable(reply.reason)
        case other:
            assert_never(other)


def pushed_hash(text: str) -> str | None:
    """The hash of the incoming payment that a message of the socket calls settled, if it does."""
    try:
        settlement = _Push.model_validate_json(text).payment.settlement()
    except ValidationError:
        return None
    return settlement.payment_hash if settlement else None
