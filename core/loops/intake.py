"""The intake: why no money is taken at this moment; open where there is no reason.

While it is closed nothing new is sold and no invoice is made. Everything can be read, what is paid
for is done, and money goes back all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import structlog

from core.values.errors import Paused, WalletUnavailable

Reason = Literal[
    "start",  # the books have not been compared with the wallet yet
    "operator",
    "wallet",  # it holds less than customers are owed
    "books",  # the audit has found a fault
]

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Intake:
    """The reasons of one process; each belongs to whoever gives it and takes it back."""

    _reasons: dict[Reason, str] = field(default_factory=dict)

    @property
    def reasons(self) -> Mapping[Reason, str]:
        """Why the intake is closed, each reason with its sentence for the operator."""
        return MappingProxyType(self._reasons)

    def stop(self, reason: Reason, sentence: str) -> None:
        """Take no money from now on; again is no change."""
        if reason not in self._reasons and reason != "start":
            log.error("intake stopped", reason=reason, why=sentence)
        self._reasons[reason] = sentence

    def go_on(self, reason: Reason) -> None:
        """This reason is gone; where it was none, nothing changes."""
        if self._reasons.pop(reason, None) is not None:
            log.info("intake goes on", reason=reason, still=sorted(self._reasons))

    def check(self) -> None:
        """Raise Paused, or WalletUnavailable at the start, where no money is taken."""
        self.check_started()
        for reason, sentence in self._reasons.items():
            raise Paused(f"{reason}: {sentence}")

    def check_started(self) -> None:
        """Raise WalletUnavailable where no money may move, since the books may be old ones."""
        if "start" in self._reasons:
            raise WalletUnavailable(self._reasons["start"])
