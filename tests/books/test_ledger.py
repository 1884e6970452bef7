"""The ledger: transfers, guarded balances, holds that resolve once, and a chain of hashes."""

import pytest

from core.books import cover, ledger
from core.books.audit import audit
from core.books.ledger import (
    FEES,
    REVENUE,
    WALLET,
    HoldResolved,
    Leg,
    NotEnough,
    Transfer,
)
from core.values.money import Msat

ALICE = "ses_alice"
BOB = "ses_bob"
AT_MS = 1_800_000_000_000
LATER_MS = AT_MS + 60_000


@pytest.fixture
async def books(store):
    """A store in which Alice has 10,000 msat and Bob nothing; its books balance at the end."""
    await store.write(ledger.open_account, ALICE)
    await store.write(ledger.open_account, BOB)
    await deposit(store, "d1", ALICE, 10_000)
    yield store
    assert await store.read(audit) == []


async def move(store, name, *legs, kind="transfer"):
    what = Transfer(name, kind, f"ref of {name}", AT_MS)
    await store.write(ledger.transfer, what, [Leg(where, Msat(amount)) for where, amount in legs])


async def deposit(store, name, account_id, amount):
    await move(store, name, (account_id, amount), (WALLET, -amount), kind="deposit")


async def take_hold(store, name, amount, account_id=ALICE, expires_at_ms=LATER_MS):
    await store.write(ledger.hold, name, account_id, Msat(amount), expires_at_ms)


async def post(store, name, used):
    return await store.write(ledger.post, name, Msat(used), ref="a request", now_ms=AT_MS)


async def balance_of(store, account_id):
    account = await store.read(ledger.account, account_id)
    return account.balance, account.held


async def everything(store):
    """Every row of the ledger, to show that nothing was written."""
    tables = ("accounts", "transfers", "entries", "holds")
    found = {}
    for table in tables:
        rows = await store.read(_all_rows, table)
        found[table] = sorted(str(sorted(dict(row).items())) for row in rows)
    return found


async def _all_rows(tx, table):
    return await tx.all(f"SELECT * FROM {table}")


async def test_a_transfer_moves_money_from_one_account_to_the_other(books):
    await move(books, "t1", (ALICE, -2_500), (BOB, 2_500))

    assert await balance_of(books, ALICE) == (7_500, 0)
    assert await balance_of(books, BOB) == (2_500, 0)


async def test_a_transfer_may_have_more_than_two_legs(books):
    await move(books, "t1", (ALICE, -1_000), (REVENUE, 900), (FEES, 100))

    assert await balance_of(books, ALICE) == (9_000, 0)
    assert await books.read(ledger.house_balance, REVENUE) == 900
    assert await books.read(ledger.house_balance, FEES) == 100


async def test_what_the_wallet_holds_is_what_is_owed_and_what_was_earned(books):
    await move(books, "t1", (ALICE, -1_000), (REVENUE, 1_000), kind="charge")
    await deposit(books, "d2", BOB, 333)

    assert await books.read(ledger.house_balance, WALLET) == -10_333
    assert await books.read(ledger.house_balance, REVENUE) == 1_000
    assert (await books.read(cover.owed)).total == 9_333


async def test_legs_that_do_not_add_up_are_our_own_mistake_and_write_nothing(books):
    before = await everything(books)

    with pytest.raises(AssertionError, match="add up to 0"):
        await move(books, "t1", (ALICE, -1_000), (REVENUE, 999))

    assert await everything(books) == before


async def test_a_transfer_to_an_account_that_was_never_opened_writes_nothing(books):
    before = await everything(books)

    with pytest.raises(AssertionError, match="an account that is open"):
        await move(books, "t1", (ALICE, -1_000), ("ses_nobody", 1_000))

    assert await everything(books) == before


async def test_the_same_intention_is_never_booked_twice(books):
    await move(books, "t1", (ALICE, -1_000), (BOB, 1_000))
    before = await everything(books)

    with pytest.raises(Exception, match=r"(?i)unique"):
        await move(books, "t1", (ALICE, -1_000), (BOB, 1_000))

    assert await everything(books) == before


async def test_opening_an_account_again_leaves_its_money(books):
    await books.write(ledger.open_account, ALICE)

    assert await balance_of(books, ALICE) == (10_000, 0)


