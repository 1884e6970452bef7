"""Numbers for Prometheus, shown on the operator's listener only.

Labels come from fixed sets: routes with their placeholders, methods, statuses, states. What a
stranger chooses is never a label.
"""

import time
from collections.abc import Sequence
from functools import cache
from typing import Final, get_args

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from api.edge import route_of
from core.app import Core
from core.books import job_rows, outbox
from core.books.outbox import Backlog
from core.loops.intake import Reason
from core.values.errors import DatabaseUnavailable
from core.values.states import STATES

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
_ABORTED: Final = "aborted"


class Metrics:
    """Counts requests as they pass, and asks the core for the rest when it is read."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._desk = core.desk
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "boltwork_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "boltwork_http_request_seconds",
            "Time until a request was answered, long polls and streams included.",
            ["route"],
            registry=self._registry,
        )
        # Labels are few and looked up with each request; the library's own look-up takes a lock.
        self._requests_of = cache(self._requests.labels)
        self._seconds_of = cache(self._seconds.labels)
        self._ready = Gauge(
            "boltwork_ready", "1 while everything that is needed is there.", registry=self._registry
        )
        self._jobs = Gauge(
            "boltwork_jobs", "Jobs in the books by state.", ["state"], registry=self._registry
        )

        self._closed = Gauge(
            "boltwork_intake_closed",
            "1 while no money is taken for this reason.",
            ["reason"],
            registry=self._registry,
        )
        self._owed = Gauge(
            "boltwork_owed_msat", "What customers are owed in all.", registry=self._registry
        )
        self._wallet = Gauge(
            "boltwork_wallet_msat",
            "What the wallet was last seen to hold.",
            registry=self._registry,
        )
        self._waiting = Gauge(
            "boltwork_outbox_messages",
            "Messages that wait to be sent.",
            ["channel"],
            registry=self._registry,
        )
        self._oldest = Gauge(
            "boltwork_outbox_oldest_seconds",
            "How long the oldest message has waited.",
            ["channel"],
            registry=self._registry,
        )
        self._faults = Gauge(
            "boltwork_faults",
            "Faults that the last audit, or the last comparison with the wallet, has found.",
            ["found_in"],
            registry=self._registry,
        )

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count a request and how long it took."""
        began = time.perf_counter()
        status = _ABORTED
        try:
            response = await handler(request)
            status = str(response.status)
            return response
        finally:
            route = route_of(request)
            method = request.method if request.method in _METHODS else "other"
            self._requests_of(method, route, status).inc()
            self._seconds_of(route).observe(time.perf_counter() - began)

    async def show(self, _request: web.Request) -> web.Response:
        """The numbers in Prometheus' text format."""
        self._ready.set(not self._desk.health.not_ready())
        self._show_money()
        try:
            counts = await self._desk.store.read(job_rows.count_by_state)
            backlogs = await self._desk.store.read(outbox.backlogs)
        except DatabaseUnavailable:
            for gauge in (self._jobs, self._waiting, self._oldest):
                gauge.clear()  # no number is better than an old one
        else:
            self._show_outbox(backlogs)
            for state in STATES:
                self._jobs.labels(state).set(counts.get(state, 0))
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def _show_outbox(self, backlogs: Sequence[Backlog]) -> None:
        waiting = {backlog.channel: backlog for backlog in backlogs}
        now_ms = self._desk.clock.now_ms()
        self._waiting.clear()
        self._oldest.clear()
        for channel in {*self._desk.health.doors, *waiting}:
            backlog = waiting.get(channel, Backlog(channel, 0, now_ms))
            self._waiting.labels(channel).set(backlog.letters)
            self._oldest.labels(channel).set((now_ms - backlog.oldest_ms) / 1000)

    def _show_money(self) -> None:
        reasons = self._desk.gate.intake.reasons
        for reason in get_args(Reason):
            self._closed.labels(reason).set(reason in reasons)
        self._faults.labels("books").set(len(self._core.watchdog.faults))
        self._faults.labels("wallet").set(len(self._core.reconciler.alarms))
        seen = self._core.watchdog.seen
        if seen is not None:
            self._owed.set(seen.owed)
            self._wallet.set(seen.wallet)
