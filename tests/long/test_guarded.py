"""Books altered and a wallet emptied behind the back of a live server: found within a minute."""

import sqlite3
from contextlib import closing

import asyncpg
import pytest

from tests.conftest import Database
from tests.process.server import Program, eventually

MINUTE_S = 60.0
BREAK = "UPDATE accounts SET balance_msat = balance_msat + 1"
MEND = "UPDATE accounts SET balance_msat = balance_msat - 1"


async def run(database: Database, sql: str) -> None:
    if database.kind == "postgres":
        connection = await asyncpg.connect(database.url)
        await connection.execute(sql)
        await connection.close()
        return
    _run_in(database, "boltwork.db", sql)


def _run_in(database: Database, file: str, sql: str) -> None:
    with closing(sqlite3.connect(database.data_dir / file, timeout=10)) as connection:
        connection.execute(sql)
        connection.commit()


@pytest.fixture
async def program(database):
    async with Program(database.data_dir, database.url) as program:
        yield program


async def filled(program: Program) -> str:
    opened = (await program.post("/sessions", {"amountSats": 1_000})).json()
    await program.post(f"/dev/stub/pay/{opened['depositInvoice']['paymentHash']}")
    token: str = opened["macaroon"]

    async def has_come() -> bool:
        return (await balance(program, token)) == 1_000_000

    await eventually(has_come)
    return token


async def balance(program: Program, token: str) -> int:
    seen = await program.get("/sessions/me", Authorization=f"Bearer {token}")
    assert seen.status == 200
    msat: int = seen.json()["balanceMsat"]
    return msat


async def is_ready(program: Program) -> bool:
    return (await program.get("/readyz")).status == 200


async def is_unready(program: Program) -> bool:
    return not await is_ready(program)


async def test_a_millisatoshi_too_much_stops_the_sale_and_not_the_rest(program, database):
    token = await filled(program)

    await run(database, BREAK)

    await eventually(lambda: is_unready(program), within_s=MINUTE_S)
    assert (await program.get("/readyz")).json()["notReady"] == ["database"]
    order = await program.post("/jobs", {"request": "Sort these names: Zoe, Adam."})
    assert (order.status, order.json()["code"]) == (503, "paused")
    assert await balance(program, token) == 1_000_001
    assert "books are wrong" in program.log()
    await run(database, MEND)
    await eventually(lambda: is_ready(program), within_s=MINUTE_S)


async def test_an_emptied_wallet_stops_the_sale_until_it_is_filled_again(program, database):
    token = await filled(program)
    _run_in(database, "stub-wallet.db", "UPDATE invoices SET amount_msat = 1000")

    await eventually(lambda: is_unready(program), within_s=MINUTE_S)

    assert (await program.get("/readyz")).json()["notReady"] == ["wallet"]
    ask = {"request": "Sort these names: Zoe, Adam."}
    spent = await program.post("/sessions/me/request", ask, Authorization=f"Bearer {token}")
    assert (spent.status, spent.json()["code"]) == (503, "paused")
    assert await balance(program, token) == 1_000_000
    _run_in(database, "stub-wallet.db", "UPDATE invoices SET amount_msat = 1000000")
    await eventually(lambda: is_ready(program), within_s=MINUTE_S)
