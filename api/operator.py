"""The operator's own listener: metrics, and what the commands of `boltwork` need.

The commands always need the operator's token; the metrics do only beyond this machine.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.credentials import presented_in
from api.json_strict import decode
from core.app import Core
from core.desk.operator_desk import Document
from core.values.errors import InvalidRequest, Unauthorized


def only_with_token(token: str) -> Middleware:
    """Let nobody in who does not present this token."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        check_token(request, token)
        return await handler(request)

    return check


def check_token(request: web.Request, token: str) -> None:
    """Raise Unauthorized where a request does not present this token."""
    presented = presented_in(request.headers)
    if presented is None or not hmac.compare_digest(
        presented.token.encode(errors="replace"), token.encode()
    ):
        raise Unauthorized("This needs the operator's token.")


Command = Callable[[web.Request], Awaitable[Document]]


@dataclass(frozen=True, slots=True)
class OperatorRoutes:
    """The commands on a live server."""

    core: Core
    token: str

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve all commands."""
        commands: dict[tuple[str, str], Command] = {
            ("GET", "/operator/ledger/check"): self.check_ledger,
            ("GET", "/operator/ledger/export"): self.export_ledger,
            ("GET", "/operator/refunds"): self.list_refunds,
            ("POST", "/operator/refunds/{refund_id}/retry"): self.retry_refund,
            ("POST", "/operator/refunds/{refund_id}/credit"): self.credit_refund,
            ("POST", "/operator/pause"): self.pause,
            ("POST", "/operator/resume"): self.resume,
        }
        for (method, path), command in commands.items():
            router.add_route(method, path, self._serve(command))

    def _serve(self, command: Command) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            check_token(request, self.token)
            document = await command(request)
            return web.Response(body=orjson.dumps(document), content_type="application/json")

        return handle

    async def check_ledger(self, _request: web.Request) -> Document:
        """Audit the books and the wallet now."""
        alarms = self.core.reconciler.alarms
        return await self.core.operator.check_ledger(
            alarms=[f"{alarm.payment_hash}: {alarm.what}" for alarm in alarms]
        )

    async def export_ledger(self, request: web.Request) -> Document:
        """One page of all transfers."""
        return await self.core.operator.export_ledger(request.query.get("cursor", ""))

    async def list_refunds(self, _request: web.Request) -> Document:
        """All that is owed back."""
        return await self.core.operator.list_refunds()

    async def retry_refund(self, request: web.Request) -> Document:
        """Try or look at a refund now."""
        fields = await _fields(request)
        return await self.core.operator.retry_refund(
            request.match_info["refund_id"], fields.get("reason", "")
        )

    async def credit_refund(self, request: web.Request) -> Document:
        """Give a debt to a session's balance."""
        fields = await _fields(request)
        return await self.core.operator.credit_refund(
            request.match_info["refund_id"], fields.get("to", ""), fields.get("reason", "")
        )

    async def pause(self, request: web.Request) -> Document:
        """Take no money from now on."""
        fields = await _fields(request)
        document = await self.core.operator.pause(
            fields.get("reason", ""), fields.get("account", "")
        )
        await self.core.watchdog.heed_operator()
        return document

    async def resume(self, request: web.Request) -> Document:
        """Take money again."""
        fields = await _fields(request)
        document = await self.core.operator.resume(
            fields.get("reason", ""), fields.get("account", "")
        )
        await self.core.watchdog.heed_operator()
        return document


async def _fields(request: web.Request) -> dict[str, str]:
    """The fields of a body, all of them text. Raises InvalidRequest."""
    told = decode(await request.read())
    if not isinstance(told, dict):
        raise InvalidRequest("The body is an object.")
    wrong = [name for name, value in told.items() if not isinstance(value, str)]
    if wrong:
        raise InvalidRequest("This is a text.", pointer=f"/{wrong[0]}")
    return {name: str(value) for name, value in told.items()}
