"""The stage of a story: the finished program in a process of its own, with everything around it.

Nothing is changed inside the program. It is told the addresses of the simulated Bot API, LNbits and
model, and its clock is moved from outside by libfaketime: its wall clock and its monotonic clock go
forward together, as if the time had really passed.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from glob import glob
from pathlib import Path
from typing import Final

import orjson

from core.values import bolt11
from tests.conftest import Database
from tests.process.invariants import Outside, broken
from tests.process.server import Program, eventually
from tests.process.world import of_lnbits, of_model, rows
from tests.simulator.bot_api import SimulatedBotApi
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_books import PaymentRefused
from tests.simulator.model import SimulatedModel
from tests.simulator.relays import WORDS, Relays, open_relays
from tests.simulator.seat import NotPayable

HANGS_S: Final = 2.0  # a letter that a channel does not answer for so long is left hanging
PAGES: Final = "https://shop.example.org"  # where the pay pages are said to be; nobody goes there
_SHORT: Final = {"check": "pricing.eval_fee_sats", "once": "chat.pay_once_sats"}
_NO_SETTING: Final = WORDS | {"lnbits", "model", "postgres", "balance"}

MakeProgram = Callable[..., Program]


@dataclass(slots=True)
class Stage:
    """One program and all others."""

    database: Database
    program: Program
    telegram: SimulatedBotApi
    lnbits: SimulatedLnbits
    model: SimulatedModel
    relays: Relays
    offset_file: Path
    is_running: bool = True
    offset_s: float = 0.0

    async def kill(self) -> None:
        """End the program as a crash does."""
        pid = self.program.pid
        self.program.kill()
        _forget_clock(pid)
        self.is_running = False

    async def stop(self) -> None:
        """Ask the program to end."""
        if self.is_running:
            await self.program.stop()
        self.is_running = False

    async def start(self) -> None:
        """Start the program on what it has left."""
        await self.program.start()
        self.is_running = True

    async def pass_time(self, seconds: float) -> None:
        """Let this time pass everywhere, at once."""
        self.offset_s += seconds
        write_offset(self.offset_file, self.offset_s)
        self.lnbits.books.clock_offset_s = self.offset_s
        self.telegram.chats.clock_offset_s = self.offset_s
        if self.is_running:
            await eventually(self._has_noticed)

    async def letters_are_noted(self) -> None:
        """Return when the program has noted what it said, or hangs: then nobody answers it."""
        with suppress(TimeoutError):
            await eventually(self._has_nothing_to_say, within_s=HANGS_S)

    async def _has_nothing_to_say(self) -> bool:
        now_ms = int(self.telegram.chats.now_s() * 1000)
        return not await rows(self.database, _ON_THEIR_WAY, now_ms=now_ms)

    async def _has_noticed(self) -> bool:
        """Whether the program says, in an answer, that it is later."""
        reply = await self.program.get("/healthz")
        said_s = parsedate_to_datetime(reply.headers["Date"]).timestamp()
        return said_s > self.telegram.chats.now_s() - 5

    async def pay(self, text: str) -> None:
        """A customer's wallet pays an invoice as it was shown. Raises NotPayable."""
        invoice = bolt11.decode(text)
        if invoice.expires_at_ms / 1000 < self.lnbits.books.now_s():
            raise NotPayable("the wallet says that this invoice has expired")
        try:
            self.lnbits.books.pay(self.lnbits.books.buyer, text, {})
        except PaymentRefused as refused:
            raise NotPayable(refused.detail) from None

    async def pay_late(self, text: str) -> None:
        """A payment that was under way when the invoice expired. Raises NotPayable."""
        payment_hash = bolt11.decode(text).payment_hash
        if self.lnbits.books.incoming(payment_hash) is None:
            raise NotPayable("LNbits does not know this invoice")
        await self.lnbits.settle(payment_hash)

    async def ledger(self) -> dict[str, int]:
        """What came in and went out, what was earned, and what is owed, in whole satoshi."""
        house = await rows(self.database, _HOUSE)
        sums = {str(row["name"]): int(row["msat"] or 0) // 1000 for row in house}
        return {name: sums.get(name, 0) for name in ("in", "out", "revenue", "fees", "liabilities")}

    def calls(self) -> dict[str, int]:
        """How often each of the others was called, by name."""
        counts: dict[str, int] = {}
        named = [
            *("model.check" if call.is_evaluation else "model.work" for call in self.model.calls),
            *(f"lnbits.{call.name}" for call in self.lnbits.calls),
            *(f"telegram.{call.method}" for call in self.telegram.calls if call.status == 200),
        ]
        for name in named:
            counts[name] = counts.get(name, 0) + 1
        return counts

    async def broken_rules(self) -> list[str]:
        """What does not hold at the end, in the books and on the wire; the program has stopped."""
        shop = self.lnbits.books.shop.name
        moved = [move for move in self.lnbits.books.movements if move.wallet == shop]
        outside = Outside.of(
            [(move.payment_hash, move.amount_msat) for move in moved],
            [(call.is_evaluation, call.body) for call in self.model.calls],
        )
        died = ["the program's log has a traceback"] if "Traceback" in self.program.log() else []
        return [*await broken(self.database, outside), *self.telegram.chats.findings, *died]


_ON_THEIR_WAY: Final = """
SELECT number FROM outbox
 WHERE state = 'queued' AND tries = 0 AND doubts = 0 AND not_before_ms <= :now_ms
"""

_HOUSE: Final = """
SELECT 'in' AS name, -SUM(amount_msat) AS msat FROM entries
 WHERE account_id = 'wallet' AND amount_msat < 0
UNION ALL SELECT 'out', SUM(amount_msat) FROM entries
 WHERE account_id = 'wallet' AND amount_msat > 0
UNION ALL SELECT 'revenue', SUM(amount_msat) FROM entries WHERE account_id = 'revenue'
UNION ALL SELECT 'fees', SUM(amount_msat) FROM entries WHERE account_id = 'fees'
UNION ALL SELECT 'liabilities', SUM(balance_msat) FROM accounts
"""


@asynccontextmanager
async def open_stage(
    world: Mapping[str, str],
    database: Database,
    *,
    make_program: MakeProgram = Program,
    moves_clock: Path | None = None,
) -> AsyncIterator[Stage]:
    """Everything runs while the block runs; `moves_clock` is libfaketime, where it is needed."""
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(SimulatedModel())
        lnbits = await stack.enter_async_context(SimulatedLnbits())
        telegram = await stack.enter_async_context(SimulatedBotApi())
        relays = await stack.enter_async_context(open_relays(world))
        database.data_dir.mkdir(parents=True, exist_ok=True)
        offset_file = database.data_dir / "clock-offset"
        settings = {
            **of_model(model.url),
            **of_lnbits(lnbits.url, lnbits.shop_key),
            "BOLTWORK_WALLET__LNBITS__ADMIN_KEY": lnbits.books.shop.admin_key,
            "BOLTWORK_WALLET__LNBITS__WEBHOOK": "false",
            "BOLTWORK_SERVER__PUBLIC_URL": PAGES,
            "BOLTWORK_TELEGRAM__TOKEN": telegram.token,
            "BOLTWORK_TELEGRAM__API_BASE": telegram.url,
            **_PLAIN_PRICES,
            **relays.settings,
            **settings_of(world),
        }
        if moves_clock is not None:
            write_offset(offset_file, 0)
            settings |= {
                "LD_PRELOAD": str(moves_clock),
                "FAKETIME_TIMESTAMP_FILE": str(offset_file),
                "FAKETIME_NO_CACHE": "1",
                "NO_FAKE_STAT": "1",
            }
        program = make_program(database.data_dir, database.url, **settings)
        stack.callback(lambda: _forget_clock(program.pid))
        await stack.enter_async_context(program)
        yield Stage(database, program, telegram, lnbits, model, relays, offset_file)


# One satoshi for each token of output: a verdict's estimate is the price, and usage is the cost.
_PLAIN_PRICES: Final = {
    "BOLTWORK_PRICING__BASE_MSAT": "0",
    "BOLTWORK_PRICING__MIN_SATS": "1",
    "BOLTWORK_MODELS": orjson.dumps(
        [{"id": "simulated-model", "input_msat_per_1k": 0, "output_msat_per_1k": 1_000_000}]
    ).decode(),
}


def settings_of(world: Mapping[str, str]) -> dict[str, str]:
    """The variables for a story's world: `check=21`, `chat.unpaid_max=3`."""
    variables = {}
    for name, value in world.items():
        path = _SHORT.get(name, name)
        if name not in _NO_SETTING:
            variables["BOLTWORK_" + path.replace(".", "__").upper()] = value
    return variables


def write_offset(file: Path, seconds: float) -> None:
    """Tell libfaketime; a reader never sees half of it."""
    draft = file.with_suffix(".new")
    draft.write_text(f"+{seconds}\n")
    draft.replace(file)


def _forget_clock(pid: int) -> None:
    """Remove what libfaketime leaves behind of a process that was killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (Path("/dev/shm") / name).unlink(missing_ok=True)


def find_faketime() -> Path:
    """The library of Debian's package `faketime`."""
    found = sorted(glob("/usr/lib/*/faketime/libfaketime.so.1"))  # noqa: PTH207  # no fixed root
    assert found, "stories in which time passes need Debian's package faketime"
    assert os.name == "posix"
    return Path(found[0])
