"""A wallet to pay out of, in the test's hands: what it knows, what it says, and what left it."""

from dataclasses import dataclass, field
from typing import Literal

from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.port import Failed, Missing, NotBegun, Sent, Unproven

Status = Literal["success", "failed", "pending"]


@dataclass(frozen=True)
class Ending:
    """How a call to pay ends: what the wallet has on record then, and what the caller hears."""

    record: Status | None
    says: Sent | Failed | Missing | Unproven | NotBegun | None  # None: what is on record


@dataclass
class FakePayer:
    """Pays an invoice once, whatever it is told; what no script says goes well."""

    reserve_msat: int = 2_000
    fee_msat: int = 1_000
    funds_msat: int = 10**9
    is_down: bool = False
    outflows: list[str] = field(default_factory=list)  # hashes, in order
    paid_calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # hashes of which it shows no record
    known_better: set[str] = field(default_factory=set)  # paid, says its node, if it is asked
    forgetful: set[str] = field(default_factory=set)  # it goes on with the script when asked again
    breaks_at: set[str] = field(default_factory=set)  # hashes that it breaks down at
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    records: dict[str, Status] = field(default_factory=dict)

    async def fee_reserve(self, bolt11: str) -> Msat:
        assert hash_of(bolt11) in self.endings
        self._check_up()
        return Msat(self.reserve_msat)

    async def balance(self) -> Msat:
        self._check_up()
        return Msat(self.funds_msat)

    async def pay(self, bolt11, *, extra):
        payment_hash = hash_of(bolt11)
        self.paid_calls.append((payment_hash, dict(extra)))
        if payment_hash in self.breaks_at:
            raise RuntimeError
        if payment_hash in self.records and payment_hash not in self.forgetful:
            if payment_hash in self.known_better:
                self.turn(payment_hash, "success")
            return self._shown(payment_hash)
        script = self.endings.get(payment_hash)
        ending = script.pop(0) if script else Ending("success", None)
        if ending.record is not None:
            self.turn(payment_hash, ending.record)
        return self._shown(payment_hash) if ending.says is None else ending.says

    async def outcome(self, payment_hash):
        self.looks.append(payment_hash)
        return Unproven("down, says the test") if self.is_down else self._shown(payment_hash)

    async def aclose(self) -> None:
        pass

    def turn(self, payment_hash: str, status: Status) -> None:
        """The payment stands so from now on; money that has left does not come back."""
        if self.records.get(payment_hash) == "success":
            return
        self.records[payment_hash] = status
        if status == "success":
            self.outflows.append(payment_hash)

    def _shown(self, payment_hash: str):
        if payment_hash in self.hidden or payment_hash not in self.records:
            return Missing("no record, says the test")
        match self.records[payment_hash]:
            case "success":
                return Sent(Msat(self.fee_msat), None)
            case "failed":
                return Failed("failed, says the test")
            case "pending":
                return Unproven("pending, says the test")

    def _check_up(self) -> None:
        if self.is_down:
            raise WalletUnavailable("down, says the test")


def invoice_of(payment_hash: str) -> str:
    """The text of the invoice that the fake wallet reads this hash from."""
    return f"lnbcrt{payment_hash}"


def hash_of(bolt11: str) -> str:
    return bolt11.removeprefix("lnbcrt")
