"""The audit finds every kind of breakage that is made behind the program's back."""

import pytest
import pytest_asyncio

from core.books import ledger
from core.books.audit import PART_ROWS, START, audit, audit_part
from core.books.ledger import SUSPENSE, WALLET, Leg, Transfer
from core.values.money import Msat
from core.values.states import STATES
from tests.books.paid_jobs import NOW_MS, Books

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What is broken, by which statement, and the rule that has to notice.
BREAKAGES = {
    "a balance is off by one millisatoshi": (
        "UPDATE accounts SET balance_msat = balance_msat + 1 WHERE account_id = 'ses_alice'",
        "a balance is the sum of its entries",
    ),
    "a count of entries is off by one": (
        "UPDATE accounts SET entry_count = entry_count - 1 WHERE account_id = 'ses_alice'",
        "a balance is the sum of its entries",
    ),
    "the sum of what came in is off": (
        "UPDATE accounts SET deposited_msat = deposited_msat + 1 WHERE account_id = 'ses_alice'",
        "what came in and was spent are sums of entries",
    ),
    "the sum of what was spent is off": (
        "UPDATE accounts SET spent_msat = spent_msat - 1 WHERE account_id = 'ses_alice'",
        "what came in and was spent are sums of entries",
    ),
    "an account is gone": (
        "UPDATE accounts SET account_id = 'ses_mallory' WHERE account_id = 'ses_bob'",
        "an entry belongs to an open account",
    ),
    "an entry has another amount": (
        "UPDATE entries SET amount_msat = amount_msat + 1 WHERE transfer_id = 'd1' AND leg = 0",
        "the legs of a transfer add up to 0",
    ),
    "both entries of a transfer have another amount": (
        "UPDATE entries SET amount_msat = amount_msat * 2 WHERE transfer_id = 'd1'",
        "a transfer's hash covers it",
    ),
    "an entry of a house account is on another": (
        "UPDATE entries SET account_id = 'suspense' WHERE transfer_id = 'd1' AND leg = 1",
        "a transfer's hash covers it",
    ),
    "suspense holds money of nobody": (
        "UPDATE entries SET account_id = 'suspense' WHERE transfer_id = 'd1' AND leg = 1",
        "suspense holds the withdrawals on their way",
    ),
    "an entry is on another customer's account": (
        (
            "UPDATE entries SET account_id = 'ses_bob', number = 99"
            " WHERE transfer_id = 'd2' AND leg = 0"
        ),
        "an account's entries are an unbroken chain",
    ),
    "an entry is gone": (
        "DELETE FROM entries WHERE transfer_id = 'd1' AND leg = 0",
        "the legs of a transfer add up to 0",
    ),
    "all entries of a transfer are gone": (
        "DELETE FROM entries WHERE transfer_id = 'd1'",
        "the legs of a transfer add up to 0",
    ),
    "an entry shows another balance": (
        "UPDATE entries SET balance_msat = balance_msat + 1 WHERE transfer_id = 'd1' AND leg = 0",
        "an account's entries are an unbroken chain",
    ),
    "an entry is numbered anew": (
        "UPDATE entries SET number = 99 WHERE transfer_id = 'd1' AND leg = 0",
        "an account's entries are an unbroken chain",
    ),
    "an entry is on its account without a number": (
        "UPDATE entries SET number = NULL WHERE transfer_id = 'charge:h1' AND leg = 0",
        "an account's entries are an unbroken chain",
    ),
    "an entry has another hash": (
        (
            "UPDATE entries SET chain_hash = (SELECT hash FROM transfers WHERE transfer_id = 'd1')"
            " WHERE transfer_id = 'd1' AND leg = 0"
        ),
        "an account's entries are an unbroken chain",
    ),
    "an account ends in another hash": (
        (
            "UPDATE accounts SET chain_hash = (SELECT hash FROM transfers WHERE transfer_id = 'd1')"
            " WHERE account_id = 'ses_alice'"
        ),
        "an account's entries are an unbroken chain",
    ),
    "a transfer has another reason": (
        "UPDATE transfers SET reason = 'a gift' WHERE transfer_id = 'd1'",
        "a transfer's hash covers it",
    ),
    "a transfer has another kind": (
        "UPDATE transfers SET kind = 'topup' WHERE transfer_id = 'd1'",
        "a transfer's hash covers it",
    ),
    "a transfer was at another time": (
        "UPDATE transfers SET at_ms = at_ms - 1 WHERE transfer_id = 'd1'",
        "a transfer's hash covers it",
    ),
    "a transfer refers to something else": (
        "UPDATE transfers SET ref = 'nothing' WHERE transfer_id = 'd1'",
        "a transfer's hash covers it",
    ),
    "more is held than there are holds for": (
        "UPDATE accounts SET held_msat = held_msat + 1 WHERE account_id = 'ses_alice'",
        "what is held is the sum of open holds",
    ),
    "a hold was closed without its money": (
        "UPDATE holds SET state = 'voided' WHERE hold_id = 'h2'",
        "what is held is the sum of open holds",
    ),
    "a hold was used for more than was charged": (
        "UPDATE holds SET used_msat = used_msat + 1 WHERE hold_id = 'h1'",
        "a hold was charged what it used",
    ),
    "an invoice is paid without a credit": (
        (
            "UPDATE invoices SET state = 'paid' WHERE payment_hash ="
            " (SELECT MIN(payment_hash) FROM invoices WHERE state = 'open')"
        ),
        "a paid invoice is credited once",
    ),
    "a payment was credited to another job": (
        (
            "UPDATE invoices SET account_id ="
            " (SELECT MIN(job_id) FROM jobs WHERE state = 'rejected')"
            " WHERE payment_hash = (SELECT MIN(i.payment_hash) FROM invoices i JOIN jobs j"
            " ON j.job_id = i.account_id WHERE j.state = 'complete' AND i.state = 'paid')"
        ),
        "a paid invoice is credited once",
    ),
    "an invoice is credited without being paid": (
        (
            "UPDATE invoices SET state = 'closed' WHERE payment_hash ="
            " (SELECT MIN(payment_hash) FROM invoices WHERE state = 'paid')"
        ),
        "only a paid invoice is credited",
    ),
    "the invoice of a credit is gone": (
        (
            "DELETE FROM invoices WHERE payment_hash ="
            " (SELECT MIN(payment_hash) FROM invoices WHERE state = 'paid')"
        ),
        "only a paid invoice is credited",
    ),
    "a job that has ended keeps money that it does not owe": (
        (
            "UPDATE refunds SET house_msat = house_msat - 1000, amount_msat = amount_msat - 1000"
            " WHERE house_msat > 0"
        ),
        "a job's account holds what the job needs and owes",
    ),
    "a debt was paid out without a transfer": (
        "UPDATE refunds SET state = 'paid' WHERE house_msat > 0",
        "a job's account holds what the job needs and owes",
    ),
    "a debt of a job that is still open is not backed": (
        (
            "INSERT INTO refunds (refund_id, account_id, state, house_msat, own_msat, amount_msat,"
            " fee_msat, created_at_ms, updated_at_ms)"
            " SELECT 'rfd_x', job_id, 'due', 0, 1000, 0, 1000, 0, 0 FROM jobs"
            " WHERE state = 'awaiting_work_payment'"
        ),
        "a job's account holds what the job needs and owes",
    ),
    "a job works without having been paid": (
        "UPDATE jobs SET state = 'executing' WHERE state = 'awaiting_work_payment'",
        "a job's account holds what the job needs and owes",
    ),
    "a job is evaluated without having been paid": (
        "UPDATE jobs SET state = 'evaluating' WHERE state = 'awaiting_eval_payment'",
        "a job's account holds what the job needs and owes",
    ),
    "a job has failed and owes nothing": (
        "UPDATE jobs SET state = 'failed' WHERE state = 'executing'",
        "a job's account holds what the job needs and owes",
    ),
    "a refund arrives larger than the debt": (
        "UPDATE refunds SET amount_msat = amount_msat + 1000 WHERE house_msat > 0",
        "what is due arrives or is the fee of it",
    ),
}


