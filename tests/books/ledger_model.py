"""What the ledger promises, in plain dictionaries: the model that the real one is compared with."""

from dataclasses import dataclass, field


class Refusal(Exception):
    """The books must refuse this and keep nothing of it; the message names the refusal."""


@dataclass
class Hold:
    account: str
    amount: int
    expires_at_ms: int
    used: int | None = None  # None while it is open


@dataclass
class Model:
    """Accounts, holds and house accounts; every change is checked before it is made."""

    accounts: tuple[str, ...]
    entries: dict[str, list[int]] = field(default_factory=dict)
    house: dict[str, int] = field(default_factory=lambda: {"wallet": 0, "revenue": 0})
    holds: dict[str, Hold] = field(default_factory=dict)
    transfers: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.entries = {account: [] for account in self.accounts}

    def balance(self, account):
        return sum(self.entries[account])

    def held(self, account):
        return sum(hold.amount for hold in self.open_holds(account).values())

    def free(self, account):
        return self.balance(account) - self.held(account)

    def open_holds(self, account=None):
        return {
            name: hold
            for name, hold in self.holds.items()
            if hold.used is None and account in (None, hold.account)
        }

    def transfer(self, name, *legs):
        taken = [
            (where, -amount) for where, amount in legs if amount < 0 and where not in self.house
        ]
        for account, amount in taken:
            if amount > self.free(account):
                raise Refusal("NotEnough")
        if name in self.transfers:
            raise Refusal("Unique")
        self.transfers.add(name)
        for where, amount in legs:
            if where in self.house:
                self.house[where] += amount
            else:
                self.entries[where].append(amount)

    def hold(self, name, account, amount, expires_at_ms):
        if amount > self.free(account):
            raise Refusal("NotEnough")
        if name in self.holds:
            raise Refusal("Unique")
        self.holds[name] = Hold(account, amount, expires_at_ms)

    def post(self, name, used):
        hold = self.holds[name]
        if hold.used is not None:
            if hold.used != used:
                raise Refusal("HoldResolved")
            return hold.amount - used
        hold.used = used
        if used:
            self.transfer(f"charge:{name}", (hold.account, -used), ("revenue", used))
        return hold.amount - used

    def stale(self, now_ms):
        stale = [
            (hold.expires_at_ms, name)
            for name, hold in self.open_holds().items()
            if hold.expires_at_ms <= now_ms
        ]
        return [name for _, name in sorted(stale)]
