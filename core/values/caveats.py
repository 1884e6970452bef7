"""Caveats: what a token may still do, written as `name=value` in plain ASCII.

    expires_at=<unix s>                valid before this second
    budget_msat=<n>;id=<16 hex>        a counter, shared by every token that carries it
    max_request_msat=<n>               the most that one request may cost
    models=a,b                         only these models
    rights=read,spend,...              only these rights; without this caveat all of them

Anyone may add a caveat to a token, so a further one can only narrow: the strictest wins. One that
is not known here is refused, for a limit that we do not understand we could not keep. That is
stricter than the L402 specification, which skips unknown ones.
"""

import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from core.values.errors import InvalidRequest
from core.values.money import Msat

Right = Literal["read", "spend", "topup", "withdraw", "manage"]

RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
NUMBER_MAX = 2**53  # what every JSON reader holds exactly


class Budget(NamedTuple):
    """A counter named by its id, and the msat at which it is used up."""

    budget_id: str
    limit: Msat


@dataclass(frozen=True, slots=True)
class Caveats:
    """What all caveats of a token together leave allowed; None is no limit."""

    texts: tuple[str, ...]  # as signed, in their order
    expires_at_s: int | None
    budgets: tuple[Budget, ...]  # every one counts
    max_request_msat: Msat | None
    models: frozenset[str] | None
    rights: frozenset[Right]

    @property
    def count(self) -> int:
        """How many caveats the token carries; 0 is a root token."""
        return len(self.texts)

    def allows(self, right: Right) -> bool:
        """Whether every caveat leaves this right."""
        return right in self.rights

    def allows_model(self, model: str) -> bool:
        """Whether every caveat leaves the model of this id."""
        return self.models is None or model in self.models

    def is_expired(self, now_s: int) -> bool:
        """Whether the token has ended; it is valid before `expires_at_s`, not at it."""
        return self.expires_at_s is not None and now_s >= self.expires_at_s


def read_caveats(texts: Iterable[str]) -> Caveats:
    """What `texts` together allow.

    Raises InvalidRequest where one of them is not written exactly as the grammar says.
    """
    texts = tuple(texts)
    expiries: list[int] = []
    budgets: dict[str, Msat] = {}
    maxima: list[int] = []
    models: list[frozenset[str]] = []
    rights: list[frozenset[Right]] = []
    for text in texts:
        name, _, value = text.partition("=")
        match name:
            case "expires_at":
                expiries.append(_number(value))
            case "budget_msat":
                budget = _budget(value)
                known = budgets.get(budget.budget_id, budget.limit)
                budgets[budget.budget_id] = min(known, budget.limit)
            case "max_request_msat":
                maxima.append(_number(value))
            case "models":
                models.append(_models(value))
            case "rights":
                rights.append(_rights(value))
            case _:
                raise InvalidRequest("The token has a caveat that is not known here.")
    return Caveats(
        texts=texts,
        expires_at_s=min(expiries, default=None),
        budgets=tuple(Budget(*item) for item in budgets.items()),
        max_request_msat=Msat(min(maxima)) if maxima else None,
        models=frozenset.intersection(*models) if models else None,
        rights=_ALL_RIGHTS.intersection(*rights),
    )


def write_caveats(
    *,
    expires_at_s: int | None = None,
    budget: Budget | None = None,
    max_request_msat: int | None = None,
    models: Collection[str] | None = None,
    rights: Collection[Right] | None = None,
) -> tuple[str, ...]:
    """The caveats that set exactly these limits; None sets none.

    Raises InvalidRequest for a limit that cannot be written, as an empty list or a negative number.
    """
    texts = []
    if expires_at_s is not None:
        texts.append(f"expires_at={expires_at_s}")
    if budget is not None:
        texts.append(f"budget_msat={budget.limit};id={budget.budget_id}")
    if max_request_msat is not None:
        texts.append(f"max_request_msat={max_request_msat}")
    if models is not None:
        texts.append("models=" + ",".join(models))
    if rights is not None:
        texts.append("rights=" + ",".join(right for right in RIGHTS if right in rights))
    return read_caveats(texts).texts


def new_budget_id() -> str:
    """A fresh id for a counter: 64 random bits as hex."""
    return secrets.token_hex(8)


_ALL_RIGHTS: Final = frozenset(RIGHTS)
_RIGHT_OF: Final[dict[str, Right]] = {right: right for right in RIGHTS}

# Character classes are spelled out: \d, str.isdigit and int() also know foreign digits.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_BUDGET = re.compile(r"([0-9]+);id=([0-9a-f]{16})")
_MODELS = re.compile(r"[!-+\--~]+(?:,[!-+\--~]+)*")  # visible ASCII, the comma separates


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or (number := int(text)) > NUMBER_MAX:
        raise InvalidRequest(
            f"A caveat needs a number from 0 to {NUMBER_MAX} in digits, without leading zeros."
        )
    return number


def _budget(text: str) -> Budget:
    match = _BUDGET.fullmatch(text)
    if match is None:
        raise InvalidRequest("A budget is written budget_msat=<n>;id=<16 lower-case hex digits>.")
    return Budget(match.group(2), Msat(_number(match.group(1))))


def _models(text: str) -> frozenset[str]:
    if not _MODELS.fullmatch(text):
        raise InvalidRequest("A caveat needs model ids of visible ASCII, separated by commas.")
    return frozenset(text.split(","))


def _rights(text: str) -> frozenset[Right]:
    try:
        return frozenset(_RIGHT_OF[right] for right in text.split(","))
    except KeyError:
        raise InvalidRequest(f"A caveat knows these rights: {', '.join(RIGHTS)}.") from None
