"""The store port: a transaction, and the two ways to run a function in one.

A transaction function is `async def f(tx, ...)` that awaits nothing but its `tx`; it may run more
than once, so it has no other effect. One SQL text serves both databases: `:name` parameters, one
type per name; types TEXT, INTEGER, BLOB; no NUL and no lone surrogate in text.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Row(Protocol):
    """One row: `row["name"]` and `dict(row)` are what the rows of both databases can do."""

    def __getitem__(self, name: str, /) -> Any:
        """The value of one column."""
        ...

    def keys(self) -> Iterable[str]:
        """The names of the columns."""
        ...


class Tx(Protocol):
    """One open transaction."""

    async def run(self, sql: str, **params: object) -> int:
        """Execute an INSERT, UPDATE or DELETE; return how many rows it changed."""
        ...

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row of a query or of what RETURNING gives, or None."""
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
        `fn` raised, DatabaseUnavailable or ShuttingDown (`core.values.errors`); then nothing is
        kept. One exception no client of a server can rule out: when the connection breaks during
        the commit itself, the transaction may stand. So a function is guarded by the state of its
        own rows, and running it again is harmless.
        """
        ...

    async def read(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot; what it writes is refused."""
        ...

    async def is_alone(self) -> bool:
        """Whether nobody else has this database open, as far as the database can tell."""
        ...

    async def aclose(self) -> None:
        """Finish what is queued, then close."""
        ...
