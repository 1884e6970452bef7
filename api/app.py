"""The HTTP doors of a core: which routes there are, and the two sockets they are served on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from aiohttp import web

from api.edge import Edge
from api.hooks import TelegramHook, TelegramHookRoutes
from api.info import Bots, info_of, no_bots
from api.jobs import JobRoutes
from api.links import LinkRoutes
from api.lnurl import LnurlRoutes
from api.metrics import Metrics
from api.openapi import describe
from api.operator import OperatorRoutes, only_with_token
from api.pages import PageRoutes, openapi_route, send_doc_file
from api.pay import PayRoutes
from api.payouts import PayoutRoutes
from api.pipeline import Pipeline
from api.rate import Turnstile
from api.route import AnyRoute
from api.server import CannotListen, listen
from api.service import DemoRoutes, HealthRoutes, HookRoutes, StubRoutes
from api.sessions import SessionRoutes
from api.v1 import V1Routes
from api.visits import Visit, VisitRoutes
from core.app import Core
from core.config_model import Config
from core.data_folder import operator_token
from core.version import VERSION
from core.wallets.stub import StubWallet

_DESCRIPTION = """Sells an AI agent's work for Bitcoin Lightning.

Order with `POST /jobs`, pay `evalInvoice`, follow the job, pay `workInvoice`, read the result.
Amounts are integers: `...Sats` whole satoshi, `...Msat` millisatoshi. Times are RFC 3339 in UTC.
What each error code means stands at `/docs/errors`."""


@dataclass(slots=True)
class Doors:
    """The open doors of one process.

    `grace_s` is what running answers get when the doors close; whoever has used up some of it
    before (draining the worker) lowers it.
    """

    port: int
    operator_port: int
    grace_s: float


@asynccontextmanager
async def serve_api(
    core: Core,
    config: Config,
    *,
    bots: Bots = no_bots,
    visit: Visit | None = None,
    telegram: TelegramHook | None = None,
) -> AsyncIterator[Doors]:
    """Serve customers and the operator while the block runs.

    `visit` talks to a terminal, `telegram` takes what Telegram brings.

    Raises CannotListen.
    """
    stopping = asyncio.Event()
    metrics = Metrics(core)
    routes = public_routes(core, config, bots=bots, telegram=telegram, stopping=stopping)
    public = await listen(public_app(core, config, routes, metrics), config.server.listen)
    try:
        operator = await listen(operator_app(core, config, metrics, visit), config.operator.listen)
    except CannotListen:
        await public.aclose(within_s=0)
        raise
    doors = Doors(public.port, operator.port, config.server.shutdown_grace_s)
    try:
        yield doors
    finally:
        stopping.set()  # long polls answer, streams end
        await public.aclose(within_s=doors.grace_s)
        await operator.aclose(within_s=0)


def public_routes(
    core: Core,
    config: Config,
    *,
    bots: Bots,
    telegram: TelegramHook | None,
    stopping: asyncio.Event,
) -> list[AnyRoute]:
    """Everything that this server answers to customers."""
    desk, public_url = core.desk, config.server.public_url
    info = info_of(config, [])
    jobs = JobRoutes(
        desk=desk.jobs,
        payouts=desk.payouts,
        clock=desk.clock,
        stopping=stopping,
        public_url=public_url,
        pay_url=desk.pay_url,
    )
    routes = [
        *jobs.table(),
        *SessionRoutes(desk).table(),
        *LinkRoutes(desk.links).table(),
        *PayoutRoutes(desk).table(),
        *LnurlRoutes(desk.payouts).table(),
        *V1Routes(
            desk=desk,
            body_bytes_max=config.limits.v1_body_bytes,
            opened_at_s=desk.clock.now_ms() // 1000,
        ).table(),
        *PageRoutes.of(info, bots=bots, url=public_url or f"http://{config.server.listen}").table(),
        *PayRoutes.of(desk.pay_pages, info, bots=bots, stopping=stopping).table(),
        *HealthRoutes(desk).table(),
    ]
    if config.demo.enabled:
        routes += DemoRoutes(desk).table()
    match core.wallet:
        case StubWallet() as stub:
            routes += StubRoutes(stub).table()
        case _:
            routes += HookRoutes(desk, core.webhook_secret).table()
    if telegram is not None:
        routes += TelegramHookRoutes(telegram).table()
    return [*routes, openapi_route(_document([*routes, openapi_route(b"")], public_url))]


def public_app(
    core: Core, config: Config, routes: Sequence[AnyRoute], metrics: Metrics
) -> web.Application:
    """The customers' application."""
    app = web.Application(middlewares=[metrics.count])
    quota = config.limits.requests_per_minute
    edge = Edge(
        trusted_proxies=config.server.trusted_proxies,
        cors_origins=config.server.cors_origins,
        turnstile=Turnstile(quota) if quota else None,
        pay_url=core.desk.pay_url,
    )
    edge.install(app)
    Pipeline(core.desk.identify, core.desk.answers).mount(app, routes)
    app.router.add_get("/docs/{file}", send_doc_file)
    return app


def operator_app(
    core: Core, config: Config, metrics: Metrics, visit: Visit | None = None
) -> web.Application:
    """The operator's application; beyond this machine all of it asks for the operator's token."""
    app = web.Application()
    Edge().install(app)
    token = operator_token(config.server.data_dir, config.operator.token.get_secret_value())
    if not config.operator.listen.is_loopback:
        app.middlewares.append(only_with_token(token))
    app.router.add_get("/metrics", metrics.show)
    OperatorRoutes(core, token).add_to(app.router)
    if visit is not None:
        VisitRoutes(visit, token).add_to(app.router)
    return app


def _document(routes: Sequence[AnyRoute], public_url: str) -> bytes:
    return orjson.dumps(
        describe(routes, version=VERSION, server_url=public_url or "/", description=_DESCRIPTION)
    )
