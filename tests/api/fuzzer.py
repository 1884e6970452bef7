"""Schemathesis, let loose on a running server."""

import asyncio
import sys
from pathlib import Path

FUZZER = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")


async def fuzz(
    port: int, token: str, *, phases: str, examples: int, folder: Path, seconds: float
) -> tuple[int | None, str]:
    """Fuzz every operation; its exit code, and what it told, shortened where lines are endless."""
    fuzzer = await asyncio.create_subprocess_exec(
        FUZZER,
        *("--config-file", CONFIG),
        "run",
        f"http://127.0.0.1:{port}/openapi.json",
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", phases, "--max-examples", str(examples)),
        *("--request-timeout", "30"),
        *("--exclude-path-regex", "/events$"),  # a stream ends with its job, so some never do
        "--generation-deterministic",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asyncio.wait_for(fuzzer.communicate(), seconds)
    lines = told.decode().splitlines()
    return fuzzer.returncode, "\n".join(line[:300] for line in lines)
