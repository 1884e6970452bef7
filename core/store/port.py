"""The store port: a transaction, and the two ways to run a function in one.

A transaction function is `async def f(tx, ...)` that awaits nothing but its `tx`; it may run more
than once, so it has no other effect. One SQL text serves both databases: `:name` parameters, one
type per name; types TEXT, INTEGER, BLOB; no NUL and no lone surrogate in text.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

Row = Mapping[str, Any]


class Tx(Protocol):
    """One open transaction."""

    async def run(self, sql: str, **params: object) -> int:
        """Execute a statement; return how many rows it changed."""
        ...

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, sql: str, **params: object) -> list[Row]:
        """All rows."""
        ...

    def announce(self, topic: str) -> None:
        """Wake whoever waits for `topic`, after and only if this transaction commits."""
        ...


TxFunction = Callable[Concatenate[Tx, P], Awaitable[R]]


class Store(Protocol):
    """Runs transaction functions."""

    async def write(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` as one durable transaction and return what it returned.

        Committed before this returns, whatever happens to the caller meanwhile. Raises whatever
        `fn` raised (then nothing is kept), or `core.values.errors.DatabaseUnavailable`.
        """
        ...

    async def read(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot; it must not write."""
        ...

    async def aclose(self) -> None:
        """Finish what is queued, then close."""
        ...
