"""The ledger: double entry in millisatoshi, appended to and never changed.

A transfer has legs that add up to 0. A customer's account (a job or a session) stores a guarded
balance and chains its entries by hash; the house accounts store none, their balance is the sum of
their entries, so that customers never wait for one another on a house row. A leg on a house
account is covered by the hash of its transfer.

Signs: a positive amount is owed to the account's owner. The wallet's own account is the other side
of every payment that came in, so it is negative: minus what the wallet holds for the books.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from core.store.port import Row, Tx
from core.values.errors import Refused
from core.values.money import NOTHING, Msat

WALLET: Final = "wallet"
REVENUE: Final = "revenue"
SUSPENSE: Final = "suspense"
FEES: Final = "fees"
OWNER: Final = "owner"  # what the owner has put in, less what the owner has drawn
HOUSE: Final = frozenset({WALLET, REVENUE, SUSPENSE, FEES, OWNER})

Kind = Literal["deposit", "topup", "charge", "refund", "withdrawal", "fee", "transfer"]

SILENT_MS: Final = 20_000  # a process gives a sign of life every second

_GENESIS: Final = bytes(32)


class NotEnough(Refused):
    """The account's free money is less than this needs; nothing was written."""

    code = "insufficient_balance"

    def __init__(self, account_id: str, *, needed: Msat, free: Msat) -> None:
        super().__init__("The balance does not cover this.")
        self.account_id = account_id
        self.needed = needed
        self.free = free


class HoldResolved(Exception):
    """A hold was resolved before, in another way."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Why money moves. The same intention always has the same `transfer_id`.

    `is_unspent` marks what comes back of a charge: the account has then spent less.
    """

    transfer_id: str
    kind: Kind
    ref: str
    at_ms: int
    reason: str = ""
    is_unspent: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a transfer; a negative amount leaves the account."""

    account_id: str
    amount: Msat


@dataclass(frozen=True, slots=True)
class Account:
    """A customer's account as it stands."""

    account_id: str
    balance: Msat
    held: Msat
    deposited: Msat  # all that ever came in
    spent: Msat  # charges, less what came back of them

    @property
    def free(self) -> Msat:
        """What can be spent or paid out."""
        return Msat(self.balance - self.held)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a customer's account."""

    number: int
    kind: Kind
    amount: Msat
    balance: Msat
    ref: str
    at_ms: int


async def open_account(tx: Tx, account_id: str) -> None:
    """Open a customer's account with nothing on it; again is no change."""
    await tx.run(
        "INSERT INTO accounts (account_id, balance_msat, held_msat, deposited_msat, spent_msat,"
        " entry_count, chain_hash) VALUES (:account_id, 0, 0, 0, 0, 0, :genesis)"
        " ON CONFLICT (account_id) DO NOTHING",
        account_id=account_id,
        genesis=_GENESIS,
    )


async def transfer(tx: Tx, what: Transfer, legs: Sequence[Leg]) -> None:
    """Write one transfer; the legs add up to 0.

    Raises NotEnough, before anything is written, when the first customer leg would leave less
    than is held; a transfer that takes from a customer therefore names that leg first. The same
    `transfer_id` a second time violates the table's key: callers guard their intention by the
    state of their own row.
    """
    await _write(tx, what, legs, released=NOTHING)


async def _write(tx: Tx, what: Transfer, legs: Sequence[Leg], *, released: Msat) -> list["_Line"]:
    """Write a transfer; `released` is no longer held on the account of its first leg."""
    assert sum(leg.amount for leg in legs) == 0, "the legs of a transfer add up to 0"
    transfer_hash = _transfer_hash(what, legs)
    first, *others = legs
    lines = [await _move(tx, first, what, transfer_hash, released=released)]
    lines += [await _move(tx, leg, what, transfer_hash, released=NOTHING) for leg in others]
    await tx.run(
        "INSERT INTO transfers (transfer_id, kind, ref, reason, at_ms, hash)"
        " VALUES (:transfer_id, :kind, :ref, :reason, :at_ms, :hash)",
        transfer_id=what.transfer_id,
        kind=what.kind,
        ref=what.ref,
        reason=what.reason,
        at_ms=what.at_ms,
        hash=transfer_hash,
    )
    for place, (leg, line) in enumerate(zip(legs, lines, strict=True)):
        await tx.run(
            "INSERT INTO entries (transfer_id, leg, account_id, amount_msat, number, balance_msat,"
            " chain_hash) VALUES (:transfer_id, :leg, :account_id, :amount, :number, :balance,"
            " :chain_hash)",
            transfer_id=what.transfer_id,
            leg=place,
            account_id=leg.account_id,
            amount=leg.amount,
            number=line.number,
            balance=line.balance,
            chain_hash=line.chain_hash,
        )
    return lines


