"""An hour-old copy of the database comes back: what was paid since then is found at the wallet."""

from pathlib import Path

import pytest

from tests.process.server import Program, eventually

AUTH = "Bearer {}"


async def pay(program: Program, invoice) -> None:
    assert (await program.post(f"/dev/stub/pay/{invoice['paymentHash']}")).status == 200


async def filled(program: Program, sats: int) -> str:
    """The token of a session with this much on it."""
    opened = (await program.post("/sessions", {"amountSats": sats})).json()
    await pay(program, opened["depositInvoice"])
    token = opened["macaroon"]
    await eventually(lambda: has_balance(program, token, sats * 1000))
    return token


async def has_balance(program: Program, token: str, msat: int) -> bool:
    seen = await program.get("/sessions/me", Authorization=AUTH.format(token))
    return seen.status == 200 and seen.json()["balanceMsat"] == msat


async def withdrawn(program: Program, token: str, sats: int) -> None:
    """So much has left this session, and it is known that it has arrived."""
    foreign = (await program.post("/dev/stub/invoice", {"amountSats": sats})).json()
    reply = await program.post(
        "/sessions/me/withdraw",
        {"to": foreign["paymentRequest"]},
        Authorization=AUTH.format(token),
    )
    assert reply.status == 202, reply.body
    refund_id = reply.json()["refundId"]

    async def is_paid() -> bool:
        seen = await program.get(f"/refunds/{refund_id}", Authorization=AUTH.format(token))
        return seen.json()["state"] == "paid"

    await eventually(is_paid)


def restore(folder: Path, copy: bytes) -> None:
    for ending in ("", "-wal", "-shm"):
        (folder / f"boltwork.db{ending}").unlink(missing_ok=True)
    (folder / "boltwork.db").write_bytes(copy)


@pytest.fixture
async def program(tmp_path):
    async with Program(tmp_path) as program:
        yield program


async def test_money_of_after_the_backup_is_where_it_belongs(program):
    folder = program.folder
    old = await filled(program, 500)
    await program.stop()
    copy = (folder / "boltwork.db").read_bytes()
    await program.start()
    new = await filled(program, 200)
    await withdrawn(program, old, 100)
    left = (await program.get("/sessions/me", Authorization=AUTH.format(old))).json()
    order = (await program.post("/jobs", {"request": "Sort these names: Zoe, Adam."})).json()
    await pay(program, order["evalInvoice"])
    await program.stop()
    restore(folder, copy)

    await program.start()

    assert await has_balance(program, new, 200_000)
    assert await has_balance(program, old, left["balanceMsat"])
    job = (await program.get(f"/jobs/{order['jobId']}")).json()
    assert job["state"] == "failed"
    assert [refund["amountMsat"] for refund in job["refunds"]] == [21_000]
    refunded = await program.post(
        f"/jobs/{order['jobId']}/refund",
        {"to": await session_id_of(program, new)},
        Authorization=AUTH.format(order["jobToken"]),
    )
    assert refunded.json()["state"] == "credited"
    assert await has_balance(program, new, 221_000)


async def session_id_of(program: Program, token: str) -> str:
    seen = await program.get("/sessions/me", Authorization=AUTH.format(token))
    return seen.json()["sessionId"]
