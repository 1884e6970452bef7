"""Single invoices, looked up at LNbits: at most once a second each, whoever asks and how often."""

import asyncio

from core.values.clock import Clock
from core.wallets.lnbits_http import LnbitsHttp
from core.wallets.lnbits_rows import Look, PaidOut, is_payment_hash, read_rows, read_status
from core.wallets.port import NotPaid, Unknown

_PATH = "/api/v1/payments"
_PAUSE_S = 1.0


class LnbitsLooks:
    """Shares one look among all who ask for a hash before it has begun."""

    def __init__(self, http: LnbitsHttp, *, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._waiting: dict[str, asyncio.Task[Look]] = {}  # by hash, not begun yet
        self._begun_at: dict[str, float] = {}  # by hash, oldest first, of the last second only
        self._tasks: set[asyncio.Task[Look]] = set()

    async def look(self, payment_hash: str) -> Look:
        """What LNbits knows of this incoming payment, asked after this call began."""
        if not is_payment_hash(payment_hash):
            return Unknown("that is not a payment hash")
        task = self._waiting.get(payment_hash)
        if task is None:
            task = asyncio.create_task(self._look_in_turn(payment_hash))
            self._waiting[payment_hash] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)  # one who goes away takes the answer from nobody else

    async def aclose(self) -> None:
        """Give up the looks that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_in_turn(self, payment_hash: str) -> Look:
        if payment_hash in self._begun_at:
            wait_s = self._begun_at[payment_hash] + _PAUSE_S - self._clock.monotonic()
            await self._clock.sleep(max(wait_s, 0))
        # Whoever asks from here on may know of a payment that this look just misses.
        del self._waiting[payment_hash]
        self._note_beginning(payment_hash)
        outcome = read_status(await self._http.get(f"{_PATH}/{payment_hash}"), payment_hash)
        if isinstance(outcome, PaidOut):
            return await self._look_at_the_other(payment_hash)
        return outcome

    async def _look_at_the_other(self, payment_hash: str) -> Look:
        """The incoming half of a payment that the wallet made to itself, which only a list shows.

        Lists do not show `failed` ones, so that none there is Unknown.
        """
        rows = read_rows(
            await self._http.get(_PATH, {"payment_hash": payment_hash, "amount[gt]": "0"})
        )
        if isinstance(rows, Unknown):
            return rows
        for row in rows:
            if row.payment_hash == payment_hash and row.amount > 0:
                return row.settlement() or _unpaid(row.status)
        return Unknown("LNbits shows this payment as an outgoing one only")

    def _note_beginning(self, payment_hash: str) -> None:
        now = self._clock.monotonic()
        for old, begun_at in list(self._begun_at.items()):
            if begun_at > now - _PAUSE_S:
                break
            del self._begun_at[old]
        self._begun_at.pop(payment_hash, None)  # it goes to the end
        self._begun_at[payment_hash] = now


def _unpaid(status: str) -> NotPaid | Unknown:
    return NotPaid() if status == "pending" else Unknown(f"LNbits calls the payment {status}")
