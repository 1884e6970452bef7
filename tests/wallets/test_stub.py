"""The stub wallet: the contract of all wallets, and what only it can do."""

import asyncio
import hashlib
import signal
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.values import bolt11
from core.values.clock import SystemClock
from core.values.errors import NotFound, WalletUnavailable
from core.values.money import from_sats
from core.wallets.port import NotPaid, Paid, Unknown
from core.wallets.stub import StubWallet
from tests.wallets import contract
from tests.wallets.contract import World, caught_up, listening, make, of

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = open_world(tmp_path)
    yield made
    await made.wallet.aclose()


def open_world(folder: Path, clock: SystemClock | None = None) -> World:
    wallet = StubWallet.open(folder, clock=clock or SystemClock())
    return World(wallet, "regtest", lambda invoice: wallet.pay(invoice.payment_hash))


@pytest.mark.parametrize("fact", contract.FACTS, ids=contract.name_of)
async def test_the_contract_of_wallets(world, fact):
    await fact(world)


async def test_an_invoice_says_that_it_is_a_test(world):
    made = await make(world)

    assert made.bolt11.startswith("lnbcrt210n1")
    assert bolt11.decode(made.bolt11).description == "TEST two eggs"


async def test_a_long_memo_is_cut_between_characters(world):
    made = await world.wallet.create_invoice(from_sats(1), memo="ü" * 1000, expiry_s=60, extra={})

    assert bolt11.decode(made.bolt11).description == "TEST " + "ü" * 317


async def test_invoices_made_at_once_are_all_written_down(world):
    made = await asyncio.gather(*(make(world) for _ in range(20)))

    looks = [await world.wallet.look_up(invoice.payment_hash) for invoice in made]

    assert looks == [NotPaid()] * 20


async def test_a_caller_that_leaves_takes_no_invoice_of_others_along(world):
    leaving = asyncio.ensure_future(make(world))
    staying = asyncio.ensure_future(make(world))
    await asyncio.sleep(0)

    leaving.cancel()
    made = await staying

    assert await world.wallet.look_up(made.payment_hash) == NotPaid()
    assert leaving.cancelled()


async def test_paying_gives_the_preimage_and_paying_again_gives_the_same(world):
    made = await make(world)

    first = await world.wallet.pay(made.payment_hash)
    second = await world.wallet.pay(made.payment_hash)

    assert first == second
    assert hashlib.sha256(bytes.fromhex(first)).hexdigest() == made.payment_hash


async def test_paying_again_is_one_settlement_with_the_time_of_the_first(world):
    made = await make(world)
    await world.pay(made)
    await world.pay(made)

    async with listening(world) as heard:
        settlement = await anext(heard)
        end = await anext(heard)

    assert settlement.payment_hash == made.payment_hash
    assert end is None


async def test_an_expired_invoice_can_still_be_paid(world):
    made = await make(world, expiry_s=0)
    assert made.expires_at_ms <= SystemClock().now_ms()

    await world.pay(made)

    assert isinstance(await world.wallet.look_up(made.payment_hash), Paid)


@pytest.mark.parametrize("payment_hash", ["", "00" * 32, "not a hash", "\0", "\N{SNOWMAN}"])
async def test_a_hash_that_it_never_gave_out_cannot_be_paid(world, payment_hash):
    await make(world)

    with pytest.raises(NotFound):
        await world.wallet.pay(payment_hash)


async def test_settlements_come_in_the_order_of_payment_and_once(world):
    made = [await make(world) for _ in range(4)]
    for invoice in reversed(made):
        await world.pay(invoice)

    async with listening(world) as heard:
        settled = [(await anext(heard)).payment_hash for _ in made]
        end = await anext(heard)

    assert settled == [invoice.payment_hash for invoice in reversed(made)]
    assert end is None


async def test_more_settlements_than_a_page_are_all_caught_up_before_the_round_ends(world):
    made = [await make(world) for _ in range(501)]
    for invoice in made:
        await world.pay(invoice)

    async with listening(world) as heard:
        settled = [(await anext(heard)).payment_hash for _ in made]
        end = await anext(heard)

    assert settled == [invoice.payment_hash for invoice in made]
    assert end is None


async def test_every_listener_hears_a_payment_at_once(world):
    made = await make(world)
    loop = asyncio.get_running_loop()

    async with listening(world) as one, listening(world) as other:
        await caught_up(one)
        await caught_up(other)
        waiting = [asyncio.ensure_future(anext(one)), asyncio.ensure_future(anext(other))]
        await asyncio.wait(waiting, timeout=0)
        paid_at = loop.time()
        await world.pay(made)
        settlements = await asyncio.gather(*waiting)

    assert {settlement.payment_hash for settlement in settlements} == {made.payment_hash}
    assert loop.time() - paid_at < 0.5  # well below a round, which looks unasked


async def test_rounds_go_on_in_silence(world):
    async with listening(world) as heard:
        assert [await anext(heard) for _ in range(2)] == [None, None]


async def test_a_hint_starts_a_round(world):
    async with listening(world) as heard:
        await caught_up(heard)
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.wait([waiting], timeout=0)
        began = asyncio.get_running_loop().time()
        world.wallet.watch(["00" * 32])

        assert await waiting is None
        assert asyncio.get_running_loop().time() - began < 0.5


