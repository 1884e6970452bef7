"""The listening socket: deadlines and room for honest clients while others stall.

aiohttp 3.14 lets a connection that says nothing, sends half a head or stalls in its body live for
ever (measured: 200 s and more), so the deadlines here are ours: `HEAD_S` for the first head and for
every head once begun; the body has its own in `api/receive.py`. When the house is full, whoever has
been silent longest is shown out, not whoever comes next.
"""

import asyncio
import sys
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from api.edge import request_id_for
from api.problems import Problem, respond

HEAD_S: Final = 10.0
KEEPALIVE_S: Final = 75.0
LINGER_S: Final = 5.0
BACKLOG: Final = 1024
CONNECTIONS_MAX: Final = 10_000
# The database, the wallet, the model and the logs need descriptors of their own.
DESCRIPTORS_KEPT: Final = 200
# `GET /demo?request=` may carry 16,000 characters, each up to 4 bytes of 3 characters "%XX".
LINE_BYTES_MAX: Final = 200_000
FIELD_BYTES_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a connection may take, in seconds."""

    head_s: float = HEAD_S
    keepalive_s: float = KEEPALIVE_S
    linger_s: float = LINGER_S


class Doors:
    """Who is inside. Beyond the maximum whoever has waited longest without asking must leave."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._inside: dict[Connection, bool] = {}  # who asked last stands last

    def enter(self, connection: "Connection") -> None:
        """Let a new connection in; where nobody else can leave, it leaves itself."""
        self._inside[connection] = True
        if len(self._inside) > self._connections_max:
            idle = (other for other in self._inside if other.is_waiting)
            next(idle, connection).force_close()

    def asked(self, connection: "Connection") -> None:
        """Note that a whole head has come."""
        if self._inside.pop(connection, False):
            self._inside[connection] = True

    def leave(self, connection: "Connection") -> None:
        """Forget a closed connection."""
        self._inside.pop(connection, None)


class Connection(RequestHandler):
    """aiohttp's protocol with a deadline for heads, and our words for requests it cannot read."""

    __slots__ = ("_deadlines", "_doors", "_head_timer")

    def __init__(self, manager: web.Server, *, doors: Doors, deadlines: Deadlines) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to switch it off
            keepalive_timeout=deadlines.keepalive_s,
            lingering_time=deadlines.linger_s,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
        )
        self._doors = doors
        self._deadlines = deadlines
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no request stands, only the wait for one."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for the first head."""
        super().connection_made(transport)
        self._await_head()
        self._doors.enter(self)

    def data_received(self, data: bytes) -> None:
        """Stop the clock when a head is whole; start it when another one has begun."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_timer()
            self._doors.asked(self)
        elif self._head_timer is None and self.is_waiting:
            self._await_head()  # bytes came, yet no request stands: a head has begun

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        self._doors.leave(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002  # aiohttp hands it in by place
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answer what aiohttp's parser refused as one more problem, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun; no other can follow.")
        code = "invalid_request" if status < 500 else "internal"
        detail = "This is not a request that HTTP/1.1 knows."
        response = respond(Problem(code, detail), request_id_for(""))
        response.force_close()
        return response

    def _await_head(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(
            self._deadlines.head_s, self.force_close
        )

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


@dataclass(frozen=True, slots=True)
class Listener:
    """One application on one socket."""

    port: int
    _runner: web.AppRunner
    _socket: asyncio.Server

    def stop_accepting(self) -> None:
        """Take no new connections; those that stand go on."""
        self._socket.close()

    async def aclose(self) -> None:
        """Let running requests end within the grace, then close everything."""
        self._socket.close()
        await self._runner.cleanup()


async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    grace_s: float,
    deadlines: Deadlines = Deadlines(),
    connections_max: int = CONNECTIONS_MAX,
) -> Listener:
    """Serve `app`; port 0 takes a free one. Raises OSError where the address cannot be had."""
    # aiohttp waits twice: for the handlers, and again after it has cancelled their reading.
    runner = web.AppRunner(app, shutdown_timeout=grace_s / 2)
    await runner.setup()
    assert runner.server is not None
    connection = partial(
        Connection,
        runner.server,
        doors=Doors(min(connections_max, connections_possible())),
        deadlines=deadlines,
    )
    try:
        socket = await asyncio.get_running_loop().create_server(
            connection, host, port, backlog=BACKLOG
        )
    except OSError:
        await runner.cleanup()
        raise
    return Listener(socket.sockets[0].getsockname()[1], runner, socket)


def connections_possible() -> int:
    """How many connections the process's limit on open files leaves room for."""
    if sys.platform == "win32":
        return CONNECTIONS_MAX
    import resource  # noqa: PLC0415  # there is none on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else max(16, soft - DESCRIPTORS_KEPT)
