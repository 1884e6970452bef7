"""Money back through a real LNbits: to an invoice, to an address, to whoever holds the link."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from api.app import serve_api
from core.app import Core, open_core
from core.books.audit import audit
from core.config import load
from core.values.clock import SystemClock
from tests.real.lnbits_server import ROOT, RealLnbits, RealWallet
from tests.real.test_lnbits_payer import abroad
from tests.simulator.receiver import METADATA, SimulatedReceiver

PATIENCE_S = 20.0
FLOAT_SATS = 1_000  # what the shop's wallet holds beside what customers have paid

# What a wallet does with a link: the client of another project, which knows nothing of us.
CLAIM = """
import asyncio, json, sys
from lnurl import execute_withdraw, handle

async def claim(link, invoice):
    offer = await handle(link)
    said = await execute_withdraw(offer, invoice) if offer.ok and invoice else offer
    print(said.json())

try:
    asyncio.run(claim(*sys.argv[1:]))
except Exception as fault:
    print(json.dumps({"status": "ERROR", "reason": str(fault)}))
"""


@dataclass(frozen=True)
class Market:
    """A shop at a real LNbits, a customer with a wallet there, and an address of hers."""

    lnbits: RealLnbits
    core: Core
    url: str
    session: aiohttp.ClientSession
    customer: RealWallet
    receiver: SimulatedReceiver

    async def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(
            method, self.url + path, json=body, headers=headers
        ) as answer:
            return {"status": answer.status, **(await answer.json(content_type=None))}

    async def invoice(self, sats: int) -> str:
        """An invoice of the customer's wallet."""
        return await invoice_of(self.lnbits, self.session, self.customer, {"amount": sats})

    async def balance_sats(self) -> int:
        """What the customer's wallet holds."""
        headers = {"X-Api-Key": self.customer.invoice_key}
        async with self.session.get(f"{self.lnbits.url}/api/v1/wallet", headers=headers) as answer:
            return int((await answer.json())["balance"]) // 1000

    async def job_that_owes(self) -> tuple[str, str, Any]:
        """A job that was cancelled and paid after that: its path, its token, and what is due."""
        ordered = await self.ask("POST", "/jobs", {"request": "Sort: b, a"})
        path, token = f"/jobs/{ordered['jobId']}", ordered["jobToken"]
        await self.ask("POST", f"{path}/cancel", token=token)
        await self.lnbits.pay(ordered["evalInvoice"]["paymentRequest"])
        [due] = (await self.until(lambda job: bool(job["refunds"]), path, token))["refunds"]
        return path, token, due

    async def until(self, holds: Any, path: str, token: str) -> Any:
        """What stands at a path, as soon as this holds of it."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds(seen := await self.ask("GET", path, token=token)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return seen

    async def paid(self, refund: Any, token: str) -> Any:
        path = f"/refunds/{refund['refundId']}"
        return await self.until(lambda seen: seen["state"] == "paid", path, token)

    async def claim(self, link: str, invoice: str = "") -> Any:
        """What the independent client says of this link."""
        python = ROOT / f".lnbits-{self.lnbits.version}" / "bin" / "python"
        client = await asyncio.create_subprocess_exec(
            python, "-c", CLAIM, link, invoice, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(client.communicate(), 60)
        return json.loads(said)


async def invoice_of(
    lnbits: RealLnbits, session: aiohttp.ClientSession, wallet: RealWallet, order: dict[str, Any]
) -> str:
    async with session.post(
        f"{lnbits.url}/api/v1/payments",
        json={"out": False, "memo": "back", **order},
        headers={"X-Api-Key": wallet.invoice_key},
    ) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["bolt11"])


@pytest.fixture
async def market(lnbits: RealLnbits, tmp_path: Path) -> AsyncIterator[Market]:
    keys, customer = lnbits.new_wallet(), lnbits.new_wallet("customer")
    async with (
        aiohttp.ClientSession() as session,
        SimulatedReceiver(now_ms=SystemClock().now_ms, network="mainnet") as receiver,
    ):

        async def make(request: web.Request) -> web.Response:
            sats = int(request.query["amount"]) // 1000
            order = {"amount": sats, "unhashed_description": METADATA.encode().hex()}
            return web.json_response({"pr": await invoice_of(lnbits, session, customer, order)})

        receiver.instead_of_invoice = make
        await lnbits.pay(await invoice_of(lnbits, session, keys, {"amount": FLOAT_SATS}))
        async with shop_at(lnbits, keys, tmp_path, receiver.host) as (core, url):
            yield Market(lnbits, core, url, session, customer, receiver)
            assert await core.store.read(audit) == []


@asynccontextmanager
async def shop_at(
    lnbits: RealLnbits, keys: RealWallet, folder: Path, receiver: str
) -> AsyncIterator[tuple[Core, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        here = f"127.0.0.1:{probe.getsockname()[1]}"
    environ = {
        "SERVER__DATA_DIR": str(folder),
        "SERVER__LISTEN": here,
        "SERVER__PUBLIC_URL": f"http://{here}",
        "OPERATOR__LISTEN": "127.0.0.1:0",
        "WALLET__KIND": "lnbits",
        "WALLET__NETWORK": "mainnet",  # which is what the invoices of FakeWallet say
        "WALLET__LNBITS__URL": lnbits.url,
        "WALLET__LNBITS__INVOICE_KEY": keys.invoice_key,
        "WALLET__LNBITS__ADMIN_KEY": keys.admin_key,
        "WALLET__LNBITS__WEBHOOK": "false",
        "REFUNDS__LNURL_INSECURE_HOSTS": json.dumps([here, receiver]),
    }
    config = load(None, {f"BOLTWORK_{name}": text for name, text in environ.items()})
    async with open_core(config) as core, serve_api(core, config):
        yield core, f"http://{here}"


async def test_a_refund_arrives_at_an_invoice_of_a_second_wallet(market):
    path, token, _ = await market.job_that_owes()

    sent = await market.ask("POST", f"{path}/refund", {"to": await market.invoice(16)}, token)

    paid = await market.paid(sent, token)
    assert (paid["amountMsat"], paid["feeMsat"]) == (16_000, 0)
    assert await market.balance_sats() == 16


async def test_a_refund_arrives_at_a_lightning_address(market):
    path, token, _ = await market.job_that_owes()

    sent = await market.ask("POST", f"{path}/refund", {"to": market.receiver.address}, token)

    assert (await market.paid(sent, token))["destination"] == market.receiver.address
    assert await market.balance_sats() == 16


async def test_what_is_due_arrives_at_the_address_that_the_order_named(market):
    order = {"request": "Sort: b, a", "refundTo": market.receiver.address}
    ordered = await market.ask("POST", "/jobs", order)
    path, token = f"/jobs/{ordered['jobId']}", ordered["jobToken"]
    await market.ask("POST", f"{path}/cancel", token=token)
    await market.lnbits.pay(ordered["evalInvoice"]["paymentRequest"])

    def has_arrived(job):
        return any(refund["state"] == "paid" for refund in job["refunds"])

    await market.until(has_arrived, path, token)
    assert await market.balance_sats() == 16


async def test_everything_is_withdrawn_in_one_try(market):
    opened = await market.ask("POST", "/sessions", {"amountSats": 5_000})
    token = opened["macaroon"]
    await market.lnbits.pay(opened["depositInvoice"]["paymentRequest"])
    await market.until(lambda seen: seen["state"] == "active", "/sessions/me", token)

    to = {"to": market.receiver.address}
    sent = await market.ask("POST", "/sessions/me/withdraw", to, token)

    assert (sent["status"], sent["amountMsat"]) == (202, 4_950_000)  # 49.5 sats are set aside
    await market.paid(sent, token)
    left = await market.ask("GET", "/sessions/me", token=token)
    assert (left["balanceMsat"], await market.balance_sats()) == (50_000, 4_950)


async def test_a_link_is_claimed_once_by_an_independent_client(market):
    _, token, due = await market.job_that_owes()
    link = due["claimLnurl"]

    offer = await market.claim(link)
    first = await market.claim(link, await market.invoice(16))
    second = await market.claim(link, await market.invoice(16))

    assert (offer["tag"], offer["minWithdrawable"], offer["maxWithdrawable"]) == (
        "withdrawRequest",
        16_000,
        16_000,
    )
    assert (first["status"], second["status"]) == ("OK", "ERROR")
    await market.paid(due, token)
    assert await market.balance_sats() == 16


async def test_while_a_payout_runs_nothing_is_claimed(market):
    path, token, due = await market.job_that_owes()
    elsewhere, _ = abroad(16)  # FakeWallet cannot pay it, which is no proof that nobody did

    await market.ask("POST", f"{path}/refund", {"to": elsewhere}, token)
    claimed = await market.claim(due["claimLnurl"], await market.invoice(16))

    [refund] = (await market.ask("GET", path, token=token))["refunds"]
    assert claimed["status"] == "ERROR"
    assert "used before" in claimed["reason"]
    assert refund["state"] in {"sending", "unknown"}
    assert await market.balance_sats() == 0
