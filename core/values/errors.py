"""Everything the product can refuse or fail at, one class per sentence.

    BoltworkError
    ├── Refused                  the request cannot be served as it stands; nothing is kept
    │   ├── InvalidRequest       a field is wrong
    │   │   └── MoreThanFree     a withdrawal is larger than what can be spared
    │   ├── Unauthorized         no credential, or a bad one
    │   ├── Forbidden            the credential's own limits say no; paying cures nothing
    │   ├── NotFound             absent, malformed and foreign alike
    │   ├── WrongState           the job, session or refund is past that
    │   ├── PriceAboveMaximum    cheaper than we can be
    │   └── RateLimited          later
    ├── ModelFailed              the model was asked and gave nothing usable; nothing was charged
    └── Unavailable              somebody cannot serve now; nothing half made
        ├── WalletUnavailable
        │   └── PaymentNotSeen
        ├── ModelUnavailable
        ├── DatabaseUnavailable
        ├── QueueFull
        ├── Paused
        └── ShuttingDown

`code` is the word of the public contract; `detail` is one sentence for the customer and holds no
secret. `reason`, where present, is one line for the log only.
"""

from typing import ClassVar


class BoltworkError(Exception):
    """The root: everything below carries a public `code` and a `detail`."""

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Refused(BoltworkError):
    """The request cannot be served as it stands; the transaction it was met in keeps nothing."""


class InvalidRequest(Refused):
    """A field is wrong; `pointer` is its JSON pointer, or "" for the whole request."""

    code = "invalid_request"

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


class MoreThanFree(InvalidRequest):
    """A withdrawal, with its routing fee's cap, is larger than what is free."""


class Unauthorized(Refused):
    """No credential, or one that does not hold."""

    code = "unauthorized"


class Forbidden(Refused):
    """The credential's own limits say no; paying cures nothing."""

    code = "forbidden"


class NotFound(Refused):
    """Absent, malformed and foreign ids get one and the same answer."""

    code = "not_found"

    def __init__(self, detail: str = "There is nothing here by that name.") -> None:
        super().__init__(detail)


class WrongState(Refused):
    """The thing exists, but is past (or not yet at) what was asked of it."""

    code = "wrong_state"


class PriceAboveMaximum(Refused):
    """The customer's maximum lies below what we can ever charge."""

    code = "price_above_maximum"


class RateLimited(Refused):
    """Too much at once; `retry_after_s` says when to come back."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s

    @classmethod
    def until(cls, detail: str, free_at_ms: int, *, now_ms: int) -> "RateLimited":
        """The same, said with the moment from which on it is possible again."""
        return cls(detail, retry_after_s=max(1, -(-(free_at_ms - now_ms) // 1000)))


class ModelFailed(BoltworkError):
    """The model was asked and gave nothing usable; nothing was charged. `reason` is for the log."""

    code = "model_failed"

    def __init__(self, reason: str) -> None:
        super().__init__("The model failed; nothing was charged.")
        self.reason = reason


class Unavailable(BoltworkError):
    """Somebody cannot serve now; no money was taken and nothing half made is visible."""

    code = "internal"
    retry_after_s: int | None = 5

    def __init__(self, reason: str, detail: str = "Please try again in a moment.") -> None:
        super().__init__(detail)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class WalletUnavailable(Unavailable):
    """The wallet cannot make an invoice or answer now."""

    code = "wallet_unavailable"


class PaymentNotSeen(WalletUnavailable):
    """Somebody shows a preimage of which the wallet does not know yet that it was paid."""

    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("a preimage was shown before the wallet knew it")


class ModelUnavailable(Unavailable):
    """The model cannot be reached now; `retry_after_s` is when it said that it can be again."""

    code = "model_unavailable"

    def __init__(self, reason: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class DatabaseUnavailable(Unavailable):
    """The database is full, locked or gone; nothing of the transaction is kept."""

    code = "database_unavailable"


class QueueFull(Unavailable):
    """More work waits than can be promised."""

    code = "queue_full"


class Paused(Unavailable):
    """The operator, or the watchdog, has stopped the intake of money."""

    code = "paused"
    retry_after_s = 60


class ShuttingDown(Unavailable):
    """This process takes nothing new any more."""

    code = "shutting_down"
