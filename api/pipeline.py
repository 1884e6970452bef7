"""From a route to a handler of aiohttp: the checks that all routes share, in the contract's order.

Size (413), media type (415), credential (401), the key (stored answer, 422, 409); then the route's
own handler, which looks up (404), checks rights (403) and reads fields (400) before it acts.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, assert_never

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.credentials import presented_in
from api.edge import CLIENT
from api.keys import KEY_LENGTH_MIN_ANONYMOUS, fingerprint, key_in
from api.problems import Problem, Refusal
from api.receive import read_body
from api.route import AnyRoute, Auth, Call
from core.books.credentials import Bearer
from core.books.idempotency import KeyReused, KeyRunning, Receipt
from core.desk.answers import Answer, AnswerBook, Fresh
from core.values.errors import Unauthorized

REPLAYED: Final = "Idempotency-Replayed"

AnyCall = Call[object, object]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What stands between the socket and every route's handler."""

    identify: Callable[[str, bytes | None], Awaitable[Bearer]]
    answers: AnswerBook

    def mount(self, app: web.Application, routes: Iterable[AnyRoute]) -> None:
        """Serve these routes; a GET answers HEAD as well, unless it streams or does something."""
        for route in routes:
            handler = self._handler(route)
            app.router.add_route(route.method, route.path, handler, expect_handler=_go_on)
            is_plain = not (route.is_stream or route.has_effect)
            if route.method == hdrs.METH_GET and is_plain:
                app.router.add_route(hdrs.METH_HEAD, route.path, handler, expect_handler=_go_on)

    def _handler(self, route: AnyRoute) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw_body = await read_body(request, route.body_bytes_max)
            call: AnyCall = Call(
                request=request,
                raw_body=raw_body,
                bearer=await self._bearer(route.auth, request),
                body_model=route.body,
                query_model=route.query,
            )
            key = self._key(route, call)
            if key is None:
                return _response(await route.handler(call))
            return await self._run_once(route, call, key)

        return handle

    async def _bearer(self, auth: Auth, request: web.Request) -> Bearer | None:
        match auth:
            case Auth.IGNORED | Auth.CHALLENGED:
                return None
            case Auth.LOOKED_AT:
                try:
                    return await self._bearer(Auth.NEEDED, request)
                except Unauthorized:
                    return None
            case Auth.NEEDED:
                presented = presented_in(request.headers)
                if presented is None:
                    raise Unauthorized("This needs a credential.")
                return await self.identify(presented.token, presented.preimage_bytes)
            case _:
                assert_never(auth)

    def _key(self, route: AnyRoute, call: AnyCall) -> str | None:
        if not route.is_keyed:
            return None
        length_min = KEY_LENGTH_MIN_ANONYMOUS if call.bearer is None else 1
        return key_in(call.request.headers, length_min=length_min)

    async def _run_once(self, route: AnyRoute, call: AnyCall, key: str) -> web.StreamResponse:
        """Run the handler under this key, or answer with what the key stands for."""
        request = call.request
        principal = request[CLIENT] if call.bearer is None else principal_of(call.bearer)
        same = fingerprint(request.method, request.rel_url.raw_path, call.raw_body)
        claimed = await self.answers.claim(principal, key, same)
        match claimed:
            case Fresh(receipt):
                return await self._run_with(receipt, route, call)
            case Answer():
                return replayed(claimed)
            case KeyReused():
                raise Refusal(
                    Problem("idempotency_key_reused", "This key stands for another request.")
                )
            case KeyRunning():
                detail = "The first request with this key still runs."
                raise Refusal(Problem("request_in_progress", detail, retry_after_s=1))
            case _:
                assert_never(claimed)

    async def _run_with(
        self, receipt: Receipt, route: AnyRoute, call: AnyCall
    ) -> web.StreamResponse:
        has_answered = False
        try:
            response = _response(await route.handler(replace(call, receipt=receipt)))
            has_answered = True
            return response
        finally:
            if not has_answered:
                await self.answers.release(receipt)


def replayed(answer: Answer) -> web.StreamResponse:
    """The answer that a key stands for."""
    return _response(replace(answer, headers={**answer.headers, REPLAYED: "true"}))


def principal_of(bearer: Bearer) -> str:
    """Whose keys a credential's are: those of its token id, whatever was narrowed offline."""
    return f"tok:{bearer.token.token_id.hex()}"


def _response(answer: Answer | web.StreamResponse) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _go_on(request: web.Request) -> None:
    """Meet `Expect: 100-continue`; other expectations may be ignored (RFC 9110, 10.1.1)."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
