"""The simulated LNbits as a process of its own, moved over HTTP on a second port.

    python -m tests.simulator.lnbits_process --port 5057 --control-port 5058

Prints one line of JSON with the addresses and keys once it listens; ends with SIGTERM. All of
`/_control/...` takes and gives JSON:

    GET  state                      keys, balances and all payments
    GET  journal                    all calls and all movements of money
    POST pay, settle                {"payment_hash"} -> {"moved": bool}
    POST finish                     {"payment_hash", "status"}   a payment that went out
    POST pay-at-node                {"payment_hash"}             the same, and LNbits does not know
    POST fund                       {"msat"}                     what the shop has besides
    POST foreign-invoice            {"sats"} -> {"bolt11"}
    POST set                        {name: value} of outcome_abroad, failure_abroad,
                                    fee_abroad_msat, reserve_min_msat, reserve_percent,
                                    clock_offset_s, socket_mode
    POST fault                      {"call", "kind", "seconds"?, "times"?}; "*" is every call,
                                    without times it is for good
    POST heal, down, up, cut-sockets
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault

Command = Callable[[SimulatedLnbits, Any], Awaitable[object]]

_IN_BOOKS = (
    "outcome_abroad",
    "failure_abroad",
    "fee_abroad_msat",
    "reserve_min_msat",
    "reserve_percent",
    "clock_offset_s",
)


async def _state(sim: SimulatedLnbits, _: Any) -> object:
    books = sim.books
    return {
        "url": sim.url,
        "wallets": [
            {
                "name": wallet.name,
                "invoice_key": wallet.invoice_key,
                "admin_key": wallet.admin_key,
                "balance_msat": books.balance_msat(wallet),
            }
            for wallet in books.wallets
        ],
        "payments": [payment.as_json() for payment in books.payments],
    }


async def _journal(sim: SimulatedLnbits, _: Any) -> object:
    return {
        "calls": [asdict(call) for call in sim.calls],
        "movements": [asdict(movement) for movement in sim.books.movements],
    }


async def _pay(sim: SimulatedLnbits, body: Any) -> object:
    return {"moved": await sim.pay(body["payment_hash"])}


async def _settle(sim: SimulatedLnbits, body: Any) -> object:
    return {"moved": await sim.settle(body["payment_hash"])}


async def _finish(sim: SimulatedLnbits, body: Any) -> object:
    sim.books.finish(body["payment_hash"], body["status"])
    return None


async def _pay_at_node(sim: SimulatedLnbits, body: Any) -> object:
    sim.books.pay_at_node(body["payment_hash"])
    return None


async def _fund(sim: SimulatedLnbits, body: Any) -> object:
    sim.books.shop.credit_msat += body["msat"]
    return None


async def _foreign_invoice(sim: SimulatedLnbits, body: Any) -> object:
    return {"bolt11": sim.books.foreign_invoice(body["sats"])}


async def _set(sim: SimulatedLnbits, body: Any) -> object:
    for name, value in body.items():
        if name in _IN_BOOKS:
            setattr(sim.books, name, value)
        elif name == "socket_mode":
            sim.socket_mode = value
        else:
            raise web.HTTPBadRequest(text=f"nothing here is called {name}")
    return None


async def _fault(sim: SimulatedLnbits, body: Any) -> object:
    fault = Fault(body["kind"], body.get("seconds", 0))
    if body["call"] == "*":
        sim.fail_everything(fault)
    elif "times" in body:
        sim.fail(body["call"], fault, times=body["times"])
    else:
        sim.fail_always(body["call"], fault)
    return None


async def _heal(sim: SimulatedLnbits, _: Any) -> object:
    sim.heal()
    return None


async def _down(sim: SimulatedLnbits, _: Any) -> object:
    await sim.go_down()
    return None


async def _up(sim: SimulatedLnbits, _: Any) -> object:
    await sim.come_up()
    return None


async def _cut_sockets(sim: SimulatedLnbits, _: Any) -> object:
    await sim.cut_sockets()
    return None


_COMMANDS: Final[dict[tuple[str, str], Command]] = {
    ("GET", "state"): _state,
    ("GET", "journal"): _journal,
    ("POST", "pay"): _pay,
    ("POST", "settle"): _settle,
    ("POST", "finish"): _finish,
    ("POST", "pay-at-node"): _pay_at_node,
    ("POST", "fund"): _fund,
    ("POST", "foreign-invoice"): _foreign_invoice,
    ("POST", "set"): _set,
    ("POST", "fault"): _fault,
    ("POST", "heal"): _heal,
    ("POST", "down"): _down,
    ("POST", "up"): _up,
    ("POST", "cut-sockets"): _cut_sockets,
}


def control(sim: SimulatedLnbits) -> web.Application:
    """The application that moves `sim`."""
    app = web.Application()
    for (method, name), command in _COMMANDS.items():
        app.router.add_route(method, f"/_control/{name}", _handler(sim, command))
    return app


def _handler(
    sim: SimulatedLnbits, command: Command
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        return web.json_response(await command(sim, body))

    return handle


async def run(sim: SimulatedLnbits, control_port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, ended.set)
    async with sim:
        runner = web.AppRunner(control(sim), shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", control_port).start()
        port = runner.addresses[0][1]
        started = {
            "url": sim.url,
            "control": f"http://127.0.0.1:{port}/_control",
            "shop": asdict(sim.books.shop),
            "buyer": asdict(sim.books.buyer),
        }
        sys.stdout.write(json.dumps(started) + "\n")
        sys.stdout.flush()
        await ended.wait()
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator.lnbits_process")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--lnbits-version", choices=("1.5.6", "1.6.2"), default="1.6.2")
    parser.add_argument("--network", default="mainnet")
    parser.add_argument("--requests-per-minute", type=int)
    asked = parser.parse_args()
    sim = SimulatedLnbits(
        version=asked.lnbits_version,
        network=asked.network,
        requests_per_minute=asked.requests_per_minute,
        port=asked.port,
    )
    asyncio.run(run(sim, asked.control_port))


if __name__ == "__main__":
    main()
