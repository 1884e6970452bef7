"""LNURL-pay with those who want us to call inside, to wait, or to swallow too much."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from aiohttp import web

from core.net import is_public
from core.values.bolt11 import decode
from tests.simulator.receiver import SimulatedReceiver
from tests.wallets.lnurl_world import PRICE, ScriptedNames, World, lnurl_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with lnurl_world() as world:
        yield world


# Hosts whose names resolve to where nobody may call

PUBLIC = "2d00::1"  # global unicast that is nobody's: no packet to it arrives anywhere
NOT_FOUND = "The host of the address was not found on the public internet."


@pytest.mark.parametrize(
    "addresses",
    [
        [],
        ["127.0.0.1"],
        ["127.8.8.8"],
        ["0.0.0.0"],
        ["10.0.0.1"],
        ["172.16.0.1"],
        ["192.168.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["100.100.100.200"],
        ["192.0.0.192"],
        ["168.63.129.16"],
        ["192.0.2.1"],
        ["198.18.0.1"],
        ["192.88.99.1"],
        ["224.0.0.1"],
        ["240.0.0.1"],
        ["255.255.255.255"],
        ["::"],
        ["::1"],
        ["::127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:0:127.0.0.1"],
        ["64:ff9b::127.0.0.1"],
        ["64:ff9b::10.0.0.1"],
        ["64:ff9b:1::127.0.0.1"],
        ["2002:7f00:1::"],
        ["2001:0:7f00:1::1"],
        ["2001:db8::1"],
        ["3fff::1"],
        ["fe80::1%1"],
        ["fec0::1"],
        ["fd00:ec2::254"],
        ["ff02::1"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC, "::1"],
    ],
    ids=" ".join,
)
async def test_a_name_is_called_only_if_all_its_addresses_are_public(world, addresses):
    names = ScriptedNames([addresses])

    assert await world.refused("alice@pay.example", names=names) == NOT_FOUND
    assert names.asked == [("pay.example", 443)]


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8", PUBLIC]
)
def test_an_address_of_the_public_internet_is_known_as_one(address):
    assert is_public(address)


async def test_a_name_that_changes_its_mind_is_asked_only_once_a_call(world):
    names = ScriptedNames([[PUBLIC], ["127.0.0.1"]])

    sentence = await world.refused("alice@pay.example", names=names)

    assert sentence in (UNREACHABLE, SLOW)
    assert names.asked == [("pay.example", 443)]


async def test_the_connection_goes_to_the_address_that_was_checked(world):
    port = world.receiver.port
    names = ScriptedNames([["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]])
    text = f"alice@pay.example:{port}"

    pr = await world.ask(text, names=names, listed=[f"pay.example:{port}"])

    assert decode(pr).amount == PRICE
    assert names.asked == [("pay.example", port)] * 2
    assert {request.host for request in world.receiver.requests} == {f"pay.example:{port}"}


async def test_the_host_of_a_callback_is_checked_like_the_first(world):
    names = ScriptedNames([["127.0.0.1"]])
    world.receiver.offer["callback"] = "https://inside.example/callback"

    assert await world.refused(world.receiver.address, names=names) == NOT_FOUND
    assert names.asked[-1] == ("inside.example", 443)


# Callbacks, as spelled

NO_CALLBACK = "The receiver names a callback that may not be called."


@pytest.mark.parametrize(
    "callback",
    [
        "http://127.0.0.1:{canary}/",
        "https://127.0.0.1:{canary}/",
        "https://localhost:{canary}/",
        "https://[::ffff:127.0.0.1]:{canary}/",
        "http://2130706433:{canary}/",
        "http://0177.0.0.1:{canary}/",
        "http://{receiver}@127.0.0.1:{canary}/",
        "http://user:password@{receiver}/callback",
        "http://127.0.0.1:{canary}\\@{receiver}/callback",
        "http://{receiver}/callback#x",
        "//{receiver}/callback",
        "/callback",
        "file:///etc/passwd",
        "",
    ],
)
async def test_a_callback_that_may_not_be_called_is_refused(world, callback):
    world.receiver.offer["callback"] = callback.format(
        canary=world.canary.port, receiver=world.receiver.host
    )

    assert await world.refused(world.receiver.address) == NO_CALLBACK
    assert len(world.receiver.requests) == 1


# Servers that do not behave

SLOW = "The server behind the address did not answer in time."
UNREACHABLE = "The server behind the address cannot be reached, or hung up."
REDIRECT = "The server behind the address redirects, which is not followed."
TOO_LARGE = "The server behind the address answered with too many bytes."
NO_JSON = "The server behind the address answered 200 and no JSON object."


def sends(body: bytes, **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def send(_request: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    return send


async def silence(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def drips(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b" ")
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def floods(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 8192)


async def hangs_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def breaks(_request: web.Request) -> web.Response:
    return web.Response(status=503, text="<h1>Down</h1>")


MISDEEDS = {
    "silence": (silence, SLOW),
    "a drip": (drips, SLOW),
    "a flood": (floods, TOO_LARGE),
    "64 KiB and a byte": (sends(b'"' + b"a" * 65534 + b'" '), TOO_LARGE),
    "a bomb of gzip": (
        sends(gzip.compress(b" " * 2**24), **{"Content-Encoding": "gzip"}),
        NO_JSON,
    ),
    "hanging up": (hangs_up, UNREACHABLE),
    "503": (breaks, "The server behind the address answered 503 and no JSON object."),
    "a header without end": (sends(b"{}", X="a" * 20_000), UNREACHABLE),
    "nothing": (sends(b""), NO_JSON),
    "a page": (sends(b"<html>"), NO_JSON),
    "a list": (sends(b"[1]"), NO_JSON),
    "a deep list": (sends(b"[" * 60_000), NO_JSON),
    "not UTF-8": (sends(b'{"tag": "\xff"}'), NO_JSON),
    "NaN": (sends(b'{"tag": NaN}'), NO_JSON),
}
each_misdeed = pytest.mark.parametrize(
    ("misdeed", "sentence"), MISDEEDS.values(), ids=MISDEEDS.keys()
)


@each_misdeed
async def test_a_server_that_misbehaves_is_given_up(world, misdeed, sentence):
    world.receiver.instead_of_offer = misdeed

    assert await world.refused(world.receiver.address) == sentence


@each_misdeed
async def test_a_callback_that_misbehaves_is_given_up(world, misdeed, sentence):
    world.receiver.instead_of_invoice = misdeed

    assert await world.refused(world.receiver.address) == sentence


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["instead_of_offer", "instead_of_invoice"])
async def test_a_redirect_is_not_followed(world, status, place):
    async def redirect(_request: web.Request) -> web.Response:
        headers = {"Location": f"http://127.0.0.1:{world.canary.port}/"}
        return web.json_response({"tag": "payRequest"}, status=status, headers=headers)

    setattr(world.receiver, place, redirect)

    assert await world.refused(world.receiver.address) == REDIRECT


async def test_a_server_that_is_not_there_is_given_up(world):
    async with SimulatedReceiver(now_ms=world.clock.now_ms) as gone:
        text, host = gone.address, gone.host

    assert await world.refused(text, listed=[host]) == UNREACHABLE


async def test_a_name_server_that_stays_silent_is_given_up(world):
    class SilentNames(ScriptedNames):
        async def addresses_of(self, host: str, port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return await super().addresses_of(host, port)

    assert await world.refused("alice@pay.example", names=SilentNames([[]])) == SLOW
