"""Customers who hang up before they are answered: no fault of ours, and no traceback."""

import asyncio
import json
import socket
import struct
from pathlib import Path
from urllib.parse import urlsplit

from tests.process.server import Program
from tests.process.world import new_request

MANY = 40
RESET = struct.pack("ii", 1, 0)  # close without waiting: the other side sees a reset


def hang_up(program: Program, request: bytes) -> None:
    """Send a request and be gone."""
    place = urlsplit(program.url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def requests(job_id: str) -> list[bytes]:
    order = json.dumps({"request": new_request()}).encode()
    head = b"Host: x\r\nContent-Type: application/json\r\n"
    return [
        f"GET /jobs/{job_id}/events HTTP/1.1\r\n".encode() + head + b"\r\n",
        f"GET /jobs/{job_id}?wait=1 HTTP/1.1\r\n".encode() + head + b"\r\n",
        f"GET /jobs/{job_id} HTTP/1.1\r\n".encode() + head + b"\r\n",
        b"POST /jobs HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(order), order),
        b"POST /jobs HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(order), order[:5]),
        b"GET /demo?request=Count%20the%20words HTTP/1.1\r\n" + head + b"\r\n",
    ]


async def test_who_hangs_up_is_no_fault_of_ours(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        opened = await program.post("/jobs", {"request": new_request()})

        for request in requests(opened.json()["jobId"]):
            await asyncio.gather(
                *(asyncio.to_thread(hang_up, program, request) for _ in range(MANY))
            )
        await program.settle_down()

        assert (await program.post("/jobs", {"request": new_request()})).status == 201
        assert await program.stop() == 0
        assert "Traceback" not in program.log()
        assert '"level": "error"' not in program.log()
