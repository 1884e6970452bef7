"""The turnstile: bursts, refusals, and a bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from api.rate import Turnstile


def test_a_whole_quota_may_come_at_once_and_no_more():
    turnstile = Turnstile(3, window_s=60)

    answers = [turnstile.enter("a", 100.0) for _ in range(4)]

    assert [answer.remaining for answer in answers] == [2, 1, 0, 0]
    assert [answer.retry_after_s for answer in answers] == [None, None, None, 20]


def test_a_refused_request_does_not_push_the_next_turn_away():
    turnstile = Turnstile(1, window_s=60)
    turnstile.enter("a", 0.0)

    for moment in range(1, 60):
        assert turnstile.enter("a", float(moment)).retry_after_s == 60 - moment

    assert turnstile.enter("a", 60.0).retry_after_s is None


def test_clients_do_not_count_against_each_other():
    turnstile = Turnstile(1)

    assert turnstile.enter("a", 0.0).retry_after_s is None
    assert turnstile.enter("b", 0.0).retry_after_s is None


def test_who_waits_as_told_may_go_on():
    turnstile = Turnstile(7, window_s=60)
    while (refusal := turnstile.enter("a", 5.0)).retry_after_s is None:
        pass

    assert turnstile.enter("a", 5.0 + refusal.retry_after_s).retry_after_s is None


def test_the_memory_is_bounded():
    turnstile = Turnstile(1, clients_max=100)

    for number in range(1000):
        turnstile.enter(str(number), 0.0)

    assert len(turnstile._arrivals) == 100


def test_the_headers_say_policy_and_rest():
    allowance = Turnstile(600).enter("a", 0.0)

    assert allowance.headers() == {
        "RateLimit-Policy": '"requests";q=600;w=60',
        "RateLimit": '"requests";r=599;t=1',
    }


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=200))
def test_no_window_ever_lets_through_more_than_twice_the_quota(quota, pauses):
    turnstile = Turnstile(quota, window_s=60)
    now, passed = 0.0, []
    for pause in pauses:
        now += pause
        if turnstile.enter("a", now).retry_after_s is None:
            passed.append(now)

    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= 2 * quota
