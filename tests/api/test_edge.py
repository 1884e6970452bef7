"""What every request meets before and after its route."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import aiohttp
import pytest
import structlog
from aiohttp import web

from api.edge import Edge
from api.rate import Turnstile
from api.server import Listener, listen
from core.config_values import Listen
from core.values.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    Paused,
    PriceAboveMaximum,
    QueueFull,
    RateLimited,
    Unauthorized,
    WalletUnavailable,
    WrongState,
)
from tests.api.conftest import Answer
from tests.api.wire import wire_to

ORIGIN = "https://shop.example"


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def serving(edge: Edge, *routes: web.RouteDef) -> AsyncIterator[Listener]:
    app = web.Application()
    edge.install(app)
    app.add_routes([web.get("/hello", hello), web.get("/healthz", hello), *routes])
    listener = await listen(app, Listen("127.0.0.1", 0))
    try:
        yield listener
    finally:
        await listener.aclose(within_s=0)


async def ask(port: int, method: str = "GET", path: str = "/hello", **headers: str) -> Answer:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())


def raising(error: Exception) -> web.RouteDef:
    async def handler(_request: web.Request) -> web.Response:
        raise error

    return web.get("/raise", handler)


@pytest.mark.parametrize("given", ["a", "Az09_-", "x" * 64])
async def test_a_harmless_request_id_is_taken(given):
    async with serving(Edge()) as server:
        answer = await ask(server.port, **{"X-Request-Id": given})

    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a:b", "{evil}"])
async def test_any_other_request_id_is_replaced(given):
    async with serving(Edge()) as server:
        answer = await ask(server.port, **{"X-Request-Id": given})

    assert re.fullmatch("[0-9a-f]{24}", answer.headers["X-Request-Id"])


async def test_a_problem_carries_the_request_id_and_speaks_both_languages():
    async with serving(Edge()) as server:
        answer = await ask(server.port, path="/nothing", **{"X-Request-Id": "mine"})

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json == {
        "type": "/docs/errors#not_found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing here by that name.",
        "code": "not_found",
        "requestId": "mine",
        "error": {
            "message": "There is nothing here by that name.",
            "type": "invalid_request_error",
            "code": "not_found",
            "param": None,
        },
    }


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (InvalidRequest("no"), 400, "invalid_request", None),
        (Unauthorized("no"), 401, "unauthorized", None),
        (Forbidden("no"), 403, "forbidden", None),
        (NotFound(), 404, "not_found", None),
        (WrongState("no"), 409, "wrong_state", None),
        (PriceAboveMaximum("no"), 422, "price_above_maximum", None),
        (RateLimited("no", retry_after_s=7), 429, "rate_limited", "7"),
        (WalletUnavailable("down"), 503, "wallet_unavailable", "5"),
        (QueueFull("full"), 503, "queue_full", "5"),
        (Paused("paused"), 503, "paused", "60"),
        (web.HTTPRequestEntityTooLarge(1), 413, "body_too_large", None),
        (web.HTTPExpectationFailed(), 400, "invalid_request", None),
        (web.HTTPBadGateway(), 500, "internal", None),
    ],
)
async def test_every_refusal_has_its_status(error, status, code, retry_after):
    async with serving(Edge(), raising(error)) as server:
        answer = await ask(server.port, path="/raise")

    assert (answer.status, answer.code) == (status, code)
    assert answer.headers.get("Retry-After") == retry_after


async def test_a_refused_credential_names_the_coat_to_wear():
    async with serving(Edge(), raising(Unauthorized("no"))) as server:
        answer = await ask(server.port, path="/raise")

    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_wrong_field_is_pointed_at_in_both_languages():
    error = InvalidRequest("too long", pointer="/metadata/a~1b")
    async with serving(Edge(), raising(error)) as server:
        answer = await ask(server.port, path="/raise")

    assert answer.json["errors"] == [{"pointer": "/metadata/a~1b", "detail": "too long"}]
    assert answer.json["error"]["param"] == "metadata/a~1b"


async def test_our_own_mistake_is_logged_with_the_request_id_and_told_to_nobody():
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with serving(Edge(), raising(ValueError("the secret is 42"))) as server:
            answer = await ask(server.port, path="/raise", **{"X-Request-Id": "mine"})

    assert (answer.status, answer.code) == (500, "internal")
    assert b"42" not in answer.body
    [line] = lines
    assert line["log_level"] == "error"
    assert line["request_id"] == "mine"
    assert line["exc_info"]


async def test_a_fault_of_an_outside_party_is_one_line_without_a_traceback():
    with structlog.testing.capture_logs() as lines:
        async with serving(Edge(), raising(WalletUnavailable("LNbits said 502"))) as server:
            answer = await ask(server.port, path="/raise")

    assert b"LNbits" not in answer.body
    [line] = lines
    assert line["reason"] == "LNbits said 502"
    assert "exc_info" not in line


async def test_a_refusal_is_no_line_at_all():
    with structlog.testing.capture_logs() as lines:
        async with serving(Edge(), raising(NotFound())) as server:
            await ask(server.port, path="/raise")

    assert lines == []


async def test_a_stream_that_breaks_is_cut_and_no_second_head_follows():
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a beginning")
        raise ValueError

    async with serving(Edge(), web.get("/broken", broken)) as server, wire_to(server.port) as wire:
        await wire.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")

        assert "200 OK" in await wire.head()
        assert b"HTTP/1.1" not in await wire.closed()


async def test_nobody_learns_what_the_server_is_made_of():
    async with serving(Edge()) as server:
        answer = await ask(server.port)

    assert "Server" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_each_client_has_its_turns_and_then_a_429():
    async with serving(Edge(turnstile=Turnstile(2))) as server:
        answers = [await ask(server.port) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit"] == '"requests";r=1;t=30'
    assert answers[0].headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert answers[2].code == "rate_limited"
    assert answers[2].headers["Retry-After"] == "30"
    assert answers[2].headers["RateLimit"] == '"requests";r=0;t=60'


async def test_405_comes_before_429_and_health_is_never_refused():
    async with serving(Edge(turnstile=Turnstile(1))) as server:
        await ask(server.port)

        assert (await ask(server.port)).status == 429
        assert (await ask(server.port, path="/nothing")).status == 429
        assert (await ask(server.port, path="/healthz")).status == 200
        wrong = await ask(server.port, "DELETE")

    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, HEAD"


async def test_turns_count_by_the_address_that_a_trusted_proxy_tells():
    edge = Edge(turnstile=Turnstile(1), trusted_proxies=[ip_network("127.0.0.1")])
    async with serving(edge) as server:
        one = [await ask(server.port, **{"X-Forwarded-For": "192.0.2.1"}) for _ in range(2)]
        other = await ask(server.port, **{"X-Forwarded-For": "192.0.2.2"})

    assert [answer.status for answer in one] == [200, 429]
    assert other.status == 200


async def test_a_forwarding_header_of_a_stranger_counts_for_nothing():
    async with serving(Edge(turnstile=Turnstile(1))) as server:
        await ask(server.port, **{"X-Forwarded-For": "192.0.2.1"})

        assert (await ask(server.port, **{"X-Forwarded-For": "192.0.2.2"})).status == 429


async def test_without_allowed_origins_there_is_no_cors():
    async with serving(Edge()) as server:
        answer = await ask(server.port, Origin=ORIGIN)
        preflight = await ask(
            server.port, "OPTIONS", Origin=ORIGIN, **{"Access-Control-Request-Method": "GET"}
        )

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert preflight.status == 405


@pytest.mark.parametrize(
    ("allowed", "told"), [([ORIGIN], ORIGIN), (["*"], "*"), (["https://other.example"], None)]
)
async def test_an_allowed_origin_is_told_so_on_every_answer(allowed, told):
    async with serving(Edge(cors_origins=allowed), raising(NotFound())) as server:
        for path in ("/hello", "/raise", "/nothing"):
            answer = await ask(server.port, path=path, Origin=ORIGIN)

            assert answer.headers.get("Access-Control-Allow-Origin") == told
            assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_names_methods_and_headers():
    async with serving(Edge(cors_origins=[ORIGIN])) as server:
        answer = await ask(
            server.port, "OPTIONS", Origin=ORIGIN, **{"Access-Control-Request-Method": "GET"}
        )

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]


async def test_an_answer_that_nobody_waits_for_is_no_error():
    gone = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await gone.wait()
        return web.Response(text="late")

    with structlog.testing.capture_logs() as lines:
        async with serving(Edge(), web.get("/slow", slow)) as server:
            async with wire_to(server.port) as wire:
                await wire.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            gone.set()
            assert (await ask(server.port)).status == 200

    assert lines == []
