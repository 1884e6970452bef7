"""Idempotency keys: the same request again gets the same answer, byte for byte.

A key is claimed before the work and kept with its answer in the transaction of the effect. Only
2xx answers are kept; anything else frees the key, as does the death of the process that ran it.
Source: the Idempotency-Key draft of the IETF's HTTPAPI group.
"""

import hashlib
from dataclasses import dataclass

from core.books.processes import ALIVE_MS
from core.store.port import Tx

KEPT_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Receipt:
    """The right to answer under a key; whoever holds it keeps an answer or releases the key."""

    principal: str
    key: str
    fingerprint: bytes
    owner: str

    @property
    def place(self) -> bytes:
        """The principal and key as one hash, which tells nothing of either."""
        return hashlib.sha256(f"{self.principal}\n{self.key}".encode()).digest()

    @property
    def topic(self) -> str:
        """Where it is announced that the key has its answer, or is free."""
        return f"key:{self.place.hex()}"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was kept; `sealed` is encrypted."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The key stands for another request."""


@dataclass(frozen=True, slots=True)
class KeyRunning:
    """The first request under this key still runs."""


Claim = Receipt | StoredAnswer | KeyReused | KeyRunning


async def claim(tx: Tx, receipt: Receipt, now_ms: int) -> Claim:
    """Claim the key of `receipt`; the receipt itself comes back where the request is new."""
    row = await tx.one(
        "SELECT k.fingerprint, k.state, k.answer, k.owner, k.expires_at_ms, p.process_id AS alive"
        " FROM idempotency_keys k"
        " LEFT JOIN processes p ON p.process_id = k.owner AND p.seen_at_ms > :since_ms"
        " WHERE k.principal = :principal AND k.key = :key",
        principal=receipt.principal,
        key=receipt.key,
        since_ms=now_ms - ALIVE_MS,
    )
    if row is not None and row["expires_at_ms"] > now_ms:
        is_alive = row["alive"] is not None or row["owner"] == receipt.owner
        if row["state"] == "running" and is_alive:
            return KeyRunning() if row["fingerprint"] == receipt.fingerprint else KeyReused()
        if row["state"] == "stored":
            same = row["fingerprint"] == receipt.fingerprint
            return StoredAnswer(row["answer"]) if same else KeyReused()
    await _put(tx, receipt, now_ms)
    return receipt


async def keep(tx: Tx, receipt: Receipt, sealed: bytes, now_ms: int) -> None:
    """Keep the answer, in the transaction of its effect."""
    kept = await tx.run(
        "UPDATE idempotency_keys SET state = 'stored', answer = :sealed,"
        " expires_at_ms = :expires_at_ms WHERE principal = :principal AND key = :key"
        " AND state = 'running' AND owner = :owner AND fingerprint = :fingerprint",
        principal=receipt.principal,
        key=receipt.key,
        owner=receipt.owner,
        fingerprint=receipt.fingerprint,
        sealed=sealed,
        expires_at_ms=now_ms + KEPT_MS,
    )
    assert kept == 1, "an answer is kept once, by the holder of the receipt"
    tx.announce(receipt.topic)


async def release(tx: Tx, receipt: Receipt) -> None:
    """Free the key: the request had no effect."""
    await tx.run(
        "DELETE FROM idempotency_keys WHERE principal = :principal AND key = :key"
        " AND state = 'running' AND owner = :owner AND fingerprint = :fingerprint",
        principal=receipt.principal,
        key=receipt.key,
        owner=receipt.owner,
        fingerprint=receipt.fingerprint,
    )
    tx.announce(receipt.topic)


async def forget_expired(tx: Tx, now_ms: int) -> None:
    """Delete keys whose time is over."""
    await tx.run("DELETE FROM idempotency_keys WHERE expires_at_ms <= :now_ms", now_ms=now_ms)


async def _put(tx: Tx, receipt: Receipt, now_ms: int) -> None:
    await tx.run(
        "INSERT INTO idempotency_keys (principal, key, fingerprint, state, owner, expires_at_ms)"
        " VALUES (:principal, :key, :fingerprint, 'running', :owner, :expires_at_ms)"
        " ON CONFLICT (principal, key) DO UPDATE SET fingerprint = :fingerprint,"
        " state = 'running', owner = :owner, answer = NULL, expires_at_ms = :expires_at_ms",
        principal=receipt.principal,
        key=receipt.key,
        fingerprint=receipt.fingerprint,
        owner=receipt.owner,
        expires_at_ms=now_ms + KEPT_MS,
    )
