"""Paying out of the stub wallet: each invoice is decided once, and stays decided."""

import hashlib
import secrets
import sqlite3

import pytest

from core.values import bolt11
from core.values.clock import SystemClock
from core.values.errors import WalletUnavailable
from core.values.money import from_sats
from core.wallets.port import Failed, Missing, Sent, Unproven
from core.wallets.stub import StubWallet
from core.wallets.stub_payer import StubPayer
from tests.hand_clock import HandClock

EXTRA = {"kind": "payout", "refund": "rfd_1"}


class Stub:
    """A wallet with 1,000 sats, and the payer that spends it."""

    def __init__(self, folder, clock=None):
        clock = clock or SystemClock()
        self.wallet = StubWallet.open(folder, clock=clock)
        self.payer = StubPayer(self.wallet.journal, clock=clock)

    async def fill(self, sats):
        made = await self.wallet.create_invoice(from_sats(sats), memo="", expiry_s=60, extra={})
        await self.wallet.pay(made.payment_hash)

    async def pay(self, text):
        return await self.payer.pay(text, extra=EXTRA)


@pytest.fixture
async def stub(tmp_path):
    stub = Stub(tmp_path)
    await stub.fill(1_000)
    yield stub
    await stub.wallet.aclose()


def hash_of(text):
    return bolt11.decode(text).payment_hash


def stranger_s_invoice():
    return bolt11.encode_and_sign(
        secrets.token_bytes(32),
        network="regtest",
        amount=from_sats(10),
        created_at_s=SystemClock().now_ms() // 1000,
        payment_hash=secrets.token_hex(32),
        payment_secret=secrets.token_hex(32),
        description="of a node that nobody here knows",
    )


async def test_an_invoice_of_somebody_else_is_paid_with_its_preimage(stub):
    text = await stub.wallet.foreign_invoice(100)

    paid = await stub.pay(text)

    assert isinstance(paid, Sent)
    assert hashlib.sha256(bytes.fromhex(paid.preimage)).hexdigest() == hash_of(text)
    assert await stub.payer.outcome(hash_of(text)) == paid


async def test_the_fee_follows_from_the_hash_and_is_never_above_the_reserve(stub):
    for _ in range(10):
        text = await stub.wallet.foreign_invoice(10)

        paid = await stub.pay(text)

        assert paid.fee == (1_000 if int(hash_of(text), 16) % 2 else 0)
        assert paid.fee <= await stub.payer.fee_reserve(text)


async def test_the_balance_is_what_came_in_less_payouts_and_fees(stub):
    fees = [(await stub.pay(await stub.wallet.foreign_invoice(50))).fee for _ in range(8)]

    assert await stub.payer.balance() == from_sats(1_000 - 8 * 50) - sum(fees)
    assert await stub.wallet.balance() == await stub.payer.balance()


async def test_the_same_invoice_again_has_the_outcome_of_the_first_time(stub):
    text = await stub.wallet.foreign_invoice(100)
    first = await stub.pay(text)
    after_one = await stub.payer.balance()

    again = [await stub.pay(spelt) for spelt in (text, text.upper())]

    assert again == [first, first]
    assert await stub.payer.balance() == after_one


async def test_without_enough_money_it_fails_and_stays_failed(stub):
    text = await stub.wallet.foreign_invoice(1_001)
    failed = await stub.pay(text)

    await stub.fill(1_000)

    assert failed == Failed("the stub wallet does not hold enough")
    assert await stub.pay(text) == await stub.payer.outcome(hash_of(text)) == failed
    assert await stub.payer.balance() == from_sats(2_000)


async def test_an_invoice_that_it_did_not_make_cannot_be_paid(stub):
    text = stranger_s_invoice()

    failed = await stub.pay(text)

    assert failed == Failed("the stub wallet can only pay invoices that it made for somebody else")
    assert await stub.payer.outcome(hash_of(text)) == failed


async def test_its_own_invoice_is_not_one_of_somebody_else(stub):
    made = await stub.wallet.create_invoice(from_sats(5), memo="", expiry_s=60, extra={})

    assert isinstance(await stub.pay(made.bolt11), Failed)


async def test_an_incoming_payment_is_no_outgoing_one(stub):
    made = await stub.wallet.create_invoice(from_sats(5), memo="", expiry_s=60, extra={})
    await stub.wallet.pay(made.payment_hash)

    assert isinstance(await stub.payer.outcome(made.payment_hash), Missing)


async def test_another_invoice_with_a_known_hash_is_not_paid(stub):
    text = await stub.wallet.foreign_invoice(100)
    forged = bolt11.encode_and_sign(
        secrets.token_bytes(32),
        network="regtest",
        amount=from_sats(900),
        created_at_s=SystemClock().now_ms() // 1000,
        payment_hash=hash_of(text),
        payment_secret=secrets.token_hex(32),
        description="nine times as much",
    )

    assert isinstance(await stub.pay(forged), Failed)
    assert await stub.payer.balance() == from_sats(1_000)


async def test_an_expired_invoice_is_not_paid(tmp_path):
    clock = HandClock()
    stub = Stub(tmp_path, clock)
    await stub.fill(1_000)
    text = await stub.wallet.foreign_invoice(10)
    clock.advance(86_400)

    assert await stub.pay(text) == Failed("the invoice has expired")
    await stub.wallet.aclose()


async def test_what_it_was_never_told_to_pay_is_missing(stub):
    text = await stub.wallet.foreign_invoice(10)

    assert isinstance(await stub.payer.outcome(hash_of(text)), Missing)


async def test_a_payment_outlives_the_process(tmp_path):
    first = Stub(tmp_path)
    await first.fill(1_000)
    text = await first.wallet.foreign_invoice(100)
    paid = await first.pay(text)
    balance = await first.payer.balance()
    await first.wallet.aclose()

    second = Stub(tmp_path)

    assert await second.payer.outcome(hash_of(text)) == paid
    assert await second.pay(text) == paid
    assert await second.payer.balance() == balance
    await second.wallet.aclose()


async def test_two_processes_on_one_journal_pay_an_invoice_once(stub, tmp_path):
    other = Stub(tmp_path)
    text = await stub.wallet.foreign_invoice(600)

    outcomes = [await stub.pay(text), await other.pay(text)]

    assert outcomes[0] == outcomes[1]
    assert await stub.payer.balance() >= from_sats(399)
    await other.wallet.aclose()


async def test_a_payment_is_marked_in_the_journal(stub, tmp_path):
    await stub.pay(await stub.wallet.foreign_invoice(10))

    journal = sqlite3.connect(tmp_path / "stub-wallet.db")
    [(extra,)] = journal.execute("SELECT extra FROM payouts").fetchall()
    journal.close()
    assert extra == '{"kind": "payout", "refund": "rfd_1"}'


async def test_a_journal_that_does_not_answer_proves_nothing(tmp_path):
    stub = Stub(tmp_path)
    text = await stub.wallet.foreign_invoice(10)
    await stub.wallet.aclose()

    assert isinstance(await stub.pay(text), Unproven)
    assert isinstance(await stub.payer.outcome(hash_of(text)), Unproven)
    with pytest.raises(WalletUnavailable):
        await stub.payer.balance()