class Found(Exception):  # raised to roll back what was broken
    """What the audit found in the transaction that broke something."""

    def __init__(self, faults):
        super().__init__(faults)
        self.faults = faults


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def books(shared_store):
    """Honest books: a job in every state, Alice with a used and an open hold, and Bob."""
    jobs = Books(shared_store)
    for state in STATES:
        await jobs.in_state(state)
    overpaid = await jobs.in_state("executing")
    await jobs.pay(overpaid, "work", amount=68_000)
    await shared_store.write(open_accounts)
    return shared_store


async def faults_after(books, breakage):
    """What the audit finds after this statement, which is then taken back."""
    with pytest.raises(Found) as found:
        await books.write(break_and_audit, breakage)
    return found.value.faults


async def break_and_audit(tx, breakage):
    assert await tx.run(breakage) > 0, "the statement breaks something"
    raise Found(await audit(tx))


async def open_accounts(tx):
    for account_id in ("ses_alice", "ses_bob"):
        await ledger.open_account(tx, account_id)
    await deposit(tx, "d1", "ses_alice", 10_000)
    await deposit(tx, "d2", "ses_alice", 500)
    await deposit(tx, "d3", "ses_bob", 500)
    await ledger.hold(tx, "h1", "ses_alice", Msat(3_000), NOW_MS)
    await ledger.hold(tx, "h2", "ses_alice", Msat(3_000), NOW_MS)
    await ledger.post(tx, "h1", Msat(1_000), ref="a request", now_ms=NOW_MS)
    await withdraw_in_vain(tx, "ses_bob", 100)


