"""How many requests a client may make: one moment per client is the whole state.

The generic cell rate algorithm (ATM Forum, as used by many gateways): every request moves the
client's theoretical arrival time on by one interval; a request is refused while that time lies
further ahead than the burst allows. It behaves like a token bucket and needs no timer.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

CLIENTS_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client has left; `retry_after_s` is None while it may go on."""

    quota: int
    window_s: int
    remaining: int
    reset_s: int
    retry_after_s: int | None

    def headers(self) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10)."""
        return {
            "RateLimit-Policy": f'"requests";q={self.quota};w={self.window_s}',
            "RateLimit": f'"requests";r={self.remaining};t={self.reset_s}',
        }


class Turnstile:
    """Counts requests of each client; `quota` in `window_s` seconds, all at once if it likes.

    Remembers a bounded number of clients and forgets who has been quiet longest.
    """

    def __init__(self, quota: int, *, window_s: int = 60, clients_max: int = CLIENTS_MAX) -> None:
        self._quota = quota
        self._window_s = window_s
        self._interval_s = window_s / quota
        self._clients_max = clients_max
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    def enter(self, client: str, now_s: float) -> Allowance:
        """Count one request of `client`; a refused one counts for nothing."""
        arrival = max(self._arrivals.get(client, now_s), now_s) + self._interval_s
        wait_s = arrival - now_s - self._window_s
        if wait_s > 1e-9:  # not 0: sums of intervals carry rounding errors
            return self._allowance(arrival - self._interval_s - now_s, math.ceil(wait_s))
        self._arrivals[client] = arrival
        self._arrivals.move_to_end(client)
        if len(self._arrivals) > self._clients_max:
            self._arrivals.popitem(last=False)
        return self._allowance(arrival - now_s, None)

    def _allowance(self, ahead_s: float, retry_after_s: int | None) -> Allowance:
        return Allowance(
            quota=self._quota,
            window_s=self._window_s,
            remaining=max(0, int((self._window_s - ahead_s) / self._interval_s + 1e-6)),
            reset_s=math.ceil(ahead_s),
            retry_after_s=retry_after_s,
        )
