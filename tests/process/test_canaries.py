"""No secret and no word of a customer stands in the log, in the numbers or in refusals."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from core.app import webhook_secret
from core.values.keys import parse_secret
from tests.conftest import Database
from tests.process.customer import Customer
from tests.process.server import Program, Reply
from tests.process.world import new_request, of_lnbits, of_model
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault as LnbitsFault
from tests.simulator.model import Answer, Fault, SimulatedModel, verdict

NOBODY = "127.0.0.1:1"


def canary() -> str:
    """A word that nothing else contains."""
    return f"canary{secrets.token_hex(10)}"


@dataclass(frozen=True)
class Cage:
    """Every secret of the settings and of the customers, each with its name."""

    server_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    invoice_key: str = field(default_factory=canary)
    admin_key: str = field(default_factory=canary)
    model_key: str = field(default_factory=canary)
    operator_token: str = field(default_factory=canary)
    telegram_token: str = field(default_factory=lambda: f"123456789:{canary()}{canary()}")
    nostr_key: str = field(default_factory=lambda: secrets.token_hex(32))
    database_password: str = field(default_factory=canary)
    request: str = field(default_factory=lambda: f"{new_request()} {canary()}")
    metadata: str = field(default_factory=canary)
    reason: str = field(default_factory=canary)
    result: str = field(default_factory=canary)
    bearer: str = field(default_factory=canary)
    idempotency_key: str = field(default_factory=canary)

    @property
    def webhook_secret(self) -> str:
        return webhook_secret(parse_secret(self.server_secret))

    def settings(self, model: SimulatedModel, lnbits: SimulatedLnbits) -> dict[str, str]:
        return {
            **of_model(model.url),
            **of_lnbits(lnbits.url, self.invoice_key),
            "BOLTWORK_AGENT__OPENAI__API_KEY": self.model_key,
            "BOLTWORK_WALLET__LNBITS__ADMIN_KEY": self.admin_key,
            "BOLTWORK_SERVER__SECRET": self.server_secret,
            "BOLTWORK_OPERATOR__TOKEN": self.operator_token,
            "BOLTWORK_TELEGRAM__TOKEN": self.telegram_token,
            "BOLTWORK_TELEGRAM__API_BASE": f"http://{NOBODY}",
            "BOLTWORK_NOSTR__SECRET_KEY": self.nostr_key,
            "BOLTWORK_NOSTR__RELAYS": f'["ws://{NOBODY}"]',
        }

    def database_url(self, url: str) -> str:
        place = urlsplit(url)
        netloc = f"postgres:{self.database_password}@{place.hostname}:{place.port}"
        return place._replace(netloc=netloc).geturl()


@dataclass(frozen=True)
class Aviary:
    """The program with canaries everywhere, and all refusals that it has uttered."""

    cage: Cage
    program: Program
    model: SimulatedModel
    lnbits: SimulatedLnbits
    refusals: list[Reply] = field(default_factory=list)

    async def refused(self, call: Awaitable[Reply]) -> None:
        reply = await call
        assert reply.status >= 400, reply.body
        self.refusals.append(reply)

    def customer(self) -> Customer:
        return Customer(self.program, self._pay, request=self.cage.request)

    async def _pay(self, payment_hash: str) -> None:
        await self.lnbits.pay(payment_hash)


@pytest.fixture
async def aviary(postgres_database: Database) -> AsyncIterator[Aviary]:
    cage = Cage()
    async with SimulatedModel() as model, SimulatedLnbits() as lnbits:
        lnbits.books.shop.invoice_key = cage.invoice_key
        lnbits.books.shop.admin_key = cage.admin_key
        model.settings.api_key = cage.model_key
        url = cage.database_url(postgres_database.url)
        settings = cage.settings(model, lnbits)
        folder, away = postgres_database.data_dir, ("telegram", "nostr")
        async with Program(folder, url, unready=away, **settings) as program:
            yield Aviary(cage, program, model, lnbits)


async def sell(aviary: Aviary) -> dict[str, str]:
    """A whole job; what only its customer may know."""
    aviary.model.judge(verdict(reason=aviary.cage.reason))
    aviary.model.script(Fault.cut(text=aviary.cage.result), Answer(text=aviary.cage.result))
    customer = aviary.customer()
    job = await customer.see_it_through()
    assert job["result"] == aviary.cage.result
    preimages = {
        f"preimage {payment.payment_hash}": payment.preimage
        for payment in aviary.lnbits.books.payments
        if payment.preimage is not None
    }
    assert customer.opened is not None
    return {"job token": customer.opened.json()["jobToken"], **preimages}


async def make_the_model_echo(aviary: Aviary) -> None:
    """Faults whose messages hold the key and the prompt, as real upstreams' do."""
    cage = aviary.cage
    echo = f"Incorrect API key provided: {cage.model_key}, you asked {cage.request}"
    aviary.model.judge(Fault.status(500, message=echo), verdict(decision=cage.reason))
    aviary.model.judge(Fault.raw(echo, "application/json"), Fault.html())
    for customer in [aviary.customer(), aviary.customer()]:
        await customer.order()
        await customer.pay_for("awaiting_eval_payment")
        await customer.reach("failed", "awaiting_work_payment")
    aviary.model.script(Fault.status(400, message=echo), Fault.error_event())
    for _ in range(2):
        await aviary.refused(aviary.program.get(f"/demo?request={cage.result}"))


