"""Nostr, for longer: 100,000 damaged events, and 500 messages over three relays that flap."""

import random

import pytest

from tests.bots.test_nip59 import opened_of_damaged
from tests.bots.test_nostr_relays import answered_while_relays_flap


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_event_is_opened_or_refused_and_never_a_surprise(seed: int) -> None:
    assert opened_of_damaged(1_000, random.Random(1_000 + seed)) < 500


async def test_each_of_500_messages_is_answered_once_while_three_relays_flap() -> None:
    await answered_while_relays_flap(500)
