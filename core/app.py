"""The wiring: from a configuration to a core that runs, read from top to bottom.

Nothing below this file sees the configuration.
"""

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import assert_never

from core.agents.port import Agent, Relay
from core.app_desk import Ground, job_terms, model_of, open_desk, pricing_of, refund_terms
from core.books import job_rows, payouts, people, posts, processes, refund_orders, settings
from core.config import Config
from core.config_model import ServerSettings
from core.data_folder import (
    FolderFault,
    forget_secret,
    known_secret,
    make_secret,
    own_folder,
)
from core.desk.front_desk import Desk
from core.desk.operator_desk import OperatorDesk
from core.gate import Gate, Health
from core.loops.autopay import TAKEN_MS, AutopayLoop
from core.loops.keep import Keeper
from core.loops.live import Live
from core.loops.payer import PayerLoop
from core.loops.reconcile import Reconciler
from core.loops.settle import Settler
from core.loops.steps import Steps
from core.loops.supervisor import Loop, Supervisor
from core.loops.watchdog import Watchdog
from core.loops.worker import Worker
from core.store import migrate
from core.store.bulletin import Bulletin
from core.store.port import Store, Tx
from core.values.clock import Clock, SystemClock
from core.values.keys import derive
from core.wallets.lnurl import Resolver
from core.wallets.port import Payer, Wallet

LAST_CHARGES_S = 2.0  # for what hung-up streams still have to pay
COMPARED_S = 3.0  # how long the doors wait for the first comparison with the wallet
DOWN_MS = 5_000  # nobody was seen for longer than this: the service was down
_REFUSAL = (
    "The server secret is not the one that this database was made with: bring back the secret.key"
    " of that data folder, or set server.secret to its content."
)


@dataclass(frozen=True, slots=True, repr=False)
class TelegramSecrets:
    """What Telegram's webhook has to know: a part of its path, and a header."""

    path: str
    header: str


