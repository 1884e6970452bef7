"""A simulated Bot API of Telegram: a real server on loopback, with people, faults and a journal.

    async with SimulatedBotApi() as sim:
        bot = telegram.Bot(sim.token, base_url=f"{sim.url}/bot")
        anna = sim.person("anna")
        anna.write("hello")
        sim.fail("sendMessage", Fault.of_code(429, retry_after=7))
        ...
        await sim.until(lambda: anna.sees())
        assert sim.findings == []

It refuses what the real one refuses (`bot_api_rules.py`), keeps confirmed updates from coming back,
and counts how fast the bot sends. `/sim/...` moves the people over HTTP (`bot_api_sim.py`).
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import BodyPartReader, web

from tests.simulator import bot_api_sim
from tests.simulator.bot_api_chats import Chats, Group
from tests.simulator.bot_api_faults import (
    Fault,
    FaultScript,
    Pacing,
    Rule,
    answer_instead,
    answer_spoilt,
    refusal,
)
from tests.simulator.bot_api_methods import COUNTED, Methods, Params
from tests.simulator.bot_api_people import Crowd, TelegramPerson
from tests.simulator.bot_api_rules import Refused, bad, units

__all__ = ["Call", "Fault", "SimulatedBotApi"]

TOKEN: Final = "7000000001:AAHsimulatedsimulatedsimulatedsimul"
POLL_MAX_S: Final = 50
BODY_MAX: Final = 64 * 1024 * 1024
WEBHOOK_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)  # the real ones grow likewise, from seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came in; `status` is None where no answer was given."""

    at_s: float  # monotonic
    method: str
    params: Mapping[str, Any]
    files: Mapping[str, tuple[str, bytes]]
    status: int | None
    fault: str | None
    took_s: float