async def withdraw_in_vain(tx, account_id, amount):
    out = [Leg(account_id, Msat(-amount)), Leg(SUSPENSE, Msat(amount))]
    back = [Leg(account_id, Msat(amount)), Leg(SUSPENSE, Msat(-amount))]
    await ledger.transfer(tx, Transfer("withdraw:rfd_1", "withdrawal", "rfd_1", NOW_MS), out)
    await ledger.transfer(tx, Transfer("failed:rfd_1", "refund", "rfd_1", NOW_MS), back)


async def deposit(tx, name, account_id, amount):
    legs = [Leg(account_id, Msat(amount)), Leg(WALLET, Msat(-amount))]
    await ledger.transfer(tx, Transfer(name, "deposit", name, NOW_MS), legs)


async def test_honest_books_have_no_fault(books):
    assert await books.read(audit) == []


@pytest.mark.parametrize(("breakage", "rule"), BREAKAGES.values(), ids=BREAKAGES)
async def test_the_audit_finds_that(books, breakage, rule):
    faults = await faults_after(books, breakage)

    assert rule in {fault.rule for fault in faults}


async def test_the_audit_says_where(books):
    [fault] = await faults_after(
        books, "UPDATE accounts SET held_msat = held_msat - 1 WHERE account_id = 'ses_alice'"
    )

    assert fault.where == "ses_alice"


async def test_the_audit_finds_a_last_transfer_that_was_taken_out_without_a_trace(books):
    with pytest.raises(Found) as found:
        await books.write(take_out_the_last_of_bob)

    assert [(fault.rule, fault.where) for fault in found.value.faults] == [
        ("an account's entries are an unbroken chain", "ses_bob")
    ]


async def take_out_the_last_of_bob(tx):
    await deposit(tx, "d4", "ses_bob", 700)
    await tx.run("DELETE FROM entries WHERE transfer_id = 'd4'")
    await tx.run("DELETE FROM transfers WHERE transfer_id = 'd4'")
    await tx.run(
        "UPDATE accounts SET balance_msat = 500, deposited_msat = 500, entry_count = 3"
        " WHERE account_id = 'ses_bob'"
    )
    raise Found(await audit(tx))


async def test_every_rule_has_a_breakage_that_it_must_find():
    assert {rule for _, rule in BREAKAGES.values()} == {
        "the legs of a transfer add up to 0",
        "a balance is the sum of its entries",
        "what came in and was spent are sums of entries",
        "an entry belongs to an open account",
        "what is held is the sum of open holds",
        "a hold was charged what it used",
        "a paid invoice is credited once",
        "only a paid invoice is credited",
        "a job's account holds what the job needs and owes",
        "what is due arrives or is the fee of it",
        "a transfer's hash covers it",
        "an account's entries are an unbroken chain",
        "suspense holds the withdrawals on their way",
    }


async def test_large_books_are_audited_part_by_part(books):
    await books.write(open_many)
    place, parts, faults = START, 0, []
    while place is not None:
        found, place = await books.read(audit_part, place)
        parts, faults = parts + 1, faults + list(found)

    assert faults == []
    assert parts > 2 * MANY / PART_ROWS  # of transfers, and of accounts


MANY = 2 * PART_ROWS + 1


async def open_many(tx):
    for number in range(MANY):
        await ledger.open_account(tx, f"ses_{number}")
        await deposit(tx, f"many{number}", f"ses_{number}", 1)
