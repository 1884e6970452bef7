"""A terminal whose service is another process: lines go there, what comes back is shown."""

import asyncio
from typing import Final

import aiohttp

from bots.terminal import Look, Screen
from bots.terminal_visit import to_query

END: Final = "\x04"  # ends the lines, as Ctrl-D does; see `api/visits.py`
TEXT_BYTES_MAX: Final = 2**24


class NoServer(Exception):
    """Nobody answers at that address; the sentence says why."""


class ServerLeft(Exception):
    """The server does not talk to us, or no more; the sentence says why."""


async def talk_to_server(url: str, token: str, screen: Screen, look: Look) -> None:
    """Be a screen of the server whose operator listens at `url`. Raises NoServer, ServerLeft."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(
                f"{url}/operator/chat",
                params=to_query(look),
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=TEXT_BYTES_MAX,
            ) as socket:
                await _relay(socket, screen)
        except aiohttp.WSServerHandshakeError as refusal:
            raise ServerLeft(f"The server at {url} refuses us ({refusal.status}).") from None
        except aiohttp.ClientConnectionError as fault:
            raise NoServer(f"No server answers at {url} ({fault}).") from None


async def _relay(socket: aiohttp.ClientWebSocketResponse, screen: Screen) -> None:
    typing = asyncio.create_task(_send_lines(socket, screen))
    try:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await screen.show(message.data)
    finally:
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)
    match socket.close_code:
        case aiohttp.WSCloseCode.OK:
            return
        case aiohttp.WSCloseCode.TRY_AGAIN_LATER:
            raise ServerLeft("Not now.")
        case _:
            raise ServerLeft("The server has gone. Nothing is lost; come back when it runs.")


async def _send_lines(socket: aiohttp.ClientWebSocketResponse, screen: Screen) -> None:
    async for line in screen.lines():
        await socket.send_str(line)
    await socket.send_str(END)
