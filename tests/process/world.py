"""The program with everything around it: a model, and an LNbits or the stub wallet.

Whatever the program deals with keeps a journal of its own, so that what was paid and what the model
was asked is known from outside of the program that is tested.
"""

import secrets
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import asyncpg

from core.store.dialect import translate
from tests.conftest import Database
from tests.process.gate import Gate
from tests.process.invariants import Outside
from tests.process.server import Program
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.model import SimulatedModel

MODEL_KEY = "sk-" + "0" * 24
FLOAT_MSAT = 10**9  # what the shop's wallet holds beside what customers have paid
_TURN = 1651469428  # the advisory lock for which all writers queue on PostgreSQL


@dataclass(frozen=True, slots=True)
class World:
    """One program and its surroundings; `front` is a gate before its public door."""

    database: Database
    program: Program
    model: SimulatedModel
    model_gate: Gate
    lnbits: SimulatedLnbits
    wallet_gate: Gate
    front: Gate

    async def pay(self, payment_hash: str) -> None:
        """A customer's wallet pays, once; the program may run or not."""
        await self.lnbits.pay(payment_hash)

    async def new_invoice(self, sats: int) -> str:
        """An invoice of a customer's wallet elsewhere."""
        return self.lnbits.books.foreign_invoice(sats)

    def outside(self) -> Outside:
        """What the wallet and the model have in their own journals."""
        shop = self.lnbits.books.shop.name
        moved = [move for move in self.lnbits.books.movements if move.wallet == shop]
        calls = [(call.is_evaluation, call.body) for call in self.model.calls]
        return Outside.of([(move.payment_hash, move.amount_msat) for move in moved], calls)


@dataclass(frozen=True, slots=True)
class StubWorld:
    """One program with play money, for storms: there is no limit of calls as at LNbits."""

    database: Database
    program: Program
    model: SimulatedModel

    async def pay(self, payment_hash: str) -> None:
        """A customer's wallet pays, once."""
        reply = await self.program.post(f"/dev/stub/pay/{payment_hash}")
        assert reply.status == 200, reply.body

    async def new_invoice(self, sats: int) -> str:
        """An invoice of a customer's wallet elsewhere."""
        reply = await self.program.post("/dev/stub/invoice", {"amountSats": sats})
        assert reply.status == 201, reply.body
        return str(reply.json()["paymentRequest"])

    def outside(self) -> Outside:
        """What the wallet and the model have in their own journals."""
        journal = self.database.data_dir / "stub-wallet.db"
        with closing(sqlite3.connect(journal)) as connection:
            moved = connection.execute(
                "SELECT payment_hash, amount_msat FROM settlements JOIN invoices"
                " USING (payment_hash) UNION ALL SELECT payment_hash, -amount_msat - fee_msat"
                " FROM payouts WHERE failure IS NULL"
            ).fetchall()
        return Outside.of(moved, [(call.is_evaluation, call.body) for call in self.model.calls])


@asynccontextmanager
async def open_stub_world(database: Database, **variables: str) -> AsyncIterator[StubWorld]:
    """Everything runs while the block runs."""
    async with SimulatedModel() as model:
        settings = of_model(model.url) | variables
        async with Program(database.data_dir, database.url, **settings) as program:
            yield StubWorld(database, program, model)


@asynccontextmanager
async def open_world(database: Database, **variables: str) -> AsyncIterator[World]:
    """Everything runs while the block runs."""
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(SimulatedModel())
        lnbits = await stack.enter_async_context(SimulatedLnbits())
        model_gate = await stack.enter_async_context(Gate(lambda: model.url))
        wallet_gate = await stack.enter_async_context(Gate(lambda: lnbits.url))
        lnbits.books.shop.credit_msat = FLOAT_MSAT
        settings = of_model(f"{model_gate.url}/v1") | of_lnbits(wallet_gate.url, lnbits.shop_key)
        settings["BOLTWORK_WALLET__LNBITS__ADMIN_KEY"] = lnbits.books.shop.admin_key
        program = Program(database.data_dir, database.url, **(settings | variables))
        await stack.enter_async_context(program)
        front = await stack.enter_async_context(Gate(lambda: program.url))
        yield World(database, program, model, model_gate, lnbits, wallet_gate, front)


def of_model(url: str) -> dict[str, str]:
    """The settings for a model with this base URL."""
    return {
        "BOLTWORK_AGENT__KIND": "openai",
        "BOLTWORK_AGENT__OPENAI__BASE_URL": url,
        "BOLTWORK_AGENT__OPENAI__API_KEY": MODEL_KEY,
    }


def of_lnbits(url: str, invoice_key: str) -> dict[str, str]:
    """The settings for a wallet at this LNbits."""
    return {
        "BOLTWORK_WALLET__KIND": "lnbits",
        "BOLTWORK_WALLET__NETWORK": "mainnet",
        "BOLTWORK_WALLET__LNBITS__URL": url,
        "BOLTWORK_WALLET__LNBITS__INVOICE_KEY": invoice_key,
    }


@asynccontextmanager
async def writes_held(database: Database) -> AsyncIterator[None]:
    """While the block runs the program cannot commit: another one has the lock for writing."""
    if database.kind == "sqlite":
        path = database.data_dir / "boltwork.db"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            yield
        return
    holder = await asyncpg.connect(database.url)
    try:
        await holder.execute(f"SELECT pg_advisory_lock({_TURN})")
        yield
    finally:
        holder.terminate()


async def rows(database: Database, sql: str, **params: object) -> list[Mapping[str, Any]]:
    """What a query finds now in the program's database, running or not; nothing is changed."""
    if database.kind == "sqlite":
        address = f"{(database.data_dir / 'boltwork.db').as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only = ON")
            return [dict(row) for row in connection.execute(sql, params)]
    connection = await asyncpg.connect(database.url)
    try:
        statement = translate(sql)
        found = await connection.fetch(statement.text, *statement.order(params))
        return [dict(row) for row in found]
    finally:
        await connection.close()


def new_request() -> str:
    """A request that no other one is like."""
    return f"Write a line for ticket {secrets.token_hex(8)}."
