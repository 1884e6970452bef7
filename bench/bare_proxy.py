"""What the relay is measured against: an aiohttp pass-through that checks and counts nothing.

`BENCH_UPSTREAM=http://... python -m bench.bare_proxy` serves on a free port and says on which.
"""

import asyncio
import json
import os
import signal

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web


async def serve() -> None:
    """Serve until SIGTERM."""
    upstream = os.environ["BENCH_UPSTREAM"] + "/v1/chat/completions"
    session = ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
    )
    headers = {"Content-Type": "application/json"}

    async def relay(request: web.Request) -> web.StreamResponse:
        async with session.post(upstream, data=await request.read(), headers=headers) as answer:
            if answer.content_type != "text/event-stream":
                return web.Response(body=await answer.read(), headers=headers)
            response = web.StreamResponse(headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", relay)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()
    await session.close()


if __name__ == "__main__":
    uvloop.run(serve())
