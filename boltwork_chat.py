"""`boltwork chat`: the conversation in this terminal.

Where a server owns the data folder it is talked to on `operator.listen` with the operator's token;
where none does, this process opens the books itself.
"""
# ruff: noqa: PLC0415

import logging
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from boltwork_console import ConfigOption, Printer, faults_end_the_command, load_settings

if TYPE_CHECKING:
    import asyncio

    from bots.terminal import Look
    from core.config import Config

CHUNK_BYTES = 65_536
WIDTH_MOST = 100  # longer lines are hard to read

WhoOption = Annotated[
    str, typer.Option("--as", metavar="NAME", help="Who talks. Otherwise the user of this machine.")
]


class Console:
    """Standard input and output."""

    async def lines(self) -> AsyncIterator[str]:
        """What is typed, line by line."""
        import asyncio

        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        # A thread, for a file cannot be waited for; os.read, for it holds no lock at exit.
        threading.Thread(
            target=_read_input, args=(asyncio.get_running_loop(), chunks), daemon=True
        ).start()
        rest = b""
        while chunk := await chunks.get():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")

    async def show(self, text: str) -> None:
        """Write this. Raises ConnectionError where nobody reads any more."""
        sys.stdout.write(text)
        sys.stdout.flush()


def chat(*, who: WhoOption = "", config: ConfigOption = None) -> None:
    """Talk to your own service in this terminal.

    With play money `pay` pays the invoice that was shown last. Lines that come from a pipe take
    turns: each waits until all before it is answered.
    """
    import asyncio

    with faults_end_the_command(Printer(is_json=False)):
        settings = load_settings(config)
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is a text file
        with suppress(KeyboardInterrupt, BrokenPipeError):
            asyncio.run(_talk(settings, _look(who)))
    if sys.stdout.isatty():
        typer.echo()


def _look(who: str) -> "Look":
    """What this terminal can show."""
    from bots.terminal import Look
    from bots.terminal_view import Face
    from bots.terminal_visit import local_user

    width = min(shutil.get_terminal_size().columns, WIDTH_MOST)
    languages = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return Look(
        who=who or local_user(),
        face=Face(width, has_ansi=sys.stdout.isatty() and os.environ.get("TERM") != "dumb"),
        is_typed=sys.stdin.isatty(),
        lang=next((lang for lang in languages if lang), ""),
    )


async def _talk(config: "Config", look: "Look") -> None:
    """Talk here, or to the server that owns the folder. Raises FolderFault."""
    from bots.terminal_client import NoServer, ServerLeft
    from core.data_folder import FolderFault, FolderInUse

    try:
        if not config.database.is_sqlite:  # a database that is nobody's alone
            with suppress(NoServer):
                return await _talk_to_server(config, look)
        try:
            await _talk_here(config, look)
        except FolderInUse:
            await _talk_to_server(config, look)
    except (NoServer, ServerLeft) as fault:
        raise FolderFault(str(fault)) from None


async def _talk_here(config: "Config", look: "Look") -> None:
    from bots.app import serve_bots
    from bots.terminal_visit import Reception, terminal_only
    from core import logs
    from core.app import open_core
    from core.config import secrets_of

    logs.set_up_logs("terminal", secrets=secrets_of(config), stream=sys.stderr)
    logging.getLogger().setLevel(logging.WARNING)  # the rest would stand between the lines
    async with open_core(config) as core, serve_bots(core, terminal_only(config)) as office:
        if not await Reception(core, office).receive(Console(), look):
            raise typer.Exit(1)


async def _talk_to_server(config: "Config", look: "Look") -> None:
    from bots.terminal_client import talk_to_server
    from core.data_folder import operator_token

    token = operator_token(config.server.data_dir, config.operator.token.get_secret_value())
    await talk_to_server(f"http://{config.operator.listen}", token, Console(), look)


def _read_input(loop: "asyncio.AbstractEventLoop", chunks: "asyncio.Queue[bytes]") -> None:
    """Hand on what standard input has, to its end."""
    chunk = b"more"
    while chunk:
        try:
            chunk = os.read(sys.stdin.fileno(), CHUNK_BYTES)
        except OSError:  # the terminal is gone
            chunk = b""
        try:
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)
        except RuntimeError:  # the loop has ended
            return
