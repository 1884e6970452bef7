"""The door for a terminal, on the operator's listener: a websocket that carries lines and text.

What somebody types comes in text frames, a line each, and what is shown goes out in text frames as
it stands. END ends the lines; the answers go on until the server closes.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from api.operator import check_token

END: Final = "\x04"  # what Ctrl-D is to a terminal
LINE_BYTES_MAX: Final = 2**20


class SocketScreen:
    """A screen at the other end of a websocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def lines(self) -> AsyncIterator[str]:
        """What is typed there."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT or message.data == END:
                return
            yield message.data

    async def show(self, text: str) -> None:
        """Send this. Raises ConnectionError where nobody is there any more."""
        await self._socket.send_str(text)


Visit = Callable[[SocketScreen, Mapping[str, str]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class VisitRoutes:
    """Lets terminals in.

    `visit` talks to a screen that introduced itself in its query; False says that it was refused.
    """

    visit: Visit
    token: str

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve visits."""
        router.add_get("/operator/chat", self.talk)

    async def talk(self, request: web.Request) -> web.StreamResponse:
        """One visit, as long as it lasts."""
        check_token(request, self.token)
        socket = web.WebSocketResponse(max_msg_size=LINE_BYTES_MAX)
        await socket.prepare(request)
        is_served = False
        with suppress(ConnectionError):  # who is gone needs no answer
            is_served = await self.visit(SocketScreen(socket), request.query)
        await socket.close(code=WSCloseCode.OK if is_served else WSCloseCode.TRY_AGAIN_LATER)
        return socket
