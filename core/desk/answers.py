"""Answers that are kept: the same request under the same key is answered once.

A door claims a key before its work. The desk's methods take a `Keep` and put the door's answer
into the transaction of the effect; without an effect the door releases the key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, assert_never

import orjson

from core.books import idempotency
from core.books.idempotency import KeyReused, KeyRunning, Receipt, StoredAnswer
from core.store.bulletin import Bulletin
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.seal import Seal

T = TypeVar("T")

LOOK_AGAIN_S = 1.0  # the one who holds the key may have died without a word


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a door sends it."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fresh:
    """The request is new: work, then keep an answer or release the key."""

    receipt: Receipt


Claimed = Fresh | Answer | KeyReused | KeyRunning


@dataclass(frozen=True, slots=True)
class KeptAnswer(Generic[T]):
    """How to keep the answer to a result; `render` is pure, it runs inside the transaction."""

    receipt: Receipt
    render: Callable[[T], Answer]


@dataclass(frozen=True, slots=True)
class Along(Generic[T]):
    """What else is written of a result: a transaction function."""

    write: Callable[[Tx, T, int], Awaitable[None]]


Keep: TypeAlias = KeptAnswer[T] | Along[T]
"""What is written in the transaction of an effect, beside the effect."""


class AnswerBook:
    """Kept answers, sealed with a key that the database does not know."""

    def __init__(
        self, store: Store, bulletin: Bulletin, clock: Clock, *, key: bytes, process_id: str
    ) -> None:
        self._store = store
        self._bulletin = bulletin
        self._clock = clock
        self._seal = Seal(key)
        self._process_id = process_id

    async def claim(self, principal: str, key: str, fingerprint: bytes) -> Claimed:
        """Claim a key, or get what it stands for already."""
        return await self._claim(Receipt(principal, key, fingerprint, self._process_id))

    async def claim_in_turn(
        self, principal: str, key: str, fingerprint: bytes, *, still_there: Callable[[], bool]
    ) -> Claimed:
        """The same, after the first request under this key has ended.

        Answers KeyRunning only where nobody is there any more to wait for that.
        """
        receipt = Receipt(principal, key, fingerprint, self._process_id)
        with self._bulletin.listen(receipt.topic) as news:
            while isinstance(claimed := await self._claim(receipt), KeyRunning):
                await news.wait(LOOK_AGAIN_S)
                if not still_there():
                    break
            return claimed

    async def _claim(self, receipt: Receipt) -> Claimed:
        found = await self._store.write(idempotency.claim, receipt, self._clock.now_ms())
        match found:
            case Receipt():
                return Fresh(found)
            case StoredAnswer(sealed):
                return _unpack(self._seal.open(sealed, receipt.place))
            case KeyReused() | KeyRunning():
                return found

    async def keep(self, tx: Tx, keep: Keep[T] | None, result: T, now_ms: int) -> None:
        """Write what belongs to `result` in this transaction: an answer under a key, or else."""
        match keep:
            case None:
                return
            case KeptAnswer(receipt, render):
                sealed = self._seal.close(_pack(render(result)), receipt.place)
                await idempotency.keep(tx, receipt, sealed, now_ms)
            case Along(write):
                await write(tx, result, now_ms)
            case _:
                assert_never(keep)

    async def release(self, receipt: Receipt) -> None:
        """Free a key whose request had no effect; goes through though the caller is cancelled."""
        await asyncio.shield(self._store.write(idempotency.release, receipt))


def _pack(answer: Answer) -> bytes:
    head = orjson.dumps([answer.status, answer.headers])
    return head + b"\n" + answer.body


def _unpack(packed: bytes) -> Answer:
    head, _, body = packed.partition(b"\n")
    status, headers = orjson.loads(head)
    return Answer(status, headers, body)
