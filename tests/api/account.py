"""A customer with a session: a shop, and the token that opens it there."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from core.values.tokens import attenuate, from_text, to_bearer
from tests.api.conftest import Answer, OpenShop, Shop
from tests.conftest import Database

ABSENT_SESSION = "ses_" + "0" * 26
ABSENT_TOKEN = "tok_" + "0" * 26
ABSENT_JOB = "job_" + "0" * 26
SORT = "Sort these names: Zoe, Adam"

# What one may ask of a session, with fields that are right; `{}` stands for its name.
ROUTES = [
    ("GET", "/sessions/{}", None, "read"),
    ("DELETE", "/sessions/{}", None, "read"),
    ("POST", "/sessions/{}/topup", {"amountSats": 100}, "topup"),
    ("GET", "/sessions/{}/ledger", None, "read"),
    ("POST", "/sessions/{}/request", {"request": SORT}, "spend"),
    ("POST", "/sessions/{}/jobs", {"request": SORT}, "spend"),
    ("GET", "/sessions/{}/jobs", None, "read"),
    ("POST", "/sessions/{}/tokens", {"label": "x"}, "manage"),
    ("GET", "/sessions/{}/tokens", None, "manage"),
    ("DELETE", f"/sessions/{{}}/tokens/{ABSENT_TOKEN}", None, None),
]
POSTS = [route for route in ROUTES if route[0] == "POST"]
ALL_RIGHTS = ("read", "spend", "topup", "withdraw", "manage")


def all_but(right):
    return "rights=" + ",".join(each for each in ALL_RIGHTS if each != right)


@dataclass(frozen=True, slots=True)
class Account:
    """What one token opens."""

    shop: Shop
    token: str

    @classmethod
    async def open(cls, shop: Shop, sats: int = 1_000) -> tuple["Account", Any]:
        """A session that nobody has paid yet, and what was answered."""
        answer = await shop.post("/sessions", json={"amountSats": sats})
        assert answer.status == 201, answer.body
        return cls(shop, answer.json["macaroon"]), answer.json

    @classmethod
    async def filled(cls, shop: Shop, sats: int = 1_000) -> "Account":
        """A session with this much on it."""
        account, opened = await cls.open(shop, sats)
        await shop.pay(opened["depositInvoice"])
        async with asyncio.timeout(5):
            while (await account.session())["state"] != "active":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return account

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.shop.ask(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, fields: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, json=fields, **options)

    async def delete(self, path: str) -> Answer:
        return await self.ask("DELETE", path)

    async def session(self) -> Any:
        answer = await self.get("/sessions/me")
        assert answer.status == 200, answer.body
        return answer.json

    async def order(self, request: str = SORT, **fields: Any) -> Any:
        answer = await self.post("/sessions/me/jobs", {"request": request, **fields})
        assert answer.status == 201, answer.body
        return answer.json

    async def worked(self, **fields: Any) -> Any:
        """A job that started by itself, complete."""
        job = await self.order(maxPriceSats=100, **fields)
        for state in ("evaluating", "awaiting_work_payment", "executing"):
            job = await self.shop.left(job, state)
        assert job["state"] == "complete", job
        return job

    async def quoted(self, **fields: Any) -> Any:
        """A job that waits for accept."""
        return await self.shop.left(await self.order(**fields), "evaluating")

    def narrowed(self, *caveats: str) -> "Account":
        """The same account by a copy of the token that was narrowed offline."""
        raw = from_text(self.token)
        for caveat in caveats:
            raw = attenuate(raw, caveat)
        return Account(self.shop, to_bearer(raw))

    async def child(self, **fields: Any) -> tuple["Account", str]:
        """The same account by a token that stems from this one, and that token's id."""
        answer = await self.post("/sessions/me/tokens", {"label": "a child", **fields})
        assert answer.status == 201, answer.body
        return Account(self.shop, answer.json["macaroon"]), answer.json["tokenId"]

    async def pages(self, path: str, limit: int) -> list[list[Any]]:
        """All pages of a list, one after the other."""
        pages, cursor = [], ""
        while True:
            answer = await self.get(f"{path}?limit={limit}{cursor}")
            assert answer.status == 200, answer.body
            pages.append(answer.json["items"])
            if answer.json["nextCursor"] is None:
                return pages
            cursor = f"&cursor={answer.json['nextCursor']}"


async def credited(account, balance_msat):
    """The session as soon as it has this balance."""
    async with asyncio.timeout(5):
        while (session := await account.session())["balanceMsat"] != balance_msat:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return session


@pytest.fixture
async def account(shop: Shop) -> Account:
    """A session with 1,000 sats on it."""
    return await Account.filled(shop)


@pytest.fixture
async def shop_on(open_shop: OpenShop, database: Database) -> Shop:
    """A shop on each kind of database."""
    return await open_shop(DATABASE__URL=database.url)