async def test_the_whole_balance_can_be_spent_and_not_one_millisatoshi_more(books):
    with pytest.raises(NotEnough):
        await move(books, "t1", (ALICE, -10_001), (BOB, 10_001))

    await move(books, "t2", (ALICE, -10_000), (BOB, 10_000))

    assert await balance_of(books, ALICE) == (0, 0)


async def test_not_enough_says_what_was_needed_and_what_is_free(books):
    await take_hold(books, "h1", 4_000)

    with pytest.raises(NotEnough) as refusal:
        await move(books, "t1", (ALICE, -7_000), (BOB, 7_000))

    said = refusal.value
    assert (said.account_id, said.needed, said.free) == (ALICE, 7_000, 6_000)
    assert said.code == "insufficient_balance"


async def test_not_enough_writes_nothing(books):
    before = await everything(books)

    with pytest.raises(NotEnough):
        await move(books, "t1", (ALICE, -10_001), (BOB, 10_001))
    with pytest.raises(NotEnough):
        await take_hold(books, "h1", 10_001)

    assert await everything(books) == before


async def test_held_money_cannot_be_transferred(books):
    await take_hold(books, "h1", 9_999)

    with pytest.raises(NotEnough):
        await move(books, "t1", (ALICE, -2), (BOB, 2))

    await move(books, "t2", (ALICE, -1), (BOB, 1))
    assert await balance_of(books, ALICE) == (9_999, 9_999)


async def test_held_money_cannot_be_held_again(books):
    await take_hold(books, "h1", 6_000)

    with pytest.raises(NotEnough) as refusal:
        await take_hold(books, "h2", 4_001)

    assert (refusal.value.needed, refusal.value.free) == (4_001, 4_000)
    await take_hold(books, "h3", 4_000)
    assert await balance_of(books, ALICE) == (10_000, 10_000)


async def test_money_can_be_received_while_all_of_it_is_held(books):
    await take_hold(books, "h1", 10_000)

    await deposit(books, "d2", ALICE, 1)

    assert await balance_of(books, ALICE) == (10_001, 10_000)


async def test_a_hold_on_an_account_that_is_not_there_is_not_enough(books):
    with pytest.raises(NotEnough) as refusal:
        await take_hold(books, "h1", 1, account_id="ses_nobody")

    assert refusal.value.free == 0


async def test_posting_charges_what_was_used_and_gives_the_rest_back(books):
    await take_hold(books, "h1", 3_000)

    rest = await post(books, "h1", 1_200)

    assert rest == 1_800
    assert await balance_of(books, ALICE) == (8_800, 0)
    assert await books.read(ledger.house_balance, REVENUE) == 1_200


async def test_a_hold_can_be_used_to_its_last_millisatoshi(books):
    await take_hold(books, "h1", 10_000)

    assert await post(books, "h1", 10_000) == 0
    assert await balance_of(books, ALICE) == (0, 0)


async def test_posting_nothing_voids_the_hold_without_an_entry(books):
    await take_hold(books, "h1", 3_000)

    assert await post(books, "h1", 0) == 3_000

    assert await balance_of(books, ALICE) == (10_000, 0)
    assert len(await books.read(ledger.page, ALICE, before=None, limit=9)) == 1


async def test_more_than_the_hold_is_never_charged(books):
    await take_hold(books, "h1", 3_000)
    before = await everything(books)

    with pytest.raises(Exception, match=r"(?i)check constraint"):
        await post(books, "h1", 3_001)

    assert await everything(books) == before


@pytest.mark.parametrize("used", [0, 1_200, 3_000])
async def test_the_same_resolution_again_gives_the_same_rest_and_charges_once(books, used):
    await take_hold(books, "h1", 3_000)
    first = await post(books, "h1", used)
    before = await everything(books)

    assert await post(books, "h1", used) == first
    assert await everything(books) == before


@pytest.mark.parametrize(("first", "second"), [(1_200, 1_201), (1_200, 0), (0, 1_200)])
async def test_a_hold_resolves_only_once(books, first, second):
    await take_hold(books, "h1", 3_000)
    await post(books, "h1", first)
    before = await everything(books)

    with pytest.raises(HoldResolved):
        await post(books, "h1", second)

    assert await everything(books) == before