@dataclass(frozen=True, slots=True)
class Core:
    """A running core, for the doors and for the one who stops it."""

    desk: Desk
    store: Store
    wallet: Wallet
    gate: Gate
    worker: Worker
    watchdog: Watchdog
    reconciler: Reconciler
    operator: OperatorDesk
    webhook_secret: str
    button_key: bytes = field(repr=False)  # signs what a chat's buttons carry
    telegram_secrets: TelegramSecrets

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, and let running work end within the grace."""
        self.gate.close()
        await asyncio.gather(self.worker.drain(grace_s), self.desk.relay.running.drain(grace_s))


@asynccontextmanager
async def open_core(
    config: Config,
    *,
    clock: Clock | None = None,
    wallet: Wallet | None = None,
    payer: Payer | None = None,
    agent: Agent | None = None,
) -> AsyncIterator[Core]:
    """Open the core and run its loops while the block runs.

    Raises FolderFault, `core.store.migrate.SchemaRefused`, DatabaseUnavailable, WalletUnavailable.
    """
    clock = clock or SystemClock()
    process_id = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        if config.database.is_sqlite:
            stack.enter_context(own_folder(config.server.data_dir))
        bulletin = Bulletin()
        store = await open_store(config, bulletin, clock)
        stack.push_async_callback(store.aclose)
        secret = await _secret_of(config.server, store)
        await _arrive(store, process_id, clock, owns_books=config.database.is_sqlite)

        wallet = wallet or open_wallet(config, secret, clock)
        stack.push_async_callback(wallet.aclose)
        payer = payer or open_payer(config, wallet, clock)
        if payer is not None:
            stack.push_async_callback(payer.aclose)
        agent = agent or open_agent(config, clock)
        stack.push_async_callback(agent.aclose)
        relay = open_relay(config, clock)
        stack.push_async_callback(relay.aclose)

        resolver = Resolver(
            network=config.wallet.network,
            insecure_hosts=config.refunds.lnurl_insecure_hosts,
            clock=clock,
        )
        stack.callback(resolver.close)

        ground = Ground(
            secret=secret,
            process_id=process_id,
            store=store,
            bulletin=bulletin,
            wallet=wallet,
            agent=agent,
            relay=relay,
            resolver=resolver,
            can_pay=payer is not None,
            clock=clock,
        )
        terms, pricing = job_terms(config), pricing_of(config)
        models = {model.id: model for model in map(model_of, config.models)}
        gate, live = Gate(), Live()
        gate.intake.stop("start", "the books have not been compared with the wallet yet")
        settler = Settler(store, wallet, clock, terms)
        steps = Steps(store, wallet, agent, clock, live, terms, pricing, models, gate.intake)
        worker = Worker(steps, bulletin, process_id)
        keeper = Keeper(store, settler, clock, terms, process_id)
        watchdog = Watchdog(store, wallet, gate.intake, clock)
        reconciler = Reconciler(store, wallet, payer, gate.intake, clock, terms)
        supervisor = Supervisor(clock)
        health = Health(store, wallet, agent, clock, gate, supervisor)
        desk = open_desk(config, ground, settler, health, live)
        stack.push_async_callback(desk.relay.running.drain, LAST_CHARGES_S)

        stack.push_async_callback(supervisor.aclose)
        stack.push_async_callback(worker.drain, 0)
        await watchdog.heed_operator()
        loops: dict[str, Loop] = {
            "settler": settler.run,
            "worker": worker.run,
            "pulse": keeper.pulse,
            "sweep": keeper.sweep,
            "tidy": keeper.tidy,
            "health": health.run,
            "reconciler": reconciler.run,
            "watchdog": watchdog.watch,
            "audit": watchdog.audit,
        }
        if payer is not None:
            loops |= _payout_loops(config, ground, payer, compared=reconciler.was_compared)
        for name, loop in loops.items():
            supervisor.start(name, loop)
        with suppress(TimeoutError):  # with a wallet that is slow, money is taken a little later
            async with asyncio.timeout(COMPARED_S):
                await reconciler.was_compared.wait()
        yield Core(
            desk=desk,
            store=store,
            wallet=wallet,
            gate=gate,
            worker=worker,
            watchdog=watchdog,
            reconciler=reconciler,
            operator=OperatorDesk(
                store=store,
                wallet=wallet,
                payer=payer,
                clock=clock,
                fee_rule=refund_terms(config).fee_rule,
            ),
            webhook_secret=webhook_secret(secret),
            button_key=derive(secret, "chat buttons"),
            telegram_secrets=TelegramSecrets(
                path=derive(secret, "telegram path").hex()[:32],
                header=derive(secret, "telegram header").hex(),
            ),
        )


def _payout_loops(
    config: Config, ground: Ground, payer: Payer, *, compared: asyncio.Event
) -> dict[str, Loop]:
    """The loops that send money, which begin when the books were compared with the wallet."""
    terms, hosts = refund_terms(config), config.refunds.lnurl_insecure_hosts
    pays = PayerLoop(ground.store, ground.bulletin, payer, ground.clock, terms, ground.process_id)
    autopay = AutopayLoop(
        ground.store, ground.bulletin, ground.resolver, ground.clock, terms, hosts
    )
    return {"payer": _after(compared, pays.run), "autopay": _after(compared, autopay.run)}


def _after(event: asyncio.Event, loop: Loop) -> Loop:
    """The loop that begins only when this has happened."""

    async def run() -> None:
        await event.wait()
        await loop()

    return run


async def open_store(config: Config, bulletin: Bulletin, clock: Clock) -> Store:
    """The database that is configured, its schema up to date; the driver is imported only here."""
    migrations, now_ms = migrate.load(), clock.now_ms()
    if config.database.is_sqlite:
        from core.store.sqlite import SqliteStore  # noqa: PLC0415

        path = config.server.data_dir / "boltwork.db"
        return await SqliteStore.open(path, migrations, bulletin, now_ms)
    from core.store.postgres import PostgresStore  # noqa: PLC0415

    dsn = config.database.url.get_secret_value()
    return await PostgresStore.open(dsn, migrations, bulletin, now_ms)


def open_wallet(config: Config, secret: bytes, clock: Clock) -> Wallet:
    """The wallet that is configured."""
    match config.wallet.kind:
        case "stub":
            from core.wallets.stub import StubWallet  # noqa: PLC0415

            return StubWallet.open(config.server.data_dir, clock=clock)
        case "lnbits":
            from core.wallets.lnbits import LnbitsWallet  # noqa: PLC0415

            lnbits = config.wallet.lnbits
            return LnbitsWallet(
                url=lnbits.url,
                invoice_key=lnbits.invoice_key.get_secret_value(),
                network=config.wallet.network,
                clock=clock,
                webhook_url=_webhook_url(config, secret),
            )
        case _:
            assert_never(config.wallet.kind)


def open_payer(config: Config, wallet: Wallet, clock: Clock) -> Payer | None:
    """Who can spend the wallet; None where only the invoice key is configured."""
    match config.wallet.kind:
        case "stub":
            from core.wallets.stub import StubWallet  # noqa: PLC0415
            from core.wallets.stub_payer import StubPayer  # noqa: PLC0415

            if isinstance(wallet, StubWallet):
                return StubPayer(wallet.journal, clock=clock)
        case "lnbits":
            from core.wallets.lnbits import LnbitsWallet  # noqa: PLC0415
            from core.wallets.lnbits_payer import LnbitsPayer  # noqa: PLC0415

            lnbits = config.wallet.lnbits
            admin_key = lnbits.admin_key.get_secret_value()
            if isinstance(wallet, LnbitsWallet) and admin_key:
                return LnbitsPayer(url=lnbits.url, admin_key=admin_key, turns=wallet.turns)
        case _:
            assert_never(config.wallet.kind)
    return None


def open_agent(config: Config, clock: Clock) -> Agent:
    """The agent that is configured; the SDK is imported only where it is used."""
    match config.agent.kind:
        case "offline":
            from core.agents.offline import OfflineAgent  # noqa: PLC0415

            return OfflineAgent(clock)
        case "openai":
            from core.agents.openai_sdk import OpenAIAgent  # noqa: PLC0415

            upstream = config.agent.openai
            return OpenAIAgent(
                base_url=upstream.base_url,
                api_key=upstream.api_key.get_secret_value(),
                timeout_s=upstream.timeout_s,
            )
        case _:
            assert_never(config.agent.kind)


def open_relay(config: Config, clock: Clock) -> Relay:
    """The relay that is configured."""
    match config.agent.kind:
        case "offline":
            from core.agents.offline import OfflineAgent  # noqa: PLC0415
            from core.agents.offline_relay import OfflineRelay  # noqa: PLC0415

            return OfflineRelay(OfflineAgent(clock), clock)
        case "openai":
            from core.agents.relay import HttpRelay  # noqa: PLC0415

            upstream = config.agent.openai
            return HttpRelay(
                base_url=upstream.base_url,
                api_key=upstream.api_key.get_secret_value(),
                timeout_s=upstream.timeout_s,
            )
        case _:
            assert_never(config.agent.kind)


def webhook_secret(secret: bytes) -> str:
    """The path segment that LNbits' webhook has to know."""
    return derive(secret, "lnbits webhook").hex()[:32]