async def test_a_payment_taken_by_another_process_on_the_folder_is_heard(world, tmp_path):
    made = await make(world)
    other = open_world(tmp_path)

    async with listening(world) as heard:
        await caught_up(heard)
        await other.pay(made)
        settlement = await of(made, heard)

    assert settlement.amount == made.amount
    await other.wallet.aclose()


async def test_an_invoice_of_somebody_else_is_signed_by_another_node(world):
    ours = bolt11.decode((await make(world)).bolt11)

    theirs = bolt11.decode(await world.wallet.foreign_invoice(1234))

    assert theirs.amount == from_sats(1234)
    assert theirs.network == "regtest"
    assert theirs.payee != ours.payee


async def test_an_invoice_of_somebody_else_is_no_income(world):
    theirs = bolt11.decode(await world.wallet.foreign_invoice(1234))

    with pytest.raises(NotFound):
        await world.wallet.pay(theirs.payment_hash)
    assert isinstance(await world.wallet.look_up(theirs.payment_hash), Unknown)
    assert await world.wallet.balance() == 0


async def test_a_restart_keeps_the_node_the_invoices_and_the_payments(tmp_path):
    before = open_world(tmp_path)
    paid, unpaid = await make(before), await make(before)
    preimage = await before.wallet.pay(paid.payment_hash)
    await before.wallet.aclose()

    after = open_world(tmp_path)

    assert await after.wallet.look_up(paid.payment_hash) == Paid(paid.amount, preimage)
    assert await after.wallet.look_up(unpaid.payment_hash) == NotPaid()
    assert await after.wallet.balance() == paid.amount
    payees = {bolt11.decode(made.bolt11).payee for made in (paid, unpaid, await make(after))}
    assert len(payees) == 1
    await after.wallet.aclose()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from core.values.clock import SystemClock
from core.values.money import from_sats
from core.wallets.stub import StubWallet

async def main():
    wallet = StubWallet.open(Path(sys.argv[1]), clock=SystemClock())
    made = await wallet.create_invoice(from_sats(9), memo="m", expiry_s=60, extra={"kind": "k"})
    print(made.payment_hash, await wallet.pay(made.payment_hash), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_payment_that_was_told_survives_the_kill_of_the_process(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    told, _ = await asyncio.wait_for(process.communicate(), 30)
    payment_hash, preimage = told.decode().split()
    assert process.returncode == -signal.SIGKILL

    after = open_world(tmp_path)

    assert await after.wallet.look_up(payment_hash) == Paid(from_sats(9), preimage)
    async with listening(after) as heard:
        assert (await anext(heard)).extra == {"kind": "k"}
    await after.wallet.aclose()


async def test_the_key_is_for_its_owner_only_and_made_once(tmp_path):
    await open_world(tmp_path).wallet.aclose()
    key = (tmp_path / "stub-wallet.key").read_text()

    await open_world(tmp_path).wallet.aclose()

    assert stat.S_IMODE((tmp_path / "stub-wallet.key").stat().st_mode) == 0o600
    assert (tmp_path / "stub-wallet.key").read_text() == key
    assert not list(tmp_path.glob("stub-wallet.key.*"))


@pytest.mark.parametrize("content", ["", "ab", "zz" * 32, "\N{SNOWMAN}"])
def test_a_spoiled_key_stops_the_start(tmp_path, content):
    (tmp_path / "stub-wallet.key").write_text(content, "utf-8")

    with pytest.raises(WalletUnavailable, match="cannot open its files"):
        open_world(tmp_path)


def test_a_spoiled_journal_stops_the_start(tmp_path):
    (tmp_path / "stub-wallet.db").write_bytes(b"not a database" * 100)

    with pytest.raises(WalletUnavailable, match="cannot open its files"):
        open_world(tmp_path)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(WalletUnavailable, match="cannot open its files"):
        open_world(tmp_path / "absent")


async def test_a_journal_that_does_not_answer_is_an_unavailable_wallet(world):
    made = await make(world)
    await world.wallet.aclose()

    assert isinstance(await world.wallet.look_up(made.payment_hash), Unknown)
    for call in (make(world), world.wallet.balance(), world.pay(made)):
        with pytest.raises(WalletUnavailable):
            await call


async def test_a_listener_outlives_a_journal_that_fails_for_a_while(world, tmp_path):
    made = await make(world)
    async with listening(world) as heard:
        await caught_up(heard)
        alter(tmp_path, "ALTER TABLE settlements RENAME TO elsewhere")
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.wait([waiting], timeout=0)
        world.wallet.watch([made.payment_hash])
        done, _ = await asyncio.wait([waiting], timeout=0.2)

        alter(tmp_path, "ALTER TABLE elsewhere RENAME TO settlements")
        await world.pay(made)

        assert not done
        assert (await waiting).payment_hash == made.payment_hash


def alter(folder: Path, statement: str) -> None:
    journal = sqlite3.connect(folder / "stub-wallet.db")
    journal.execute(statement)
    journal.close()
