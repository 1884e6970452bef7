"""The ledger against its model: random lives of accounts, on both databases.

Every step is done to both; they must accept, refuse and return the same. After each life the audit
finds nothing.
"""

import asyncio
import itertools
from functools import partial

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_lives

from core.books import ledger
from core.books.audit import audit
from core.books.ledger import HoldResolved, Leg, NotEnough, Transfer
from core.values.money import Msat
from tests.books.ledger_model import Model, Refusal
from tests.emptied import empty

ACCOUNTS = ("ses_alice", "ses_bob", "job_carol")
START_MS = 1_800_000_000_000

accounts = st.sampled_from(ACCOUNTS)
# Small, so that balances run out; an amount and its double often meet a balance exactly.
amounts = st.sampled_from([1, 2, 3, 5, 8, 500, 1_000, 1_001])


class LedgerMachine(RuleBasedStateMachine):
    """One life of three accounts; `run` and `database` are set by the test."""

    run = None
    database = None

    @initialize()
    def open_books(self):
        self.names = map(str, itertools.count())
        self.now_ms = START_MS
        self.model = Model(ACCOUNTS)
        self.tried = []
        self.run(self._open())

    @rule(account=accounts, amount=amounts)
    def deposit(self, account, amount):
        self.transfer("deposit", (account, amount), ("wallet", -amount))

    @rule(giver=accounts, taker=accounts, amount=amounts)
    def give(self, giver, taker, amount):
        self.transfer("transfer", (giver, -amount), (taker, amount))

    @rule(account=accounts, amount=amounts)
    def charge(self, account, amount):
        self.transfer("charge", (account, -amount), ("revenue", amount))

    @rule(account=accounts, amount=amounts)
    def refund(self, account, amount):
        self.transfer("refund", (account, amount), ("revenue", -amount))

    @rule(account=accounts, amount=amounts)
    def give_back_a_charge(self, account, amount):
        name = "return:" + next(self.names)
        self.book(
            Transfer(name, "refund", "ref", self.now_ms, is_unspent=True),
            (account, amount),
            ("revenue", -amount),
        )

    @rule(account=accounts, fee=st.sampled_from([1, 2]), amount=amounts)
    def withdraw(self, account, fee, amount):
        self.transfer("withdrawal", (account, -amount - fee), ("wallet", amount), ("revenue", fee))

    @rule(account=accounts, amount=amounts, lasts_ms=st.sampled_from([0, 1_000, 60_000]))
    def take_hold(self, account, amount, lasts_ms):
        name, until_ms = "hold " + next(self.names), self.now_ms + lasts_ms
        self.both(
            lambda: self.model.hold(name, account, amount, until_ms),
            (ledger.hold, name, account, Msat(amount), until_ms),
        )

    @precondition(lambda self: self.model.open_holds())
    @rule(data=st.data(), part=st.sampled_from([0, 1, 2]))
    def resolve(self, data, part):
        """Void a hold, use half of it, or all."""
        name = data.draw(st.sampled_from(sorted(self.model.open_holds())))
        self.post(name, self.model.holds[name].amount * part // 2)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), used=amounts)
    def resolve_any(self, data, used):
        """The same hold again, often in another way."""
        name = data.draw(st.sampled_from(sorted(self.model.holds)))
        self.post(name, min(used, self.model.holds[name].amount))

    @rule(passes_ms=st.sampled_from([0, 1_000, 59_000]))
    def void_stale_holds(self, passes_ms):
        self.now_ms += passes_ms
        stale = self.run(self.store.read(ledger.stale_holds, self.now_ms))
        assert sorted(stale) == sorted(self.model.stale(self.now_ms))
        for name in stale:
            self.post(name, 0)

    @precondition(lambda self: self.tried)
    @rule(data=st.data())
    def try_a_transfer_again(self, data):
        """One that was booked is refused; one that was not may go through by now."""
        what, *legs = data.draw(st.sampled_from(self.tried))
        self.book(what, *legs)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), amount=amounts)
    def repeat_a_hold(self, data, amount):
        name = data.draw(st.sampled_from(sorted(self.model.holds)))
        account = self.model.holds[name].account
        self.both(
            lambda: self.model.hold(name, account, amount, self.now_ms),
            (ledger.hold, name, account, Msat(amount), self.now_ms),
        )

    @rule(account=accounts, several=st.lists(amounts, min_size=2, max_size=8))
    def charge_at_once(self, account, several):
        """Many charges in one batch: as many go through as the balance covers."""
        charges = [(f"t{next(self.names)}", amount) for amount in several]
        expected = [
            self.outcome_of(partial(self.model.transfer, name, (account, -msat), ("revenue", msat)))
            for name, msat in charges
        ]
        found = self.run(self._charge_all(account, charges))
        assert found == expected

    @rule()
    def stop_and_start(self):
        self.run(self.store.aclose())
        self.run(self._open())

    @invariant()
    def accounts_are_the_same(self):
        assert self.run(self.store.read(_accounts)) == {
            account: (self.model.balance(account), self.model.held(account)) for account in ACCOUNTS
        }

    def teardown(self):
        try:
            self.compare_everything()
        finally:
            self.run(self.store.aclose())
            self.run(self._forget())

    def compare_everything(self):
        for account in ACCOUNTS:
            entries = self.run(self.store.read(ledger.page, account, before=None, limit=1_000))
            assert [entry.amount for entry in reversed(entries)] == self.model.entries[account]
        for account, total in self.model.house.items():
            assert self.run(self.store.read(ledger.house_balance, account)) == total
        assert self.run(self.store.read(audit)) == []

    def transfer(self, kind, *legs):
        self.book(Transfer("t" + next(self.names), kind, "ref", self.now_ms), *legs)

    def book(self, what, *legs):
        real = [Leg(account, Msat(amount)) for account, amount in legs]
        self.both(
            lambda: self.model.transfer(what.transfer_id, *legs), (ledger.transfer, what, real)
        )
        self.tried.append((what, *legs))

    def post(self, name, used):
        self.both(
            lambda: self.model.post(name, used),
            (_post, name, used, self.now_ms),
        )

    def both(self, in_model, call):
        """Do it to both; they do the same, return the same, refuse the same."""
        expected = self.outcome_of(in_model)
        assert self.run(self._outcome(*call)) == expected

    @staticmethod
    def outcome_of(in_model):
        try:
            return in_model()
        except Refusal as refusal:
            return str(refusal)

    async def _outcome(self, fn, *args):
        try:
            return await self.store.write(fn, *args)
        except (NotEnough, HoldResolved) as refusal:
            return type(refusal).__name__
        except Exception as fault:
            if "unique" in str(fault).lower():
                return "Unique"
            raise

    async def _charge_all(self, account, charges):
        return await asyncio.gather(
            *(
                self._outcome(
                    ledger.transfer,
                    Transfer(name, "charge", "ref", self.now_ms),
                    [Leg(account, Msat(-amount)), Leg("revenue", Msat(amount))],
                )
                for name, amount in charges
            )
        )

    async def _open(self):
        self.store = await self.database.open()
        for account in ACCOUNTS:
            await self.store.write(ledger.open_account, account)

    async def _forget(self):
        """The next life begins with empty books."""
        if self.database.kind == "postgres":
            await empty(self.database.url)
        else:
            for file in self.database.data_dir.iterdir():
                file.unlink()


async def _post(tx, name, used, now_ms):
    return await ledger.post(tx, name, Msat(used), ref="a request", now_ms=now_ms)


async def _accounts(tx):
    found = [await ledger.account(tx, account_id) for account_id in ACCOUNTS]
    return {account.account_id: (account.balance, account.held) for account in found}


LIVES = {"sqlite": 30, "postgres": 6}


def test_the_ledger_lives_as_its_model_does(database):
    with asyncio.Runner() as runner:
        machine = type("Machine", (LedgerMachine,), {"run": runner.run, "database": database})
        run_lives(
            machine,
            settings=settings(
                max_examples=LIVES[database.kind],
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
            ),
        )
