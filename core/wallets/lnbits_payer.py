"""Paying out through LNbits, with the admin key of the wallet.

The status of an answer to a pay call means little: 201 comes with payments that failed, 520 with
ones that were made long ago. So only a body that shows our payment as made is believed at once;
after every other answer, and after none, LNbits is asked what it has on record. Measured with
1.5.6 and 1.6.2 alike, where not said otherwise:

- An invoice whose hash any wallet of that LNbits has an outgoing payment for is not paid again:
  520 `{"detail", "status"}` with the old payment's status, or 201 with the old payment, which may
  be another wallet's, if that one failed.
- An invoice of another wallet of that LNbits, once paid, is refused with the status `failed`,
  though we may be who paid it. So a refusal proves nothing about us.
- The record is written before the node is told to pay, and a refusal for want of money or of the
  right key comes before the record. So such a refusal and no record together prove that nothing
  was begun; but a refusal for want of money also comes where there is a record.
- `GET /api/v1/payments/<hash>` shows a record only to the key of its own wallet, the outgoing one
  of two halves. 404 is the answer to a wrong key, too, which therefore is tried on the wallet.
- `fee` is negative msat: the reserve until the payment is made, then what it cost.
- A record that says `failed` is shown as it is, while the node may know better: LNbits asks its
  node again only when it is told to pay again (read in both versions' source).
"""

from collections.abc import Mapping
from typing import assert_never

from pydantic import BaseModel, Field, StrictBool, StrictInt, ValidationError

from core.values.bolt11 import Bolt11, decode
from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.lnbits_http import Answer, LnbitsHttp, LnbitsTurns, NoAnswer, NotTaken
from core.wallets.lnbits_rows import Row, is_payment_hash, read_balance
from core.wallets.port import Failed, Missing, NotBegun, Outcome, Sent, Unproven

_PAYMENTS = "/api/v1/payments"
_WALLET = "/api/v1/wallet"
# LNbits waits 5 s for its node, then says that the payment is pending.
_TIMEOUT_S = 10.0

# Said before there is a record. With the second follows a number.
_TOO_LITTLE = ("Insufficient balance.", "You must reserve at least (")
_WRONG_KEY = "Invoice (or Admin) key required."


class LnbitsPayer:
    """A `core.wallets.port.Payer` that spends a wallet of an LNbits."""

    def __init__(
        self, *, url: str, admin_key: str, turns: LnbitsTurns, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._http = LnbitsHttp(url=url, key=admin_key, turns=turns, timeout_s=timeout_s)

    async def fee_reserve(self, bolt11: str) -> Msat:
        """What LNbits would set aside for routing, its own service fee included."""
        reply = await self._http.get_first(f"{_PAYMENTS}/fee-reserve", {"invoice": bolt11})
        match reply:
            case Answer(200, body):
                try:
                    return Msat(_FeeReserve.model_validate(body).fee_reserve)
                except ValidationError:
                    raise WalletUnavailable("LNbits did not say its fee reserve") from None
            case Answer() | NoAnswer():
                raise WalletUnavailable(reply.reason)
            case other:
                assert_never(other)

    async def balance(self) -> Msat:
        """What LNbits says the wallet holds."""
        return read_balance(await self._http.get_first(_WALLET))

    async def pay(self, bolt11: str, *, extra: Mapping[str, str]) -> Outcome | NotBegun:
        """Pay this invoice, which is one that can be read."""
        invoice = decode(bolt11)
        order = {"out": True, "bolt11": bolt11, "extra": dict(extra)}
        reply = await self._http.post_whole(_PAYMENTS, order)
        match reply:
            case NotTaken(reason):
                return NotBegun(reason)
            case NoAnswer(reason):
                return Unproven(reason)
            case Answer():
                return _made(reply, invoice) or await self._after(reply, invoice.payment_hash)
            case other:
                assert_never(other)

    async def outcome(self, payment_hash: str) -> Outcome:
        """What LNbits has on record of this outgoing payment of our wallet."""
        assert is_payment_hash(payment_hash)
        reply = await self._http.get(f"{_PAYMENTS}/{payment_hash}")
        match reply:
            case Answer(200, body):
                try:
                    return _judge(_Status.model_validate(body), payment_hash)
                except ValidationError:
                    return Unproven("LNbits' answer has not the form of a payment's status")
            case Answer(404, {"detail": "Payment does not exist."}):
                return await self._missing_or_hidden()
            case Answer() | NoAnswer():
                return Unproven(reply.reason)
            case other:
                assert_never(other)

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _after(self, answer: Answer, payment_hash: str) -> Outcome | NotBegun:
        """What an answer that shows nothing made means, together with what is on record."""
        found = await self.outcome(payment_hash)
        if not _is_refusal_before_the_record(answer):
            return found
        match found:
            case Missing():
                return NotBegun(answer.reason)
            case Failed():
                return Unproven(f"{answer.reason}; it did not ask its node")
            case Sent() | Unproven():
                return found
            case other:
                assert_never(other)

    async def _missing_or_hidden(self) -> Missing | Unproven:
        try:
            read_balance(await self._http.get(_WALLET))
        except WalletUnavailable as fault:
            return Unproven(f"LNbits shows no payment, but the key may be wrong: {fault.reason}")
        return Missing("LNbits has no record of this payment")


class _FeeReserve(BaseModel):
    fee_reserve: StrictInt = Field(ge=0)  # msat


class _Payment(Row):
    fee: StrictInt  # not left out here: it is what the payout has cost

    def is_of(self, payment_hash: str) -> bool:
        """Whether this is the outgoing payment of that hash, and not the incoming one."""
        return self.payment_hash == payment_hash and self.amount < 0

    def sent(self) -> Sent:
        """This payment, which was made."""
        return Sent(Msat(abs(self.fee)), self.true_preimage())


class _Status(BaseModel):
    paid: StrictBool
    status: str | None = None
    details: _Payment | None = None


def _made(answer: Answer, invoice: Bolt11) -> Sent | None:
    """The payment of this invoice that an answer to a pay call shows as made, if it does."""
    if answer.status != 201:
        return None
    try:
        shown = _Payment.model_validate(answer.body)
    except ValidationError:
        return None
    is_ours = shown.is_of(invoice.payment_hash) and -shown.amount == invoice.amount
    return shown.sent() if is_ours and shown.status == "success" else None


def _judge(shown: _Status, payment_hash: str) -> Outcome:
    payment = shown.details
    if payment is None:
        return Unproven("LNbits shows no details: the key is not that of the payment's wallet")
    if not payment.is_of(payment_hash):
        return Unproven("LNbits shows another payment, or an incoming one")
    if shown.paid and payment.status == "success":
        return payment.sent()
    if not shown.paid and shown.status == payment.status == "failed":
        return Failed("LNbits shows the payment as failed")
    return Unproven(f"LNbits shows the payment as {payment.status}")


def _is_refusal_before_the_record(answer: Answer) -> bool:
    match answer:
        case Answer(520, {"detail": str(detail), "status": "failed"}):
            return detail.startswith(_TOO_LITTLE)
        case Answer(403, {"detail": str(detail)}):
            return detail == _WRONG_KEY
        case _:
            return False
