"""A simulated LNbits: a real server on loopback, with a script of faults and a journal.

    async with SimulatedLnbits() as sim:
        wallet = LnbitsWallet(url=sim.url, invoice_key=sim.shop_key, ...)
        sim.fail("status", Fault("truncated"), times=2)
        await sim.pay(invoice.payment_hash)

As a process of its own: `python -m tests.simulator.lnbits_process`.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from aiohttp import web

from core.values.bolt11 import Network
from tests.simulator.lnbits_books import Books, PaymentRefused, SimPayment, SimWallet, Version
from tests.simulator.lnbits_faults import (
    LIMIT_TEXT,
    CallName,
    Fault,
    FaultKind,
    Script,
    answer,
    answer_instead,
    answer_spoilt,
)
from tests.simulator.lnbits_routes import Refusal, Reply, Routes

SocketMode = Literal["open", "refused", "silent"]

_WINDOW_S = 60.0


@dataclass(frozen=True)
class Call:
    """One request as it came in; `status` is None where no answer was given."""

    at_s: float  # monotonic
    name: CallName
    path: str
    key: str | None
    body: Any
    status: int | None
    fault: FaultKind | None


class SimulatedLnbits:
    """`calls` and `books.movements` are the journal that tests compare with."""

    def __init__(
        self,
        *,
        version: Version = "1.6.2",
        network: Network = "mainnet",
        requests_per_minute: int | None = None,
        allow_private_webhooks: bool | None = None,
        port: int = 0,
    ) -> None:
        self.books = Books(version=version, network=network, tell=self._tell_in_background)
        if allow_private_webhooks is None:
            allow_private_webhooks = version == "1.5.6"
        self._routes = Routes(self.books, allow_private_webhooks=allow_private_webhooks)
        self.calls: list[Call] = []
        self.socket_mode: SocketMode = "open"
        self._limit = requests_per_minute
        self._port = port
        self._window_began_s = 0.0
        self._window_count = 0
        self._script = Script()
        self._sockets: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)
        self._telling: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def shop_key(self) -> str:
        """The invoice key of the wallet that sells."""
        return self.books.shop.invoice_key

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.go_down()
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    # The script

    async def go_down(self) -> None:
        """Refuse connections, and cut those that are there."""
        if self._runner is not None:
            await self.cut_sockets()
            await self._runner.cleanup()
            self._runner = None

    async def come_up(self) -> None:
        """Listen, again on the same port."""
        # A request that is under way when it goes down is cut, as by a crash.
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def cut_sockets(self) -> None:
        """Close the websockets that are open."""
        for socket in [one for sockets in self._sockets.values() for one in sockets]:
            await socket.close()

    def fail(self, call: CallName, fault: Fault, *, times: int = 1) -> None:
        """Spoil the next `times` calls of this kind."""
        self._script.add(call, fault, times)

    def fail_always(self, call: CallName, fault: Fault) -> None:
        """Spoil all calls of this kind, until `heal`."""
        self._script.add_for_good(call, fault)

    def fail_everything(self, fault: Fault) -> None:
        """Spoil all calls, until `heal`."""
        self._script.add_everywhere(fault)

    def heal(self) -> None:
        """Forget all faults."""
        self._script.clear()

    async def pay(self, payment_hash: str) -> bool:
        """The buyer, another wallet of this LNbits, pays; say whether money moved."""
        payment = self.books.incoming(payment_hash)
        assert payment is not None
        try:
            outgoing = self.books.pay(self.books.buyer, payment.bolt11, {})
        except PaymentRefused:
            return False
        return outgoing.amount_msat < 0

    async def settle(self, payment_hash: str) -> bool:
        """The node reports a payment from outside, be the invoice expired or called failed."""
        payment = self.books.incoming(payment_hash)
        assert payment is not None
        return self.books.settle(payment)

    async def push(self, text: str, *, wallet: SimWallet | None = None) -> None:
        """Write into a wallet's sockets, as anybody may who knows its key."""
        for key in ((wallet or self.books.shop).invoice_key, (wallet or self.books.shop).admin_key):
            for socket in list(self._sockets[key]):
                if self.socket_mode != "silent" and not socket.closed:
                    await socket.send_str(text)

    def calls_of(self, name: CallName) -> list[Call]:
        """The journal of one kind of call."""
        return [call for call in self.calls if call.name == name]

    async def wait_for_calls(self, name: CallName, count: int) -> None:
        """Return as soon as there were this many calls of this kind."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.calls_of(name)) >= count)

    # The server

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v1/ws/{key}", self._open_socket)
        app.router.add_post("/api/v1/ws/{key}", self._post_into_socket)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        name = _name_of(request, body)
        if name is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        fault = self._script.next(name)
        status: int | None = None
        try:
            response = await self._answer(request, name, body, fault)
            status = response.status
            return response
        finally:
            await self._note(request, name, body, status=status, fault=fault)

    async def _answer(
        self, request: web.Request, name: CallName, body: Any, fault: Fault | None
    ) -> web.Response:
        if self._is_over_limit():
            return answer(429, LIMIT_TEXT)
        if fault is None:
            status, body = self._reply(request, name, body)
            return web.json_response(body, status=status)
        instead = await answer_instead(request, fault)
        if instead is not None:
            return instead
        return await answer_spoilt(request, fault, self._reply(request, name, body), self.books)

    def _reply(self, request: web.Request, name: CallName, body: Any) -> Reply:
        key = request.headers.get("X-Api-Key")
        routes = self._routes
        answers: dict[CallName, Callable[[], Reply]] = {
            "create": lambda: routes.create(key, body),
            "pay": lambda: routes.pay(key, body),
            "status": lambda: routes.status(key, request.path.rpartition("/")[2]),
            "list": lambda: routes.list(key, request.query),
            "wallet": lambda: routes.wallet(key),
            "fee_reserve": lambda: routes.fee_reserve(request.query["invoice"]),
        }
        try:
            return answers[name]()
        except Refusal as refusal:
            return refusal.reply

    def _is_over_limit(self) -> bool:
        """A fixed window, in which refused requests count, too (measured, 1.6.2)."""
        now_s = time.monotonic()
        if now_s - self._window_began_s >= _WINDOW_S:
            self._window_began_s, self._window_count = now_s, 0
        self._window_count += 1
        return self._limit is not None and self._window_count > self._limit

    async def _note(
        self,
        request: web.Request,
        name: CallName,
        body: Any,
        *,
        status: int | None,
        fault: Fault | None,
    ) -> None:
        key, kind = request.headers.get("X-Api-Key"), fault.kind if fault else None
        self.calls.append(Call(time.monotonic(), name, request.path_qs, key, body, status, kind))
        async with self._news:
            self._news.notify_all()

    # Sockets and webhooks

    async def _open_socket(self, request: web.Request) -> web.StreamResponse:
        fault = self._script.next("socket")
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        is_refused = self.socket_mode == "refused" or (fault is not None and fault.kind != "slow")
        await self._note(request, "socket", None, status=403 if is_refused else 101, fault=fault)
        if is_refused:
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        listeners = self._sockets[request.match_info["key"]]  # any key is let in (measured)
        listeners.add(socket)
        try:
            async for _ in socket:
                pass
        finally:
            listeners.discard(socket)
        return socket

    async def _post_into_socket(self, request: web.Request) -> web.Response:
        text = request.query["data"]
        wallet = self.books.wallet_of(request.match_info["key"])
        if wallet is not None:
            await self.push(text, wallet=wallet)
        return web.json_response({"sent": True, "data": text})

    def _tell_in_background(self, payment: SimPayment) -> None:
        task = asyncio.create_task(self._tell(payment))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, payment: SimPayment) -> None:
        """What LNbits does once with each notice of a payment: no retry, no signature."""
        balance_sats = self.books.balance_msat(payment.wallet) // 1000
        message = {"wallet_balance": balance_sats, "payment": payment.as_json()}
        await self.push(json.dumps(message), wallet=payment.wallet)
        if payment.webhook is None:
            return
        timeout = aiohttp.ClientTimeout(total=40)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                # The body is a JSON string that holds JSON (measured).
                async with session.post(payment.webhook, json=json.dumps(payment.as_json())):
                    pass
            except (aiohttp.ClientError, TimeoutError):
                return  # and that was it: LNbits does not try again


def _name_of(request: web.Request, body: Any) -> CallName | None:
    match request.method, request.path.split("/")[3:]:
        case "POST", ["payments"]:
            return "pay" if body.get("out") else "create"
        case "GET", ["payments"]:
            return "list"
        case "GET", ["payments", "fee-reserve"]:
            return "fee_reserve"
        case "GET", ["payments", _]:
            return "status"
        case "GET", ["wallet"]:
            return "wallet"
        case _:
            return None