class SimulatedBotApi:
    """`calls` and `chats.events` are the journal that tests compare with."""

    def __init__(self, *, token: str = TOKEN, port: int = 0) -> None:
        self.token = token
        self.calls: list[Call] = []
        self.pacing = Pacing()
        self.chats = Chats(tell=self._wake)
        self.methods = Methods(self.chats)
        self._crowd = Crowd(self.chats)
        self._script = FaultScript()
        self._port = port
        self._poll: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._hook: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def findings(self) -> list[str]:
        """What the bot did that the real one would punish or lose."""
        return [*self.chats.findings, *self.pacing.findings]

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.go_down()

    async def come_up(self) -> None:
        """Listen, again on the same port."""
        app = web.Application(client_max_size=BODY_MAX)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        app.add_subapp("/sim", bot_api_sim.routes(self))
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def go_down(self) -> None:
        """Refuse connections, and cut those that are there."""
        self._stop_hook()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # People, faults, news

    def person(self, name: str, *, lang: str = "en") -> TelegramPerson:
        return self._crowd.person(name, lang=lang)

    def group(self, title: str) -> Group:
        return self._crowd.group(title)

    def fail(
        self,
        method: str,
        fault: Fault,
        *,
        times: int | None = 1,
        chat_id: int | None = None,
        text: str | None = None,
    ) -> None:
        """Spoil the next `times` calls of this method ("*": any); None: all, until `heal`."""
        self._script.add(Rule(fault, method, chat_id, text, times))

    def heal(self) -> None:
        """Forget all faults."""
        self._script.heal()

    async def until(self, holds: Callable[[], Any], *, within_s: float = 10) -> Any:
        """What the condition gives as soon as it holds. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not (found := holds()):
                self._news.clear()
                await self._news.wait()
        return found

    @property
    def is_polled(self) -> bool:
        """Whether the bot waits for updates at this moment."""
        return self._poll is not None and not self._poll.done()

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method.lower() == method.lower()]

    def _wake(self) -> None:
        self._news.set()
        if self._poll is not None and self.is_polled and self.chats.pending(1):
            self._poll.set_result(None)

    # The server

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        began_s = time.monotonic()
        method = request.match_info["method"]
        if request.match_info["token"] != self.token:
            return refusal(401, "Unauthorized")
        params = await _params_of(request)
        text = params.text("text") or params.text("caption")
        fault = self._script.next(method, params.chat_id, text)
        status: int | None = None
        try:
            response = await self._answer(request, method, params, fault=fault)
            status = response.status
            return response
        finally:
            kind, took_s = fault.kind if fault else None, time.monotonic() - began_s
            files = dict(params.files)
            self.calls.append(Call(began_s, method, params.values, files, status, kind, took_s))
            self._news.set()

    async def _answer(
        self, request: web.Request, method: str, params: Params, *, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is not None:
            instead = await answer_instead(request, fault)
            if instead is not None:
                return instead
        try:
            result = await self._result(method, params)
        except Refused as refused:
            return refusal(refused.code, refused.description)
        if params.chat_id is not None and method in COUNTED:
            self.pacing.count(method, params.chat_id, self.chats.now_s())
        body = json.dumps({"ok": True, "result": result}).encode()
        if fault is not None:
            return await answer_spoilt(request, fault, body)
        return web.Response(body=body, content_type="application/json")

    async def _result(self, method: str, params: Params) -> Any:
        match method.lower():
            case "getupdates":
                return await self._get_updates(params)
            case "setwebhook":
                return self._set_webhook(params)
            case "deletewebhook":
                self._forget_webhook(params)
                return True
            case _:
                return self.methods.call(method, params)

    async def _get_updates(self, params: Params) -> list[dict[str, Any]]:
        if self.chats.webhook:
            raise Refused(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook"
                " to delete the webhook first",
            )
        if self._poll is not None and self.is_polled:
            self._poll.set_exception(self.chats.wordings.refuse("two pollers"))
        self.chats.remember_allowed(params.nested("allowed_updates"))
        self.chats.confirm(params.number("offset", 0))
        limit = min(max(params.number("limit", 100), 1), 100)
        timeout_s = min(max(params.number("timeout", 0), 0), POLL_MAX_S)
        if not self.chats.pending(1) and timeout_s:
            poll = self._poll = asyncio.get_running_loop().create_future()
            self._news.set()
            try:
                async with asyncio.timeout(timeout_s):
                    await poll
            except TimeoutError:
                return []
        return self.chats.pending(limit)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return refusal(401, "Unauthorized")
        path = request.match_info["path"]
        for at, content in self.chats.files.values():
            if at == path:
                fault = self._script.next("file", None, path)
                if fault is not None:
                    instead = await answer_instead(request, fault)
                    return instead or await answer_spoilt(request, fault, content)
                return web.Response(body=content)
        return refusal(404, "Not Found")

    # The webhook

    def _set_webhook(self, params: Params) -> bool:
        url, secret = params.text("url"), params.text("secret_token")
        self._forget_webhook(params)
        if not url:
            return True
        if urlsplit(url).scheme != "https" and urlsplit(url).hostname != "127.0.0.1":
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        if secret and (
            units(secret) > 256 or not secret.replace("-", "").replace("_", "").isalnum()
        ):
            raise bad("secret token contains unallowed characters")
        self.chats.remember_allowed(params.nested("allowed_updates"))
        self.chats.webhook = {"url": url, "secret_token": secret}
        self._hook = asyncio.create_task(self._deliver(url, secret))
        return True

    def _forget_webhook(self, params: Params) -> None:
        self._stop_hook()
        self.chats.webhook = {}
        if params.flag("drop_pending_updates"):
            self.chats.drop_pending()

    def _stop_hook(self) -> None:
        if self._hook is not None:
            self._hook.cancel()
            self._hook = None

    async def _deliver(self, url: str, secret: str) -> None:
        """Post update after update, each until it is taken, with growing pauses."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            tries = 0
            while True:
                await self.until(lambda: self.chats.pending(1), within_s=3600)
                update = self.chats.pending(1)[0]
                if await _is_taken(session, url, update):
                    self.chats.confirm(update["update_id"] + 1)
                    tries = 0
                    continue
                await asyncio.sleep(WEBHOOK_PAUSES_S[min(tries, len(WEBHOOK_PAUSES_S) - 1)])
                tries += 1


async def _is_taken(session: aiohttp.ClientSession, url: str, update: Mapping[str, Any]) -> bool:
    try:
        async with session.post(url, json=update) as response:
            return 200 <= response.status < 300
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _params_of(request: web.Request) -> Params:
    values: dict[str, Any] = dict(request.query)
    files: dict[str, tuple[str, bytes]] = {}
    if request.content_type == "application/json" and request.can_read_body:
        values |= await request.json()
    elif request.content_type == "multipart/form-data":
        # Part by part into memory: `post` leaves files open of an upload that is cut off.
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.filename is None:
                values[part.name or ""] = await part.text()
            else:
                files[part.name or ""] = (part.filename, bytes(await part.read()))
    elif request.can_read_body:
        values |= await request.post()
    return Params(values, files)
