"""How fast a channel is used."""

from bots.channel import Caps
from bots.pace import Pace

CAPS = Caps(
    has_buttons=True, can_edit=True, can_preview=True, per_peer_per_s=1.0, burst=3, per_s=10.0
)


def send(pace: Pace, uid: str, *, until: float) -> list[float]:
    """When messages go out that are all there at once."""
    moments, now = [], 0.0
    while now <= until:
        wait_s = pace.wait_s(uid, now)
        if wait_s > 0:
            now += wait_s
            continue
        pace.took(uid, now)
        moments.append(round(now, 6))
    return [moment for moment in moments if moment <= until]


def test_a_peer_gets_a_burst_and_then_one_a_second() -> None:
    assert send(Pace(CAPS), "anna", until=3.0) == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]


def test_one_peer_does_not_slow_another() -> None:
    pace = Pace(CAPS)
    send(pace, "anna", until=0.0)

    assert pace.wait_s("ben", 0.0) == 0


def test_all_together_keep_to_the_channels_rate() -> None:
    pace, now, count = Pace(CAPS), 0.0, 0
    while now < 2.0:
        uid = f"peer {count}"
        wait_s = pace.wait_s(uid, now)
        now += wait_s
        pace.took(uid, now)
        count += 1

    assert 29 <= count <= 31  # ten at once, then ten a second


def test_a_pause_that_the_channel_asked_for_holds_for_everybody() -> None:
    pace = Pace(CAPS)

    pace.close_until(7.0)

    assert pace.wait_s("anna", 2.0) == 5.0
    assert not pace.has_spare("anna", 2.0)
    assert pace.wait_s("anna", 7.0) == 0


def test_what_is_unimportant_waits_for_the_next_message() -> None:
    pace = Pace(CAPS)
    send(pace, "anna", until=0.0)

    assert not pace.has_spare("anna", 0.5)
    assert pace.has_spare("anna", 1.5)


def test_without_limits_nothing_waits() -> None:
    caps = Caps(
        has_buttons=False, can_edit=False, can_preview=False, per_peer_per_s=0, burst=0, per_s=0
    )
    pace = Pace(caps)

    for _ in range(100):
        assert pace.wait_s("anna", 0.0) == 0
        pace.took("anna", 0.0)
