"""The life of a job: seven states, what can happen, and the one table of edges.

No other edge exists; whoever moves a job asks this table, and the row moves only from the state
that the table names.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

State = Literal[
    "awaiting_eval_payment",
    "evaluating",
    "rejected",
    "awaiting_work_payment",
    "executing",
    "complete",
    "failed",
]

Event = Literal[
    "eval_paid",
    "rejected",
    "quoted",
    "evaluation_failed",
    "work_paid",
    "work_done",
    "work_failed",
    "deadline_exceeded",
    "eval_unpaid",
    "quote_expired",
    "cancelled",
]

ErrorCode = Literal[
    "eval_unpaid",
    "quote_expired",
    "cancelled",
    "evaluation_failed",
    "work_failed",
    "deadline_exceeded",
]

STATES: Final = get_args(State)
EVENTS: Final = get_args(Event)
ERROR_CODES: Final = get_args(ErrorCode)
FINAL: Final[frozenset[State]] = frozenset({"rejected", "complete", "failed"})

# Where our side failed, everything paid for the job is owed back, its evaluation fee included, and
# the house pays the routing fee of the refund.
OUR_FAULT: Final[frozenset[ErrorCode]] = frozenset(
    {"evaluation_failed", "work_failed", "deadline_exceeded"}
)

EDGES: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        ("awaiting_eval_payment", "eval_paid"): "evaluating",
        ("awaiting_eval_payment", "eval_unpaid"): "failed",
        ("awaiting_eval_payment", "cancelled"): "failed",
        ("evaluating", "rejected"): "rejected",
        ("evaluating", "quoted"): "awaiting_work_payment",
        ("evaluating", "evaluation_failed"): "failed",
        ("evaluating", "cancelled"): "failed",
        ("awaiting_work_payment", "work_paid"): "executing",
        ("awaiting_work_payment", "quote_expired"): "failed",
        ("awaiting_work_payment", "cancelled"): "failed",
        ("executing", "work_done"): "complete",
        ("executing", "work_failed"): "failed",
        ("executing", "deadline_exceeded"): "failed",
    }
)


def after(state: State, event: Event) -> State | None:
    """The state that `event` leads to from `state`, or None where that cannot happen."""
    return EDGES.get((state, event))


def is_final(state: State) -> bool:
    """Whether the job has ended."""
    return state in FINAL