async def make_the_wallet_fail(aviary: Aviary) -> None:
    """LNbits in its bad hours."""
    for kind in ("500", "html", "truncated", "reset", "404", "swapped_amount"):
        aviary.lnbits.fail("create", LnbitsFault(kind))
        await aviary.refused(aviary.program.post("/jobs", {"request": aviary.cage.request}))
    await aviary.lnbits.cut_sockets()
    aviary.lnbits.fail("list", LnbitsFault("500"), times=2)
    await aviary.lnbits.wait_for_calls("list", len(aviary.lnbits.calls_of("list")) + 2)


async def make_mistakes(aviary: Aviary) -> None:
    """Everything wrong that a customer may send, with canaries in it."""
    cage, post, get = aviary.cage, aviary.program.post, aviary.program.get
    order = {"request": cage.request, "metadata": {"note": cage.metadata}}
    wrong: list[Callable[[], Awaitable[Reply]]] = [
        lambda: post("/jobs", order | {"maxPriceSats": cage.metadata}),
        lambda: post("/jobs", order | {"maxPriceSats": 1}),
        lambda: post("/jobs", {"request": [cage.request]}),
        lambda: post("/jobs", {"request": cage.request * 400}),
        lambda: post("/jobs", cage.request),
        lambda: post("/jobs", order, Idempotency_Key=f"{cage.idempotency_key} with spaces"),
        lambda: post("/jobs", order, Content_Type=f"text/{cage.metadata}"),
        lambda: get(f"/jobs/{cage.bearer}"),
        lambda: get(f"/{cage.bearer}"),
        lambda: get("/jobs/job_00000000000000000000000000", Authorization=cage.bearer),
        lambda: post(
            "/jobs/job_00000000000000000000000000/cancel", Authorization=f"Bearer {cage.bearer}"
        ),
        lambda: post(
            "/jobs/job_00000000000000000000000000/cancel", Authorization=f"L402 {cage.bearer}:00"
        ),
        lambda: post("/jobs/job_00000000000000000000000000/cancel", X_Api_Key=cage.bearer),
        lambda: post(f"/hooks/lnbits/{cage.bearer}", {}),
        lambda: post(f"/hooks/lnbits/{cage.webhook_secret}", {"payment_hash": cage.bearer}),
    ]
    for mistake in wrong:
        await aviary.refused(mistake())
    await post("/jobs", order, Idempotency_Key=cage.idempotency_key)
    await aviary.refused(post("/jobs", {"request": "x"}, Idempotency_Key=cage.idempotency_key))


async def shown(aviary: Aviary) -> Mapping[str, bytes]:
    """Everything that others than the customer may see."""
    program = aviary.program
    pages = {
        path: (await program.get(path)).body
        for path in ("/", "/info", "/docs", "/openapi.json", "/readyz", "/healthz")
    }
    numbers = await program.ask("GET", "/metrics", url=program.operator_url)
    assert numbers.status == 200
    refusals = {
        f"refusal {number}": repr(dict(reply.headers)).encode() + reply.body
        for number, reply in enumerate(aviary.refusals)
    }
    hello = b"".join(file.read_bytes() for file in program.folder.glob("hello-*"))
    return {
        **pages,
        **refusals,
        "metrics": numbers.body,
        "log": program.log().encode(),
        "standard output": hello,
    }


async def test_no_secret_and_no_prompt_leaves_the_program(aviary: Aviary) -> None:
    secret = await sell(aviary)
    await make_the_model_echo(aviary)
    await make_the_wallet_fail(aviary)
    await make_mistakes(aviary)
    await aviary.program.restart()
    numbers = await shown(aviary)
    assert await aviary.program.stop() == 0

    everything = {**numbers, "log": aviary.program.log().encode()}
    names = [name for name in dir(aviary.cage) if not name.startswith("_")]
    words = {name: getattr(aviary.cage, name) for name in names}
    secret |= {name: word for name, word in words.items() if isinstance(word, str)}

    leaks = [
        (name, place)
        for name, word in secret.items()
        for place, text in everything.items()
        if word.encode() in text
    ]
    assert leaks == []
    assert len(aviary.refusals) > 20
    assert everything["log"].count(b"\n") > 20, "the log says something"