async def account(tx: Tx, account_id: str) -> Account | None:
    """A customer's account, or None."""
    row = await tx.one(
        "SELECT account_id, balance_msat, held_msat, deposited_msat, spent_msat FROM accounts"
        " WHERE account_id = :account_id",
        account_id=account_id,
    )
    if row is None:
        return None
    return Account(
        account_id=row["account_id"],
        balance=Msat(row["balance_msat"]),
        held=Msat(row["held_msat"]),
        deposited=Msat(row["deposited_msat"]),
        spent=Msat(row["spent_msat"]),
    )


async def has_entries(tx: Tx, account_id: str) -> bool:
    """Whether money ever moved on this account."""
    row = await tx.one(
        "SELECT entry_count FROM accounts WHERE account_id = :account_id", account_id=account_id
    )
    return row is not None and row["entry_count"] > 0


async def close_unused_account(tx: Tx, account_id: str) -> None:
    """Delete an account on which money never moved."""
    await tx.run(
        "DELETE FROM accounts WHERE account_id = :account_id AND entry_count = 0",
        account_id=account_id,
    )


async def hold(
    tx: Tx, hold_id: str, account_id: str, amount: Msat, expires_at_ms: int, *, owner: str = ""
) -> None:
    """Set money aside, so that nothing else can spend it; it counts at once.

    `owner` is the process that will resolve it; when that one is gone, the hold is stale at once.
    Raises NotEnough before anything is written. A hold resolves once, by `post`.
    """
    if not await hold_if_free(tx, hold_id, account_id, amount, expires_at_ms, owner=owner):
        here = await account(tx, account_id)
        raise NotEnough(account_id, needed=amount, free=here.free if here else Msat(0))


async def hold_if_free(
    tx: Tx, hold_id: str, account_id: str, amount: Msat, expires_at_ms: int, *, owner: str
) -> bool:
    """The same; False, and nothing is written, where the account's free money is less."""
    is_free = await tx.run(
        "UPDATE accounts SET held_msat = held_msat + :amount"
        " WHERE account_id = :account_id AND balance_msat - held_msat >= :amount",
        account_id=account_id,
        amount=amount,
    )
    if not is_free:
        return False
    await tx.run(
        "INSERT INTO holds (hold_id, account_id, amount_msat, state, used_msat, owner,"
        " expires_at_ms) VALUES (:hold_id, :account_id, :amount, 'open', 0, :owner,"
        " :expires_at_ms)",
        hold_id=hold_id,
        account_id=account_id,
        amount=amount,
        owner=owner,
        expires_at_ms=expires_at_ms,
    )
    return True


async def post(tx: Tx, hold_id: str, used: Msat, *, ref: str, now_ms: int) -> Msat:
    """Turn a hold into a charge, give the rest back, and return the rest.

    `used` may be 0 (a void), never more than the hold. A hold resolves once: the same call again
    returns the same rest, another amount raises HoldResolved. Source: two-phase transfers,
    TigerBeetle.
    """
    return (await _post(tx, hold_id, used, ref=ref, now_ms=now_ms)).rest


async def charge(tx: Tx, hold_id: str, used: Msat, *, ref: str, now_ms: int) -> Msat:
    """The same; return the balance that is left."""
    posted = await _post(tx, hold_id, used, ref=ref, now_ms=now_ms)
    if posted.balance is not None:
        return posted.balance
    here = await account(tx, posted.account_id)
    assert here is not None, "a hold is on an account"
    return here.balance


async def stale_holds(tx: Tx, now_ms: int, *, process_id: str = "") -> list[str]:
    """Open holds past their deadline, or whose process is gone: nobody will resolve them.

    Gone is who is not among the processes, or has been silent for `SILENT_MS`; never who asks.
    """
    rows = await tx.all(
        "SELECT hold_id FROM holds WHERE state = 'open' AND (expires_at_ms <= :now_ms"
        " OR (owner <> '' AND owner <> :process_id AND owner NOT IN"
        " (SELECT process_id FROM processes WHERE seen_at_ms > :since_ms)))"
        " ORDER BY expires_at_ms LIMIT 500",
        now_ms=now_ms,
        process_id=process_id,
        since_ms=now_ms - SILENT_MS,
    )
    return [row["hold_id"] for row in rows]


async def house_balance(tx: Tx, account_id: str) -> Msat:
    """The sum of a house account's entries."""
    row = await tx.one(
        "SELECT CAST(COALESCE(SUM(amount_msat), 0) AS BIGINT) AS total FROM entries"
        " WHERE account_id = :account_id",
        account_id=account_id,
    )
    assert row is not None
    return Msat(row["total"])


