"""Where the money must be, in plain numbers: the model that random histories are compared with."""

from collections import Counter
from dataclasses import dataclass, field

FEE, PRICE = 21_000, 34_000


@dataclass
class Job:
    """A one-off job: what it waits for or has earned, and what it owes."""

    state: str = "awaiting_eval_payment"
    house: int = 0  # owed at the house's cost
    own: int = 0  # owed, and pays its own way
    paid: Counter = field(default_factory=Counter)  # by purpose, how often
    is_evaluated: bool = False

    @property
    def needs(self):
        return {
            "evaluating": FEE,
            "awaiting_work_payment": FEE,
            "executing": FEE + PRICE,
        }.get(self.state, 0)

    @property
    def owes(self):
        return self.house + self.own


@dataclass
class Model:
    """The money of one history, in msat; every change names all the places it touches."""

    sessions: dict[str, int] = field(default_factory=dict)
    held: dict[str, tuple[str, int]] = field(default_factory=dict)  # by hold: whose, how much
    jobs: dict[str, Job] = field(default_factory=dict)
    sums: Counter = field(default_factory=Counter)  # revenue, fees, owner, suspense, in, out

    def free(self, session_id):
        holds = sum(msat for owner, msat in self.held.values() if owner == session_id)
        return self.sessions[session_id] - holds

    def deposit(self, session_id, msat):
        self.sessions[session_id] = self.sessions.get(session_id, 0) + msat
        self.sums["in"] += msat

    def charge(self, hold_id, used):
        session_id, _ = self.held.pop(hold_id)
        self.sessions[session_id] -= used
        self.sums["revenue"] += used

    def pay_job(self, job_id, purpose):
        job, msat = self.jobs[job_id], FEE if purpose == "eval" else PRICE
        self.sums["in"] += msat
        moves = {
            ("awaiting_eval_payment", "eval"): "evaluating",
            ("awaiting_work_payment", "work"): "executing",
        }
        to = moves.get((job.state, purpose))
        if to is None:
            job.own += msat
        else:
            job.state = to

    def end_job(self, job_id, how):
        """End a job: what it has earned is ours, the rest is owed."""
        job = self.jobs[job_id]
        earned = {
            "complete": FEE + PRICE,
            "rejected": FEE,
            "quote_expired": FEE,
            "cancelled": FEE if job.needs and job.is_evaluated else 0,
        }.get(how, 0)
        rest = job.needs - earned
        if how in {"work_failed", "evaluation_failed", "deadline_exceeded"}:
            job.house += rest
        else:
            job.own += rest
        self.sums["revenue"] += earned
        job.state = how

    def left(self, amount, fee, house_fee):
        """So much has left the wallet; the house has borne this part of the fee."""
        self.sums["out"] += amount + fee
        self.sums["fees"] -= house_fee

    def owner(self, msat):
        self.sums["owner"] += msat
        self.sums["in" if msat > 0 else "out"] += abs(msat)

    @property
    def owed(self):
        return sum(self.sessions.values()) + sum(job.owes + job.needs for job in self.jobs.values())

    def check(self):
        """Money in is what was earned, is owed, is on its way, was paid back, or is the owner's."""
        sums = self.sums
        places = self.owed + sums["revenue"] + sums["fees"] + sums["owner"] + sums["suspense"]
        assert sums["in"] - sums["out"] == places, (sums, places)