async def test_a_hold_that_never_was_cannot_be_posted(books):
    with pytest.raises(HoldResolved):
        await post(books, "h1", 0)


async def test_the_name_of_a_hold_is_used_once(books):
    await take_hold(books, "h1", 3_000)
    await post(books, "h1", 0)
    before = await everything(books)

    with pytest.raises(Exception, match=r"(?i)unique"):
        await take_hold(books, "h1", 3_000)

    assert await everything(books) == before


async def test_a_hold_is_stale_from_its_deadline_on_and_only_while_it_is_open(books):
    await take_hold(books, "h1", 1_000, expires_at_ms=AT_MS + 2)
    await take_hold(books, "h2", 1_000, expires_at_ms=AT_MS + 1)
    await take_hold(books, "h3", 1_000, expires_at_ms=AT_MS + 3)

    assert await books.read(ledger.stale_holds, AT_MS) == []
    assert await books.read(ledger.stale_holds, AT_MS + 2) == ["h2", "h1"]

    await post(books, "h2", 500)
    assert await books.read(ledger.stale_holds, AT_MS + 2) == ["h1"]


async def test_entries_are_read_newest_first_and_add_up_to_the_balance(books):
    await deposit(books, "d2", ALICE, 500)
    await take_hold(books, "h1", 300)
    await post(books, "h1", 200)

    entries = await books.read(ledger.page, ALICE, before=None, limit=9)

    assert [(e.number, e.kind, e.amount, e.balance, e.ref) for e in entries] == [
        (3, "charge", -200, 10_300, "a request"),
        (2, "deposit", 500, 10_500, "ref of d2"),
        (1, "deposit", 10_000, 10_000, "ref of d1"),
    ]


async def test_pages_of_entries_meet_without_a_gap(books):
    for number in range(5):
        await deposit(books, f"e{number}", ALICE, 1)

    first = await books.read(ledger.page, ALICE, before=None, limit=4)
    second = await books.read(ledger.page, ALICE, before=first[-1].number, limit=4)

    assert [entry.number for entry in first + second] == [6, 5, 4, 3, 2, 1]


async def test_each_entry_carries_the_hash_of_the_one_before(books):
    await move(books, "t1", (ALICE, -1_000), (BOB, 1_000))

    rows = await books.read(_chain_of, ALICE)

    first = ledger.chain(bytes(32), rows[0]["hash"], 10_000, 10_000)
    second = ledger.chain(first, rows[1]["hash"], -1_000, 9_000)
    assert [row["chain_hash"] for row in rows] == [first, second]


async def _chain_of(tx, account_id):
    return await tx.all(
        "SELECT e.chain_hash, t.hash FROM entries e"
        " JOIN transfers t ON t.transfer_id = e.transfer_id"
        " WHERE e.account_id = :account_id ORDER BY e.number",
        account_id=account_id,
    )


def test_the_hash_of_an_entry_covers_the_entry_before_its_transfer_amount_and_balance():
    before, of_transfer = bytes(32), bytes([1]) * 32
    this = ledger.chain(before, of_transfer, 5, 12)

    assert this != ledger.chain(bytes([2]) * 32, of_transfer, 5, 12)
    assert this != ledger.chain(before, bytes([2]) * 32, 5, 12)
    assert this != ledger.chain(before, of_transfer, 51, 2)
    assert this != ledger.chain(before, of_transfer, 5, 13)


def test_the_hash_of_a_transfer_tells_its_fields_apart():
    legs = [("a", 1), ("b", -1)]

    assert ledger.hash_transfer(["x", "y\nz"], legs) != ledger.hash_transfer(["x\ny", "z"], legs)
    assert ledger.hash_transfer(["x", "a:1"], legs) != ledger.hash_transfer(
        ["x"], [("a", 1), *legs]
    )


async def test_an_unused_account_can_be_closed_and_one_with_entries_cannot(books):
    await books.write(ledger.close_unused_account, BOB)
    await books.write(ledger.close_unused_account, ALICE)

    assert await books.read(ledger.account, BOB) is None
    assert await balance_of(books, ALICE) == (10_000, 0)
    assert await books.read(ledger.has_entries, ALICE)
    assert not await books.read(ledger.has_entries, BOB)
