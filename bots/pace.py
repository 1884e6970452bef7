"""Pace: how fast a channel may be used, by one peer and in all. What is too fast waits its turn.

Each limit is a bucket that fills evenly. Time comes in as an argument, in seconds of a clock that
only goes forward.
"""

from collections import OrderedDict

from bots.channel import Caps

SPARE = 1.0  # the message that comes next keeps its turn
PEERS_MAX = 10_000  # whose last messages are remembered; a full bucket needs no memory


class Pace:
    """The buckets of one channel. A rate of 0 is no limit."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._peers: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._all = (float(caps.per_s), 0.0)
        self._closed_until = 0.0

    def close_until(self, moment: float) -> None:
        """Let nothing through until then: the channel asked for a pause."""
        self._closed_until = max(self._closed_until, moment)

    def wait_s(self, uid: str, now: float) -> float:
        """How long a message to this peer has to wait; 0 for not at all."""
        caps = self._caps
        own, common = 0.0, 0.0
        if caps.per_peer_per_s:
            level = self._peer_level(uid, now)
            own = max(0.0, (1 - level) / caps.per_peer_per_s)
        if caps.per_s:
            common = max(0.0, (1 - self._common_level(now)) / caps.per_s)
        return max(own, common, self._closed_until - now)

    def has_spare(self, uid: str, now: float) -> bool:
        """Whether something unimportant can be sent that leaves the next message its turn."""
        if self._closed_until > now:
            return False
        has_own = not self._caps.per_peer_per_s or self._peer_level(uid, now) >= SPARE
        return has_own and (not self._caps.per_s or self._common_level(now) >= self._caps.per_s / 2)

    def took(self, uid: str, now: float) -> None:
        """A message to this peer is on its way."""
        if self._caps.per_peer_per_s:
            self._peers[uid] = (self._peer_level(uid, now) - 1, now)
            self._peers.move_to_end(uid)
            while len(self._peers) > PEERS_MAX:
                self._peers.popitem(last=False)
        if self._caps.per_s:
            self._all = (self._common_level(now) - 1, now)

    def _peer_level(self, uid: str, now: float) -> float:
        level, at = self._peers.get(uid, (float(self._caps.burst), now))
        return min(float(self._caps.burst), level + (now - at) * self._caps.per_peer_per_s)

    def _common_level(self, now: float) -> float:
        level, at = self._all
        return min(float(self._caps.per_s), level + (now - at) * self._caps.per_s)
