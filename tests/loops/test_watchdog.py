"""The watchdog: it stops the intake while customers' money is not safe, and lets it go on."""

import pytest

from core.books import settings
from core.loops.intake import Intake
from core.loops.watchdog import PAUSED, SHORT_LOOKS, Watchdog
from core.values.errors import Paused
from tests.fakes import FakeWallet
from tests.hand_clock import HandClock
from tests.world import ALICE

MINUTE_S = 60


async def rich(world):
    """A session with 100 sats; what it holds is in the wallet."""
    opened = await world.core.desk.sessions.open_session(100, client=ALICE)
    with world.bulletin.listen(opened.session.session_id) as news:
        world.wallet.pay(opened.deposit_invoice)
        assert await news.wait(30)
    return opened.session.session_id


async def looks(world, times):
    """Let the watchdog look so often; it looks every ten seconds."""
    for _ in range(times):
        await world.pass_time(10)


def is_open(world):
    try:
        world.core.gate.check_intake()
    except Paused:
        return False
    return True


async def test_an_emptied_wallet_stops_the_intake_within_a_minute(world):
    await rich(world)
    world.wallet.holds_msat = 99_999

    await looks(world, 5)

    assert not is_open(world)
    assert world.core.desk.health.not_ready() == ["wallet"]


async def test_a_wallet_that_holds_just_what_is_owed_is_enough(world):
    await rich(world)
    world.wallet.holds_msat = 100_000

    await looks(world, 6)

    assert is_open(world)


async def test_a_payment_that_is_booked_between_two_questions_stops_nothing(world):
    await rich(world)
    world.wallet.holds_msat = 0
    await looks(world, SHORT_LOOKS - 1)
    world.wallet.holds_msat = None

    await looks(world, SHORT_LOOKS)

    assert is_open(world)


async def test_a_wallet_that_is_filled_up_lets_the_intake_go_on(world):
    await rich(world)
    world.wallet.holds_msat = 0
    await looks(world, SHORT_LOOKS)
    assert not is_open(world)
    world.wallet.holds_msat = None

    await looks(world, 1)

    assert is_open(world)
    assert world.core.desk.health.not_ready() == []


async def test_a_wallet_that_does_not_answer_says_nothing_of_the_money(world):
    await rich(world)
    world.wallet.is_down = True

    await looks(world, 6)

    assert is_open(world)
    world.wallet.is_down = False


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        (
            "UPDATE accounts SET balance_msat = balance_msat + 1 WHERE account_id = :account_id",
            "UPDATE accounts SET balance_msat = balance_msat - 1 WHERE account_id = :account_id",
        ),
        (
            "UPDATE transfers SET reason = 'a gift' WHERE ref <> :account_id",
            "UPDATE transfers SET reason = '' WHERE ref <> :account_id",
        ),
        (
            "UPDATE entries SET amount_msat = amount_msat * 2 WHERE account_id <> :account_id",
            "UPDATE entries SET amount_msat = amount_msat / 2 WHERE account_id <> :account_id",
        ),
    ],
)
async def test_altered_books_stop_the_intake_within_a_minute(world, damage, repair):
    account_id = await rich(world)
    await world.store.write(_run, damage, account_id)

    await world.pass_time(20)

    assert not is_open(world)
    assert world.core.desk.health.not_ready() == ["database"]
    await world.store.write(_run, repair, account_id)
    await world.pass_time(20)
    assert is_open(world)


async def test_what_is_paid_for_is_worked_on_while_the_intake_is_closed(world):
    job, _ = await world.order()
    await rich(world)
    world.wallet.holds_msat = 0
    await looks(world, SHORT_LOOKS)

    world.wallet.pay(job.eval_invoice)

    await world.becomes(job.job_id, "evaluating")
    world.wallet.holds_msat = None


async def test_a_price_is_asked_for_only_when_the_intake_goes_on(world):
    job, _ = await world.order()
    await world.store.write(settings.put, PAUSED, "a new disk")
    await looks(world, 1)
    world.wallet.pay(job.eval_invoice)
    await world.agent.calls.reaches(1)
    await world.given_back()
    assert (await world.view(job.job_id)).state == "evaluating"
    await world.store.write(settings.put, PAUSED, "")

    await looks(world, 1)
    await world.pass_time(60)

    await world.becomes(job.job_id, "awaiting_work_payment")


async def test_no_order_is_taken_while_the_intake_is_closed(world):
    await world.store.write(settings.put, PAUSED, "a new disk")
    await looks(world, 1)

    with pytest.raises(Paused):
        await world.order()


async def test_a_pause_by_another_process_is_heeded_and_ends_with_it(world):
    await world.store.write(settings.put, PAUSED, "a new disk")
    await looks(world, 1)
    assert not is_open(world)
    assert world.core.desk.health.not_ready() == []

    await world.store.write(settings.put, PAUSED, "")
    await looks(world, 1)

    assert is_open(world)


async def _run(tx, sql, account_id):
    assert await tx.run(sql, account_id=account_id) > 0


class WorkingClock(HandClock):
    """Every look at it takes a tenth of a second; whoever sleeps is noted, and goes on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s: list[float] = []

    def monotonic(self) -> float:
        self._seconds += 0.1
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


async def test_an_audit_rests_after_each_part_nine_times_as_long_as_it_took(store):
    clock = WorkingClock()
    watchdog = Watchdog(store, FakeWallet(clock), Intake(), clock)

    await watchdog.audit_once()

    assert len(clock.slept_s) >= len(("transfers", "accounts", "holds", "invoices", "jobs"))
    assert {round(seconds, 6) for seconds in clock.slept_s} == {0.9}