async def page(tx: Tx, account_id: str, *, before: int | None, limit: int) -> list[Entry]:
    """An account's entries, newest first, from below entry `before` on."""
    rows = await tx.all(
        "SELECT e.number, t.kind, e.amount_msat, e.balance_msat, t.ref, t.at_ms"
        " FROM entries e JOIN transfers t ON t.transfer_id = e.transfer_id"
        " WHERE e.account_id = :account_id AND e.number < :before"
        " ORDER BY e.number DESC LIMIT :limit",
        account_id=account_id,
        before=2**62 if before is None else before,
        limit=limit,
    )
    return [_entry(row) for row in rows]


@dataclass(frozen=True, slots=True)
class _Line:
    """Where an entry stands on its account; all None on a house account."""

    number: int | None = None
    balance: Msat | None = None
    chain_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Posted:
    """A hold that is resolved; the balance where this very call has moved it."""

    account_id: str
    rest: Msat
    balance: Msat | None = None


async def _post(tx: Tx, hold_id: str, used: Msat, *, ref: str, now_ms: int) -> _Posted:
    row = await tx.one(
        "UPDATE holds SET state = :state, used_msat = :used"
        " WHERE hold_id = :hold_id AND state = 'open' RETURNING account_id, amount_msat",
        hold_id=hold_id,
        state="posted" if used else "voided",
        used=used,
    )
    if row is None:
        return await _resolved_before(tx, hold_id, used)
    account_id, held = row["account_id"], Msat(row["amount_msat"])
    if used:
        what = Transfer(f"charge:{hold_id}", "charge", ref, now_ms)
        legs = (Leg(account_id, Msat(-used)), Leg(REVENUE, used))
        line, _ = await _write(tx, what, legs, released=held)
        return _Posted(account_id, Msat(held - used), line.balance)
    await tx.run(
        "UPDATE accounts SET held_msat = held_msat - :amount WHERE account_id = :account_id",
        account_id=account_id,
        amount=held,
    )
    return _Posted(account_id, held)


async def _move(tx: Tx, leg: Leg, what: Transfer, transfer_hash: bytes, *, released: Msat) -> _Line:
    if leg.account_id in HOUSE:
        return _Line()
    row = await tx.one(
        "SELECT balance_msat, held_msat, entry_count, chain_hash FROM accounts"
        " WHERE account_id = :account_id",
        account_id=leg.account_id,
    )
    assert row is not None, "a transfer names an account that is open"
    balance = Msat(row["balance_msat"] + leg.amount)
    if leg.amount < 0 and balance < row["held_msat"] - released:
        free = Msat(row["balance_msat"] - row["held_msat"])
        raise NotEnough(leg.account_id, needed=Msat(-leg.amount), free=free)
    chain_hash = chain(row["chain_hash"], transfer_hash, leg.amount, balance)
    await tx.run(
        "UPDATE accounts SET balance_msat = :balance, held_msat = held_msat - :released,"
        " entry_count = entry_count + 1,"
        " deposited_msat = deposited_msat + :deposited, spent_msat = spent_msat + :spent,"
        " chain_hash = :chain_hash WHERE account_id = :account_id",
        account_id=leg.account_id,
        balance=balance,
        released=released,
        deposited=leg.amount if what.kind in {"deposit", "topup"} else 0,
        spent=-leg.amount if what.kind == "charge" or what.is_unspent else 0,
        chain_hash=chain_hash,
    )
    return _Line(row["entry_count"] + 1, balance, chain_hash)


async def _resolved_before(tx: Tx, hold_id: str, used: Msat) -> _Posted:
    row = await tx.one(
        "SELECT account_id, amount_msat, used_msat FROM holds WHERE hold_id = :hold_id",
        hold_id=hold_id,
    )
    if row is None or row["used_msat"] != used:
        raise HoldResolved(hold_id)
    return _Posted(row["account_id"], Msat(row["amount_msat"] - used))


def chain(previous: bytes, transfer_hash: bytes, amount: int, balance: int) -> bytes:
    """The hash of an entry on a customer's account: it covers the entry before."""
    return hashlib.sha256(previous + transfer_hash + f"{amount}:{balance}".encode()).digest()


def _transfer_hash(what: Transfer, legs: Sequence[Leg]) -> bytes:
    return hash_transfer(
        (what.transfer_id, what.kind, what.ref, what.reason, str(what.at_ms)),
        [(leg.account_id, leg.amount) for leg in legs],
    )


def hash_transfer(fields: Sequence[str], legs: Sequence[tuple[str, int]]) -> bytes:
    """The hash of a transfer: its fields and all its legs; JSON keeps them apart."""
    return hashlib.sha256(orjson.dumps([fields, legs])).digest()


def _entry(row: Row) -> Entry:
    return Entry(
        number=row["number"],
        kind=row["kind"],
        amount=Msat(row["amount_msat"]),
        balance=Msat(row["balance_msat"]),
        ref=row["ref"],
        at_ms=row["at_ms"],
    )
