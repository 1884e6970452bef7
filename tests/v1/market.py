"""A shop whose model is an upstream of the test, and customers with balances."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

from core.books.audit import audit
from core.values import bolt11
from tests.api.conftest import Answer, Shop
from tests.simulator.model import SimulatedModel

MODEL = "sold"
UPSTREAM_KEY = "sk-upstream-0123456789"
INPUT, OUTPUT = 1, 4  # msat for each token
ASKED = "Sort these names: Zoe, Adam"
OUTPUT_LIMIT = 100

MODELS = [
    {
        "id": MODEL,
        "upstream_id": "simulated-model",
        "input_msat_per_1k": INPUT * 1000,
        "output_msat_per_1k": OUTPUT * 1000,
        "max_output_tokens": 1000,
        "context_tokens": 8000,
    },
    {"id": "other", "max_output_tokens": 50},
]

_CHALLENGE = re.compile(r'L402 macaroon="(.*?)", invoice="(.*?)"')


def chat(**fields: Any) -> dict[str, Any]:
    """A small request; fields may replace and add."""
    messages = [{"role": "user", "content": ASKED}]
    return {"model": MODEL, "messages": messages, "max_tokens": OUTPUT_LIMIT, **fields}


def hold_of(**fields: Any) -> int:
    """What a small request is held at."""
    return len(json.dumps(chat(**fields))) * INPUT + OUTPUT_LIMIT * OUTPUT


def tokens(text: str) -> int:
    """The size of a text where nobody says it better."""
    return -(-len(text.encode()) // 4)


def challenged(answer: Answer) -> tuple[str, str]:
    """The macaroon and the invoice of a challenge."""
    found = _CHALLENGE.match(answer.headers["WWW-Authenticate"])
    assert found is not None, answer.headers["WWW-Authenticate"]
    return found[1], found[2]


def events(answer: Answer) -> list[Any]:
    """The data of a stream's events, comments left out."""
    assert answer.headers["Content-Type"] == "text/event-stream"
    lines = [line for line in answer.body.decode().split("\n") if line and line[0] != ":"]
    assert all(line.startswith("data: ") for line in lines), answer.body
    texts = [line[6:] for line in lines]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def text_of(answer: Answer) -> str:
    """The text of an answer, streamed or not."""
    if answer.headers["Content-Type"] == "application/json":
        return answer.json["choices"][0]["message"]["content"]
    chunks = [event for event in events(answer) if event != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@dataclass(frozen=True, slots=True)
class Market:
    """A shop, and the upstream behind it."""

    shop: Shop
    upstream: SimulatedModel

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.shop.port}/v1"

    async def session(self, sats: int = 1000) -> str:
        """A token for a balance of so many sats."""
        opened = await self.shop.post("/sessions", json={"amountSats": sats})
        assert opened.status == 201, opened.body
        await self.shop.pay(opened.json["depositInvoice"])
        return opened.json["macaroon"]

    async def token(self, parent: str, **limits: Any) -> str:
        """A weaker token."""
        minted = await self.shop.post(
            "/sessions/me/tokens", json={"label": "weaker", **limits}, headers=bearer(parent)
        )
        assert minted.status == 201, minted.body
        return minted.json["macaroon"]

    async def ask(
        self, token: str | None, headers: dict[str, str] | None = None, **fields: Any
    ) -> Answer:
        """A chat completion; `fields` replace and add."""
        coat = {} if token is None else bearer(token)
        return await self.shop.post(
            "/v1/chat/completions", json=chat(**fields), headers=coat | (headers or {})
        )

    async def account(self, token: str) -> dict[str, Any]:
        answer = await self.shop.get("/sessions/me", headers=bearer(token))
        assert answer.status == 200, answer.body
        return answer.json

    async def spent(self, token: str) -> int:
        return int((await self.account(token))["spentMsat"])

    async def at_rest(self, token: str, within_s: float = 10) -> dict[str, Any]:
        """The account once nothing is held any more; the books are in order then."""
        async with asyncio.timeout(within_s):
            account = await self.account(token)
            while account["heldMsat"] or len(self.shop.core.desk.relay.running):
                account = await self.account(token)
        assert await self.shop.core.store.read(audit) == []
        return account

    async def pay(self, invoice: str) -> str:
        """Pay an invoice; the preimage."""
        payment_hash = bolt11.decode(invoice).payment_hash
        answer = await self.shop.post(f"/dev/stub/pay/{payment_hash}")
        assert answer.status == 200, answer.body
        return answer.json["preimage"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
