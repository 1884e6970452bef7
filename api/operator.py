"""The operator's own listener: who may speak there."""

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.credentials import presented_in
from core.values.errors import Unauthorized


def only_with_token(token: str) -> Middleware:
    """Let nobody in who does not present this token."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        presented = presented_in(request.headers)
        if presented is None or not hmac.compare_digest(
            presented.token.encode(errors="replace"), token.encode()
        ):
            raise Unauthorized("This needs the operator's token.")
        return await handler(request)

    return check
