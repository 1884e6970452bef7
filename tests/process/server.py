"""The finished program in a process of its own, met only from outside.

    async with Program(folder, database_url) as program:     # on free ports, waits for /readyz
        order = await program.post("/jobs", {"request": "Sort these names: Zoe, Adam."})
        program.kill()                                       # SIGKILL, by its id
        await program.start()                                # the same folder, other ports

What it writes goes to files in the folder: `program.log()` is everything that it ever said.
"""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

ROOT = Path(__file__).parent.parent.parent
START_S = 30
LIMIT_S = 30
LOOK_S = 0.01

# One client asks for everything here, far more often than one customer may.
UNLIMITED = {
    "BOLTWORK_LIMITS__REQUESTS_PER_MINUTE": "0",
    "BOLTWORK_LIMITS__OPEN_INVOICES_PER_CLIENT": "0",
}


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = LIMIT_S
) -> None:
    """Return as soon as the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(LOOK_S)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "boltwork.py"), *arguments]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **variables}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Event:
    """One Server-Sent Event."""

    name: str
    id: int | None
    data: Any


class Program:
    """One data folder and the process that serves it, start after start."""

    def __init__(
        self,
        folder: Path,
        database_url: str = "sqlite",
        *,
        unready: Collection[str] = (),
        **variables: str,
    ) -> None:
        """`unready` are those of /readyz whom nobody waits for."""
        self.folder = folder
        self._unready = frozenset(unready)
        self.variables = {
            "BOLTWORK_SERVER__DATA_DIR": str(folder),
            "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
            "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
            "BOLTWORK_DATABASE__URL": database_url,
            **UNLIMITED,
            **variables,
        }
        self.url = ""
        self.operator_url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._starts = 0

    async def __aenter__(self) -> Self:
        # Every call has a connection of its own: a kill must not look like a stale connection.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=LIMIT_S * 3),
        )
        try:
            await self.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
        assert self._session is not None
        await self._session.close()

    # The process

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start on this folder and wait until it is ready."""
        hello = self._launch()
        await eventually(lambda: self._has_ended() or hello.stat().st_size > 0, within_s=START_S)
        assert not self._has_ended(), f"it did not start: {hello.read_text()} {self.log()}"
        doors = json.loads(hello.read_text())
        self.url, self.operator_url = doors["url"], doors["operatorUrl"]
        await eventually(self.is_ready, within_s=START_S)

    async def is_ready(self) -> bool:
        reply = await self.get("/readyz")
        return reply.status == 200 or self._unready.issuperset(reply.json()["notReady"])

    def kill(self) -> None:
        """End it at once, as a crash does."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(LIMIT_S) == -signal.SIGKILL, f"it was gone already: {self.log()}"

    def terminate(self) -> None:
        """Ask it to stop."""
        assert self._process is not None
        self._process.terminate()

    async def ended(self, *, within_s: float = LIMIT_S) -> int:
        """Its exit code, when it has one."""
        assert self._process is not None
        await eventually(self._has_ended, within_s=within_s)
        return self._process.wait()

    async def stop(self) -> int:
        """Ask it to stop and wait until it has; its exit code."""
        self.terminate()
        return await self.ended()

    async def restart(self) -> None:
        """Crash and start again."""
        self.kill()
        await self.start()

    def limit_files_to(self, size: int) -> None:
        """No file of it grows beyond `size` bytes from now on: what a full disk looks like."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def log(self) -> str:
        """All that it has written to standard error, in all its lives."""
        return (self.folder / "log").read_text()

    def _launch(self) -> Path:
        """Start a process; return the file in which it says where it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._starts += 1
        hello = self.folder / f"hello-{self._starts}"
        with hello.open("wb") as stdout, (self.folder / "log").open("ab") as stderr:
            self._process = subprocess.Popen(
                command("serve", "--json"),
                cwd=self.folder,
                env=environment(self.variables),
                stdout=stdout,
                stderr=stderr,
            )
        return hello

    def _has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    # The client

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Reply:
        return await self.ask("POST", path, body=body, headers=headers)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Reply:
        """One request, to another address where `url` names one; `_` in a header is a hyphen."""
        assert self._session is not None
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        async with self._session.request(
            method, (url or self.url) + path, json=body, headers=named
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def settle_down(self) -> None:
        """Return when its event loop has handled everything that had reached it before.

        A question costs its loop several turns, and what came earlier is read in an earlier one.
        """
        for _ in range(3):
            await self.get("/healthz")

    @asynccontextmanager
    async def events(
        self, job_id: str, *, after: int | None = None, url: str | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a job while the block runs; they end where the connection does."""
        assert self._session is not None
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        address = f"{url or self.url}/jobs/{job_id}/events"
        async with self._session.get(address, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            yield _events_in(answer.content)


async def _events_in(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    try:
        async for raw in content:
            line = raw.decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Event(fields["event"], number, json.loads(fields["data"]))
                fields = {}
    except aiohttp.ClientError:
        return  # the server was killed
