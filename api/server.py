"""The listening socket: deadlines and room for honest clients while others stall.

aiohttp 3.14 lets a connection that says nothing, sends half a head or stalls in its body live for
ever (measured: 200 s and more), so the deadlines here are ours: `HEAD_S` for the first head and for
every head once begun; the body has its own in `api/receive.py`. When the house is full, whoever has
been silent longest is shown out, not whoever comes next.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from api.edge import request_id_for
from api.problems import Problem, respond
from core.config_values import Listen

HEAD_S: Final = 10.0
KEEPALIVE_S: Final = 75.0
LINGER_S: Final = 5.0
POLL_S: Final = 0.05
CANCEL_S: Final = 0.5  # aiohttp waits this long twice before it cancels a handler
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


class House:
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

    __slots__ = ("_deadlines", "_head_timer", "_house")

    def __init__(self, manager: web.Server, *, house: House, deadlines: Deadlines) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to switch it off
            keepalive_timeout=deadlines.keepalive_s,
            lingering_time=deadlines.linger_s,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
        )
        self._house = house
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
        self._house.enter(self)

    def data_received(self, data: bytes) -> None:
        """Stop the clock when a head is whole; start it when another one has begun."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_timer()
            self._house.asked(self)
        elif self._head_timer is None and self.is_waiting:
            self._await_head()  # bytes came, yet no request stands: a head has begun

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        self._house.leave(self)
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
        response.headers["Server"] = "boltwork"  # else aiohttp tells its version
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


class CannotListen(Exception):
    """An address cannot be had; the sentence says which, and why."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One application on one socket."""

    port: int
    _server: web.Server
    _runner: web.AppRunner
    _socket: asyncio.Server

    async def aclose(self, *, within_s: float) -> None:
        """Take no new connections, let running requests end in this time, then close the rest."""
        self._socket.close()
        self._server.pre_shutdown()
        ends = time.monotonic() + within_s
        # aiohttp has no event for it: a handler may outlive its connection.
        while self._server.connections and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        await self._runner.cleanup()


async def listen(
    app: web.Application,
    address: Listen,
    *,
    deadlines: Deadlines = Deadlines(),
    connections_max: int = CONNECTIONS_MAX,
) -> Listener:
    """Serve `app`; port 0 takes a free one. Raises CannotListen."""
    runner = web.AppRunner(app, shutdown_timeout=CANCEL_S)
    await runner.setup()
    server = runner.server
    assert server is not None, "a runner that is set up has a server"
    house = House(min(connections_max, connections_possible()))
    connection = partial(Connection, server, house=house, deadlines=deadlines)
    try:
        socket = await asyncio.get_running_loop().create_server(
            connection, address.host, address.port, backlog=BACKLOG
        )
    except OSError as fault:
        await runner.cleanup()
        raise CannotListen(f"Cannot listen on {address}: {fault.strerror}.") from fault
    return Listener(socket.sockets[0].getsockname()[1], server, runner, socket)


def connections_possible() -> int:
    """How many connections the process's limit on open files leaves room for."""
    if sys.platform == "win32":
        return CONNECTIONS_MAX
    import resource  # noqa: PLC0415  # there is none on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else max(16, soft - DESCRIPTORS_KEPT)
