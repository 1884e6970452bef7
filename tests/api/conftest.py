"""A whole shop for tests: a core with play money, its doors, and a customer."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.app import Doors, serve_api
from core.agents.port import Agent
from core.app import Core, open_core
from core.config import load
from core.wallets.port import Wallet


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        return str(self.json["code"])


@dataclass(frozen=True, slots=True)
class Shop:
    """A running shop and its customer's HTTP client."""

    core: Core
    doors: Doors
    session: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return self.doors.port

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.ask("POST", path, **options)

    async def order(self, request: str = "Sort these names: Zoe, Adam", **fields: Any) -> Any:
        answer = await self.post("/jobs", json={"request": request, **fields})
        assert answer.status == 201, answer.body
        return answer.json

    async def pay(self, invoice: Mapping[str, Any]) -> None:
        answer = await self.post(f"/dev/stub/pay/{invoice['paymentHash']}")
        assert answer.status == 200, answer.body

    async def left(self, job: Mapping[str, Any], state: str) -> Any:
        """The job as soon as it is no longer in this state."""
        answer = await self.get(f"/jobs/{job['jobId']}?wait=10&state={state}")
        assert answer.status == 200, answer.body
        return answer.json

    async def quoted(self, **fields: Any) -> tuple[Any, Any]:
        """A job that waits for the payment of its work, as ordered and as it is."""
        ordered = await self.order(**fields)
        await self.pay(ordered["evalInvoice"])
        await self.left(ordered, "awaiting_eval_payment")
        return ordered, await self.left(ordered, "evaluating")


async def eventually(probe: Callable[[], Awaitable[object]], within_s: float = 5) -> None:
    """Wait until the probe finds something."""
    async with asyncio.timeout(within_s):
        while not await probe():  # noqa: ASYNC110  # what is waited for tells nobody
            await asyncio.sleep(0.01)


OpenShop = Callable[..., Awaitable[Shop]]


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[OpenShop]:
    """Open shops with these settings (`BOLTWORK_...` without the prefix)."""
    async with AsyncExitStack() as stack:

        async def opened(
            *, wallet: Wallet | None = None, agent: Agent | None = None, **settings: str
        ) -> Shop:
            environ = {
                "SERVER__DATA_DIR": str(tmp_path),
                "SERVER__LISTEN": "127.0.0.1:0",
                "OPERATOR__LISTEN": "127.0.0.1:0",
                "SERVER__SHUTDOWN_GRACE_S": "2",
                **settings,
            }
            config = load(None, {f"BOLTWORK_{name}": text for name, text in environ.items()})
            core = await stack.enter_async_context(open_core(config, wallet=wallet, agent=agent))
            doors = await stack.enter_async_context(serve_api(core, config))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Shop(core, doors, session)

        yield opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    """A shop with development defaults."""
    return await open_shop()
