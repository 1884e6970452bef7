"""What every request passes on its way in, and every answer on its way out.

In: a name for the logs, whose request it is, CORS, 405, then the client's turn (429). Out: a
refusal or a mistake becomes one problem, and the headers that all answers share are set.
"""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.client import Network, client_of
from api.payment import payment_problem
from api.problems import INTERNAL, Refusal, problem_of, problem_of_http, respond
from api.rate import Allowance, Turnstile
from core.desk.till import PaymentRequired
from core.values.errors import BoltworkError, ModelFailed, RateLimited, Unavailable
from core.values.pay_links import PayUrl, no_pay_url

REQUEST_ID: Final = web.RequestKey("request_id", str)
CLIENT: Final = web.RequestKey("client", str)
_ALLOWANCE: Final = web.RequestKey("allowance", Allowance)

# Whoever watches this server must see it even while its address uses up its turns. Telegram brings
# the messages of all people from a few addresses of its own.
UNCOUNTED: Final = frozenset({"/healthz", "/readyz", "/hooks/telegram/{secret}"})

_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Api-Key, X-Request-Id"
)
_EXPOSED_HEADERS = (
    "Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, "
    "X-Balance-Msat, X-Cost-Msat, X-Request-Id"
)

log = structlog.get_logger()


class ClientGone(Exception):
    """The other end hung up, or was too slow to be waited for; nobody reads an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The middlewares of one application, outermost first: `name`, `explain`, `admit`."""

    trusted_proxies: Sequence[Network] = ()
    cors_origins: Sequence[str] = ()
    turnstile: Turnstile | None = None
    pay_url: PayUrl = no_pay_url

    def install(self, app: web.Application) -> None:
        """Put this edge around every route of `app`."""
        app.middlewares.extend([self.name, self.explain, self.admit])
        app.on_response_prepare.append(self.dress)

    @web.middleware
    async def name(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give the request its id, for the answer and for every log line."""
        request[REQUEST_ID] = request_id_for(request.headers.get("X-Request-Id", ""))
        request[CLIENT] = client_of(
            request.remote, request.headers.getall("X-Forwarded-For", []), self.trusted_proxies
        )
        # Never taken off again: aiohttp gives each request a task, and so a context, of its own.
        structlog.contextvars.bind_contextvars(request_id=request[REQUEST_ID])
        return await handler(request)

    @web.middleware
    async def explain(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn whatever is raised into one problem and at most one log line."""
        try:
            return await handler(request)
        except ClientGone:
            return _hang_up(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            problem = problem_of_http(error)
        except Refusal as refusal:
            problem = refusal.problem
        except PaymentRequired as demand:
            problem = payment_problem(demand, pay_url=self.pay_url)
        except BoltworkError as error:
            if isinstance(error, Unavailable | ModelFailed):
                log.warning("cannot serve now", code=error.code, reason=error.reason)
            problem = problem_of(error)
        except Exception:  # the last resort: a stranger sees a request id and nothing else
            log.exception("request failed", route=route_of(request))
            problem = INTERNAL
        if request.writer.output_size > 0:  # a stream broke: no second head may follow the first
            return _hang_up(request)
        return respond(problem, request[REQUEST_ID])

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer preflights, refuse wrong methods, and let each client have its turns."""
        unrouted = request.match_info.http_exception
        if isinstance(unrouted, web.HTTPMethodNotAllowed):
            if self._is_preflight(request):
                return _preflight(unrouted.allowed_methods)
            raise unrouted
        if self.turnstile is not None and route_of(request) not in UNCOUNTED:
            allowance = self.turnstile.enter(request[CLIENT], time.monotonic())
            request[_ALLOWANCE] = allowance
            if allowance.retry_after_s is not None:
                raise RateLimited(
                    f"At most {allowance.quota} requests in {allowance.window_s} seconds.",
                    retry_after_s=allowance.retry_after_s,
                )
        return await handler(request)

    async def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set the headers that every answer carries."""
        headers = response.headers
        headers.popall(hdrs.SERVER, None)  # versions are nobody's business
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"  # a job's address lets its holder read the job
        if REQUEST_ID in request:
            headers["X-Request-Id"] = request[REQUEST_ID]
        if _ALLOWANCE in request:
            headers.update(request[_ALLOWANCE].headers())
        if self.cors_origins:
            headers.add("Vary", "Origin")
            origin = self._allowed_origin(request)
            if origin is not None:
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS

    def _is_preflight(self, request: web.Request) -> bool:
        return (
            request.method == hdrs.METH_OPTIONS
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            and self._allowed_origin(request) is not None
        )

    def _allowed_origin(self, request: web.Request) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return None
        if "*" in self.cors_origins:
            return "*"
        return origin if origin in self.cors_origins else None


def request_id_for(given: str) -> str:
    """The caller's own id where it is harmless in a log line, else a fresh one."""
    return given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(12)


def route_of(request: web.Request) -> str:
    """The route's path with its placeholders; job ids in real paths are capabilities."""
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


def _preflight(methods: set[str]) -> web.Response:
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        },
    )


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # nginx's word for it; only the metrics see this
