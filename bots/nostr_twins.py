"""Texts that an app sends by both protocols, to be sure: they are one message.

It is the gift that counts, also when both are read again after a restart, for old messages wait
for it a little (`bots.nostr_waiting`). A twin that comes later than that is known as one for as
long as this program runs.
"""

import hashlib
from collections import OrderedDict

from bots.nostr_letters import NIP04, NIP17
from core.values.mail import Inbound, Text

_APART_MS = 5 * 60 * 1000
_KEPT_MAX = 10_000

_Key = tuple[str, str, bytes]


class Twins:
    """The texts that came without a twin so far."""

    def __init__(self) -> None:
        self._single: OrderedDict[_Key, list[int]] = OrderedDict()  # with their times, oldest first

    def is_second(self, mail: Inbound) -> bool:
        """Whether this came already by the other protocol; if not, it is remembered.

        Each is the twin of one other: who writes the same twice by both has written it twice.
        """
        if not isinstance(mail.body, Text):
            return False
        digest = hashlib.sha256(mail.body.text.strip().encode()).digest()
        other = NIP17 if mail.via == NIP04 else NIP04
        times = self._single.get((other, mail.peer.uid, digest), [])
        for at_ms in times:
            if abs(at_ms - mail.at_ms) <= _APART_MS:
                times.remove(at_ms)
                return True
        self._single.setdefault((mail.via, mail.peer.uid, digest), []).append(mail.at_ms)
        if len(self._single) > _KEPT_MAX:
            self._single.popitem(last=False)
        return False
