"""A wallet, an agent and a store in the test's hands: each has a script, and a journal.

They are plain classes with the port's methods. What no script says goes well: invoices are made,
requests are accepted, work is done.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from core.agents.port import Delta, Usage, Verdict
from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.port import Movement, NotPaid, Paid, Settlement, Unknown, WalletInvoice

PATIENCE_S = 30.0

ACCEPTED = Verdict("accept", "A small task.", "Sorts names.", 1_000)
WORK = (Delta("Alice, "), Delta("Bob"), Usage(7, 3))


class Journal(list[Any]):
    """What happened, in order; a test waits for its length."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, entry: Any) -> None:
        self.append(entry)
        self._written.set()

    async def reaches(self, length: int) -> None:
        await self._until(lambda: len(self) >= length)

    async def holds(self, entry: Any, *, times: int = 1) -> None:
        await self._until(lambda: self.count(entry) >= times)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._written.clear()
                await self._written.wait()


class FakeWallet:
    """Makes invoices that nobody can read; customers pay them by `pay`."""

    def __init__(self, clock) -> None:
        self.journal = Journal()  # (what, payment hash)
        self.is_down = False
        self.silent_about: set[str] = set()  # hashes whose look-up proves nothing
        self._clock = clock
        self._paid: dict[str, Msat] = {}
        self._made: dict[str, WalletInvoice] = {}
        self.listed: list[Movement] = []
        self.holds_msat: int | None = None  # None: what customers have paid
        self._told: list[Settlement | Exception | None] = [None]
        self._news = asyncio.Event()

    def looks(self) -> list[str]:
        """The hashes that were looked up, in order."""
        return [payment_hash for what, payment_hash in self.journal if what == "look up"]

    def pay(self, invoice, amount=None) -> None:
        """A customer pays, and the wallet tells it at once."""
        self.pay_unheard(invoice, amount)
        self.tell(invoice.payment_hash)

    def pay_unheard(self, invoice, amount=None) -> None:
        """A customer pays; only who asks hears of it."""
        self._paid[invoice.payment_hash] = invoice.amount if amount is None else Msat(amount)

    def tell(self, payment_hash) -> None:
        """Tell of a payment, once more or for the first time."""
        amount = self._paid[payment_hash]
        self._say(Settlement(payment_hash, amount, None, self._clock.now_ms(), {}))

    def tell_of_a_stranger(self) -> None:
        """Tell of a payment that was not for us."""
        self._say(Settlement("ab" * 32, Msat(5), None, self._clock.now_ms(), {}))

    def break_off(self, fault: Exception) -> None:
        """Whoever listens now gets this fault, once."""
        self._say(fault)

    async def create_invoice(self, amount, *, memo, expiry_s, extra) -> WalletInvoice:
        if self.is_down:
            self.journal.write(("refuse", extra["kind"]))
            raise WalletUnavailable("down, says the test")
        payment_hash = secrets.token_hex(32)
        self.journal.write(("make", payment_hash))
        expires_at_ms = self._clock.now_ms() + expiry_s * 1000
        made = WalletInvoice(payment_hash, f"lnbcrt{memo}", amount, expires_at_ms)
        self._made[payment_hash] = made
        return made

    async def look_up(self, payment_hash):
        self.journal.write(("look up", payment_hash))
        if self.is_down or payment_hash in self.silent_about or payment_hash not in self._made:
            return Unknown("says the test")
        if payment_hash in self._paid:
            return Paid(self._paid[payment_hash], None)
        return NotPaid()

    async def settlements(self):
        seen = 0
        while True:
            while seen < len(self._told):
                said = self._told[seen]
                if isinstance(said, Exception):
                    self._told[seen] = None
                    raise said
                seen += 1
                yield said
            news = self._news
            await news.wait()

    async def movements(self, *, since_ms):
        if self.is_down:
            raise WalletUnavailable("down, says the test")
        return [moved for moved in self.listed if moved.at_ms >= since_ms]

    def watch(self, payment_hashes) -> None:
        for payment_hash in payment_hashes:
            self.journal.write(("watch", payment_hash))

    async def balance(self) -> Msat:
        if self.is_down:
            raise WalletUnavailable("down, says the test")
        if self.holds_msat is not None:
            return Msat(self.holds_msat)
        return Msat(sum(self._paid.values()))

    async def aclose(self) -> None:
        self.journal.write(("close", ""))

    def _say(self, said) -> None:
        self._told.append(said)
        self._news.set()
        self._news = asyncio.Event()


@dataclass(eq=False)
class Call:
    """One call of the agent, and how it ended: running, done, failed or stopped."""

    kind: str
    request: str
    output_tokens_max: int | None = None
    ended: str = "running"


@dataclass(eq=False)
class FakeAgent:
    """Plays the scripts in their order, one for each call.

    A script is a sequence: an event is waited for, an exception is raised, a verdict ends an
    evaluation, deltas and usage are what work is made of.
    """

    evaluations: deque = field(default_factory=deque)
    works: deque = field(default_factory=deque)
    calls: Journal = field(default_factory=Journal)
    is_ready: bool = True

    async def evaluate(self, _model, request) -> Verdict:
        script = self.evaluations.popleft() if self.evaluations else (ACCEPTED,)
        with self._call(Call("evaluate", request)):
            for said in script:
                if not await _happens(said):
                    return said
            raise AssertionError("the script has no verdict")

    async def stream(self, _model, messages, *, max_output_tokens):
        script = self.works.popleft() if self.works else WORK
        with self._call(Call("work", messages[-1].content, max_output_tokens)):
            for said in script:
                if not await _happens(said):
                    yield said

    async def ready(self) -> bool:
        return self.is_ready

    async def aclose(self) -> None:
        self.calls.write(Call("close", "", ended="done"))

    @contextmanager
    def _call(self, call):
        self.calls.write(call)
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            call.ended = "stopped"
            raise
        except Exception:
            call.ended = "failed"
            raise
        call.ended = "done"


class FakeStore:
    """A real store that tells what is written, and waits or fails before it as the script says."""

    def __init__(self, store) -> None:
        self.script: dict[Callable[..., Any], asyncio.Event | Exception] = {}
        self.begun, self.done = Journal(), Journal()  # transaction functions
        self.read = store.read
        self._store = store

    async def write(self, fn, *args, **kwargs):
        self.begun.write(fn)
        if fn in self.script:
            await _happens(self.script[fn])
        result = await self._store.write(fn, *args, **kwargs)
        self.done.write(fn)
        return result


async def _happens(said) -> bool:
    """Whether this part of a script is an event or a fault, which then happens."""
    if isinstance(said, Exception):
        raise said
    if isinstance(said, asyncio.Event):
        await said.wait()
        return True
    return False
