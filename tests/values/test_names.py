"""What people are called: always with the id that they cannot choose."""

import pytest

from core.values.mail import Peer
from core.values.names import all_called, called

# The key and its npub are the example of NIP-19.
PUBKEY = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"


@pytest.mark.parametrize(
    ("peer", "name", "expected"),
    [
        (Peer("telegram", "1", "7000012"), "Anna", "Telegram Anna (7000012)"),
        (Peer("telegram", "1", "7000012"), "", "Telegram (7000012)"),
        (Peer("nostr", "1", PUBKEY), "", "Nostr (npub10elfcs4…zvjptg)"),
        (Peer("nostr", "1", "odd"), "", "Nostr (odd)"),
    ],
)
def test_somebody_is_named_by_channel_own_name_and_id(peer, name, expected):
    assert called(peer, name) == expected


def test_a_name_cannot_hide_the_id():
    name = "Anna (1)\n\n" + "x" * 500

    shown = called(Peer("telegram", "1", "2"), name)

    assert shown.endswith(" (2)")
    assert "\n" not in shown
    assert len(shown) < 60


def test_who_is_in_no_chat_is_named_by_the_session():
    assert all_called([], "ses_1") == "ses_1"
