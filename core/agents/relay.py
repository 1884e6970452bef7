"""The relay to an OpenAI-compatible upstream: bytes out, bytes back, over aiohttp.

The second road to the model. Typed events of the SDK cost 13 times more CPU for each chunk than
bytes do (measured), so requests that are OpenAI's on both ends go through here, and nothing of
them is understood. One call is one model run: nothing is repeated, no redirect is followed.

Fault reasons carry statuses only: upstreams echo keys and prompts in their messages.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Self

import aiohttp
from yarl import URL

from core.agents.port import AgentFault, UpstreamAway

CONNECT_S: Final = 10.0
# Servers close idle connections after 5 s and more (uvicorn's default); a call that meets such an
# end is lost, for nobody can tell whether the model has run.
IDLE_S: Final = 4.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
RETRY_AFTER_MAX_S: Final = 3_600
_SECONDS: Final = re.compile(r"[0-9]{1,6}")

# The upstream says that the request itself is at fault; asking again changes nothing.
_REFUSALS: Final = frozenset({400, 404, 405, 411, 413, 414, 415, 422, 431, 451})


class HttpRelay:
    """One upstream, over as many connections as there are calls."""

    def __init__(self, *, base_url: str, api_key: str, timeout_s: float) -> None:
        """`timeout_s` bounds the wait for the first byte, and each silence after it.

        An empty `api_key` is for upstreams that want none.
        """
        self._timeout_s = timeout_s
        self._url = URL(f"{base_url}/chat/completions")
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            # Silences are looked for here: aiohttp's own limit sets a new timer for each read.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(timeout_s, CONNECT_S)),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def plain(self, body: bytes) -> bytes:
        """The whole answer of one call. Raises AgentFault."""
        whole = bytearray()
        async with aclosing(self.stream(body)) as pieces:
            async for piece in pieces:
                whole += piece
                if len(whole) > ANSWER_BYTES_MAX:
                    raise AgentFault("the upstream's answer is too large", retry=False)
        return bytes(whole)

    async def stream(self, body: bytes) -> AsyncGenerator[bytes, None]:
        """The answer of one call as it comes. Raises AgentFault, also after some of it."""
        with _Faults():
            async with asyncio.timeout(self._timeout_s):
                response = await self._session.post(self._url, data=body, allow_redirects=False)
            # The connection is used again where the answer was read to its end, else it is closed.
            async with response, _Silence(response, self._timeout_s) as silence:
                if response.status != 200:
                    raise _refusal(response)
                while piece := await silence.broken():
                    yield piece

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()


class _Silence:
    """Closes an answer of which nothing comes for too long while somebody waits for it.

    One timer for many reads: aiohttp's own limit sets a new one for each, a tenth of the CPU that
    passing on a chunk costs (measured).
    """

    def __init__(self, response: aiohttp.ClientResponse, limit_s: float) -> None:
        self._response = response
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._is_over = False

    async def broken(self) -> bytes:
        """The next bytes, none at the end. Raises TimeoutError after the silence."""
        self._since = self._loop.time()
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError:
            if self._is_over:
                raise TimeoutError from None
            raise
        finally:
            self._since = None

    async def __aenter__(self) -> Self:
        self._timer = self._loop.call_later(self._limit_s, self._look)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        since_s = now_s if self._since is None else self._since
        left_s = since_s + self._limit_s - now_s
        if left_s <= 0:
            self._is_over = True
            self._response.close()
            return
        self._timer = self._loop.call_later(left_s, self._look)


def _refusal(response: aiohttp.ClientResponse) -> AgentFault:
    reason = f"the upstream answered {response.status}"
    if response.status in _REFUSALS:
        return AgentFault(reason, retry=False)
    told = response.headers.get("Retry-After", "")
    seconds = min(int(told), RETRY_AFTER_MAX_S) if _SECONDS.fullmatch(told) else None
    return UpstreamAway(reason, retry_after_s=seconds)


class _Faults:
    """Turns what goes wrong on the way into an AgentFault."""

    def __enter__(self) -> None:
        """Nothing is needed for it."""

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: object
    ) -> None:
        match fault:
            case TimeoutError():  # aiohttp's own timeouts are of this class too
                raise UpstreamAway("the upstream did not answer in time") from None
            case aiohttp.ClientConnectorError():
                reason = f"the upstream cannot be reached ({type(fault).__name__})"
                raise UpstreamAway(reason) from None
            case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
                raise AgentFault("the connection to the upstream broke") from None
            case aiohttp.ClientError():
                raise AgentFault("the upstream answered something that is no HTTP") from None