def _webhook_url(config: Config, secret: bytes) -> str | None:
    if not (config.wallet.lnbits.webhook and config.server.public_url):
        return None
    return f"{config.server.public_url.rstrip('/')}/hooks/lnbits/{webhook_secret(secret)}"


async def _secret_of(server: ServerSettings, store: Store) -> bytes:
    """The server secret; refuse another one over an existing database.

    No token and no kept answer would open. A secret is made only for a new database, so that a lost
    one leaves no wrong file behind.
    """
    known = known_secret(server.data_dir, server.secret.get_secret_value())
    if known is None and await store.read(settings.get, "secret_check") is not None:
        raise FolderFault(_REFUSAL)
    secret = known or make_secret(server.data_dir)
    check = hmac.digest(derive(secret, "check value"), b"boltwork", "sha256").hex()
    if not await store.write(settings.remember_or_compare, "secret_check", check):
        if known is None:  # two made one for the same new database, and the other was faster
            forget_secret(server.data_dir)
        raise FolderFault(_REFUSAL)
    return secret


async def _arrive(store: Store, process_id: str, clock: Clock, *, owns_books: bool) -> None:
    """Join the processes on this database, and do not count the time when there were none."""
    is_alone = await store.is_alone()
    await store.write(_join, process_id, clock.now_ms(), is_alone=is_alone, owns_books=owns_books)


async def _join(tx: Tx, process_id: str, now_ms: int, *, is_alone: bool, owns_books: bool) -> None:
    """Take over from the dead.

    Who sees nobody else connected frees what is only kept from being done twice. Money that may be
    on its way is freed only by who owns the books for certain; else when its process stays silent.
    """
    seen_ms = await processes.arrive(tx, process_id, now_ms)
    if seen_ms is not None and abs(now_ms - seen_ms) > DOWN_MS:
        await job_rows.shift_times(tx, now_ms - seen_ms)
    if is_alone:
        await job_rows.free_leases(tx, process_id, now_ms)
        await people.free_all(tx, process_id)
        await posts.leave_others(tx, process_id)
    if owns_books:
        await processes.bury_others(tx, process_id)
        await payouts.give_up_takes(tx, now_ms)
        await refund_orders.give_up_takes(tx, now_ms=now_ms, taken_ms=TAKEN_MS)
