"""What there is to beat: an aiohttp server that reads the same JSON and answers as much.

It writes nothing down, checks nothing, signs nothing. `python -m bench.bare_orders` serves on a
free port and says on which.
"""

import asyncio
import json
import signal

import orjson
import uvloop
from aiohttp import web

from core.values.ids import new_id

INVOICE = {
    "paymentRequest": "lnbcrt210n1" + "p" * 330,
    "paymentHash": "0" * 64,
    "amountSats": 21,
    "purpose": "eval",
    "status": "open",
    "expiresAt": "2026-01-01T00:00:00.000Z",
    "paidAt": None,
    "payUrl": None,
}


async def order(request: web.Request) -> web.Response:
    """Answer as `POST /jobs` does."""
    fields = orjson.loads(await request.read())
    assert fields["request"]
    job_id = new_id("job")
    answer = {
        "jobId": job_id,
        "jobToken": "A" * 220,
        "state": "awaiting_eval_payment",
        "evalInvoice": INVOICE,
    }
    return web.Response(
        status=201,
        body=orjson.dumps(answer),
        headers={"Content-Type": "application/json", "Location": f"/jobs/{job_id}"},
    )


async def serve() -> None:
    """Serve until SIGTERM."""
    app = web.Application()
    app.router.add_post("/jobs", order)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
