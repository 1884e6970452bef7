"""A simulated LNURL receiver: a real server on loopback, with settable answers and a journal.

    async with SimulatedReceiver(now_ms=clock.now_ms) as receiver:
        receiver.offer["minSendable"] = 5_000
        invoice = await resolver.invoice_of(parse(receiver.address, ...), amount)

`Canary` is a listener that counts who knocks. Source: LUD-06, LUD-16.
"""

import asyncio
import hashlib
import json
import secrets
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from core.values.bolt11 import Network, encode_and_sign
from core.values.money import Msat

KEY = bytes.fromhex("11" * 32)
METADATA = json.dumps([["text/plain", "Alice"], ["text/identifier", "alice@example.org"]])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SimulatedReceiver:
    """Receives for `alice`; `offer` and `invoice` are merged into what it would answer."""

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        network: Network = "regtest",
        bind: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[web.Request] = []
        self.offer: dict[str, Any] = {}
        self.invoice: dict[str, Any] = {}  # arguments of `encode_and_sign`, or `pr` itself
        self.instead_of_offer: Handler | None = None
        self.instead_of_invoice: Handler | None = None
        self.port = 0
        self._now_ms = now_ms
        self._network: Network = network
        self._bind = bind
        self._tls = tls
        self._runner: web.AppRunner | None = None

    @property
    def host(self) -> str:
        """As the configuration lists it."""
        return f"{self._bind}:{self.port}"

    @property
    def address(self) -> str:
        return f"alice@{self.host}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/.well-known/lnurlp/alice"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/.well-known/lnurlp/alice", self._offer)
        app.router.add_get("/callback", self._invoice)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._bind, self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _offer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.instead_of_offer is not None:
            return await self.instead_of_offer(request)
        usual = {
            "tag": "payRequest",
            "callback": f"{request.url.origin()}/callback?to=alice",
            "minSendable": 1_000,
            "maxSendable": 100_000_000,
            "metadata": METADATA,
        }
        return web.json_response(usual | self.offer)

    async def _invoice(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.instead_of_invoice is not None:
            return await self.instead_of_invoice(request)
        if "pr" in self.invoice:
            return web.json_response({"pr": self.invoice["pr"], "routes": []})
        usual: dict[str, Any] = {
            "network": self._network,
            "amount": Msat(int(request.query["amount"])),
            "created_at_s": self._now_ms() // 1000,
            "payment_hash": secrets.token_hex(32),
            "payment_secret": secrets.token_hex(32),
            "description_hash": hashlib.sha256(METADATA.encode()).hexdigest(),
        }
        pr = encode_and_sign(KEY, **(usual | self.invoice))
        return web.json_response({"pr": pr, "routes": []})


class Canary:
    """Listens on loopback and counts every connection."""

    def __init__(self) -> None:
        self.knocks = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._knocked, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _knocked(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks += 1
        writer.close()
