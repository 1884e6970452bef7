"""Where mail waits until what has to go before it has come.

Relays give what they stored in no order that means anything, and an old message may have a twin
that counts instead of it (`bots.nostr_twins`). So somebody's mail waits until no more of it comes:
what is old, what came by NIP-04, and whatever they write meanwhile. The rest goes on at once.
"""

from dataclasses import dataclass, field

from bots.nostr_letters import NIP04, NIP17
from bots.nostr_twins import Twins
from core.values.mail import Inbound, Peer

_FRESH_MS = 30_000
_LONGEST = 5  # times as long as usual, however much comes


@dataclass(slots=True)
class _Group:
    """Mail of one person."""

    since_s: float
    until_s: float = 0.0
    mail: list[Inbound] = field(default_factory=list)


class WaitingRoom:
    """Times are those of one monotonic clock, but for `now_ms`."""

    def __init__(self, hold_s: float) -> None:
        """`hold_s` is how long more mail is waited for."""
        self._hold_s = hold_s
        self._groups: dict[Peer, _Group] = {}
        self._ready: list[Inbound] = []
        self._twins = Twins()

    def add(self, mail: Inbound, *, now_s: float, now_ms: int) -> None:
        """Let it in."""
        is_fresh = now_ms - mail.at_ms < _FRESH_MS
        if is_fresh and mail.via != NIP04 and mail.peer not in self._groups:
            self._ready.append(mail)
            return
        group = self._groups.setdefault(mail.peer, _Group(now_s))
        group.mail.append(mail)
        group.until_s = min(now_s + self._hold_s, group.since_s + _LONGEST * self._hold_s)

    def opens_at(self) -> float | None:
        """When somebody's mail has waited long enough; None while nothing waits."""
        return min((group.until_s for group in self._groups.values()), default=None)

    def leave(self, now_s: float) -> list[Inbound]:
        """The mail that may go on, in the order in which it was written, without second twins."""
        over = [peer for peer, group in self._groups.items() if group.until_s <= now_s]
        mail, self._ready = self._ready, []
        for peer in over:
            mail += self._groups.pop(peer).mail
        mail.sort(key=lambda each: each.via != NIP17)  # of twins it is the gift that counts
        mail = [each for each in mail if not self._twins.is_second(each)]
        return sorted(mail, key=lambda each: each.at_ms)
