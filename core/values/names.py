"""Names: what somebody on a channel is called where others must know for sure who it is.

The channel's own id always stands there, since what people call themselves proves nothing.
"""

from collections.abc import Iterable
from typing import Final

from core.values import bech32
from core.values.mail import Peer

_NAME_LENGTH: Final = 40
_PUBKEY_LENGTH: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


def called(peer: Peer, name: str) -> str:
    """A peer by channel, own name and id: Telegram Anna (7000012), Nostr (npub1abcdefg…wxyz)."""
    shown = " ".join(name.split())[:_NAME_LENGTH]
    return " ".join(filter(None, (peer.channel.capitalize(), shown, f"({_id_of(peer)})")))


def all_called(people: Iterable[tuple[Peer, str]], session_id: str) -> str:
    """The same of everybody behind a session; of nobody, the session's id."""
    return ", ".join(called(peer, name) for peer, name in people) or session_id


def _id_of(peer: Peer) -> str:
    if peer.channel != "nostr" or len(peer.uid) != _PUBKEY_LENGTH or not _HEX.issuperset(peer.uid):
        return peer.uid
    npub = bech32.encode("npub", bech32.from_octets(bytes.fromhex(peer.uid)))
    return f"{npub[:12]}…{npub[-6:]}"
