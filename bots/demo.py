"""The demo: a conversation from a request to its result, played by itself in the terminal.

It starts a server of its own, with play money and in a temporary folder, sits down at one of its
terminals as a customer would, and leaves nothing behind. The exit code is 0 only if the result
came.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import aiohttp
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bots.terminal import Look
from bots.terminal_client import NoServer, ServerLeft, talk_to_server
from bots.terminal_view import Face
from core.values import bolt11
from core.values.money import MSAT_PER_SAT

REQUEST: Final = "Sort these names: Zoe, Adam, Mia."
WITHIN_S: Final = 60
STOP_WITHIN_S: Final = 10
LOOK_S: Final = 2.0  # what a person gets to look at an invoice before it is paid
KEY_S: Final = 0.04  # between two keys
WIDTH_MOST: Final = 80

_BOLTWORK: Final = Path(__file__).parent.parent / "boltwork.py"
_SETTINGS: Final = {
    "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
    "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
}
_LOG_LINES: Final = 10
_MARGIN: Final = (0, 0, 0, 3)

# What the customer reads in the service's texts.
_GREETING: Final = "Just write."
_INVOICE: Final = re.compile(r"\blnbcrt[0-9a-z]{100,}\b")
_DONE: Final = re.compile(r"#\w{4} done ·")
_REFUSAL: Final = re.compile(r"(?:I cannot do #\w{4}: |Sorry, )[^\n]*")


class DemoFailed(Exception):
    """There is no result; the sentence says why."""


def main() -> None:
    """The entry point of `python -m bots.demo`."""
    parser = argparse.ArgumentParser(prog="python -m bots.demo", description=__doc__)
    parser.add_argument("request", nargs="?", default=REQUEST, help="what to ask for")
    request = parser.parse_args().request
    console = Console(highlight=False)
    try:
        asyncio.run(_play_in_time(request, console, os.environ))
    except TimeoutError:
        _end(console, f"The demo failed. There was no result within {WITHIN_S} s.")
    except (DemoFailed, NoServer, ServerLeft, OSError) as fault:
        _end(console, f"The demo failed. {fault}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        _end(console, "The demo was stopped.")


def _end(console: Console, sentence: str) -> NoReturn:
    console.print(Text(f"\n{sentence}", style="bold red"))
    sys.exit(1)


async def _play_in_time(request: str, console: Console, environ: Mapping[str, str]) -> None:
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    async with asyncio.timeout(WITHIN_S):
        await play(request, console, environ)


async def play(request: str, console: Console, environ: Mapping[str, str]) -> None:
    """Show one conversation on a server of our own. Raises DemoFailed, NoServer, ServerLeft."""
    if not request.strip():
        raise DemoFailed("There is nothing to ask for.")
    console.print(Text("Boltwork: a conversation, from a request to its result\n", style="bold"))
    _say(
        console,
        "This is play money: the server's wallet is a stub. Its invoices are well formed, on"
        " regtest, and no real wallet can pay them.",
    )
    async with own_server(environ) as server:
        _say(console, f"The server runs on {server.url}; its folder goes away with it.")
        console.print()
        customer = Customer(request, has_audience=console.is_terminal)
        face = Face(min(console.width, WIDTH_MOST), has_ansi=console.is_terminal)
        look = Look("customer", face, is_typed=True, lang="en")
        began_s = time.monotonic()
        await talk_to_server(server.operator_url, server.token, customer, look)
        took_s = time.monotonic() - began_s
    if customer.failure:
        raise DemoFailed(customer.failure)
    check, work = customer.paid_sats
    console.print(Text("In the end", style="bold"))
    _say(console, f"Paid:  {check + work} sat ({check} check, {work} work)")
    _say(console, f"Took:  {took_s:.1f} s")


def _say(console: Console, sentence: str) -> None:
    console.print(Padding(Text(sentence), _MARGIN, expand=False))


class Customer:
    """A person at the terminal, as a `bots.terminal.Screen`: reads what is shown, and types."""

    def __init__(self, request: str, *, has_audience: bool) -> None:
        self.failure = ""
        self._request, self._has_audience = request, has_audience
        self._shown = ""
        self._changed = asyncio.Event()
        self._paid: list[str] = []

    @property
    def paid_sats(self) -> list[int]:
        """What was paid, in the order of the invoices."""
        amounts = (bolt11.decode(invoice).amount or 0 for invoice in self._paid)
        return [amount // MSAT_PER_SAT for amount in amounts]

    async def lines(self) -> AsyncIterator[str]:
        """Ask, and pay whatever invoice comes, until there is a result or a refusal."""
        await self._sees(lambda shown: _GREETING in shown)
        yield await self._typed(self._request)
        while await self._is_asked_to_pay():
            self._paid.append(self._invoices()[-1])
            yield await self._typed("pay")

    async def show(self, text: str) -> None:
        """Show what the service says to the audience, too."""
        _write(text)
        self._shown += text
        self._changed.set()

    async def _is_asked_to_pay(self) -> bool:
        """Whether an invoice came; False where the talk has come to its end."""
        await self._sees(
            lambda shown: (
                len(self._invoices()) > len(self._paid)
                or bool(_DONE.search(shown) or _REFUSAL.search(shown))
            )
        )
        if refusal := _REFUSAL.search(self._shown):
            self.failure = f"The service said: {refusal[0]}"
        if len(self._invoices()) == len(self._paid):
            return False
        await asyncio.sleep(LOOK_S if self._has_audience else 0)
        return True

    def _invoices(self) -> list[str]:
        return list(dict.fromkeys(_INVOICE.findall(self._shown)))

    async def _sees(self, wanted: Callable[[str], bool]) -> None:
        while not wanted(self._shown):
            self._changed.clear()
            await self._changed.wait()

    async def _typed(self, line: str) -> str:
        """Type a line for all to see; a terminal has its prompt already."""
        if not self._has_audience:
            _write(f"> {line}\n\n")
            return line
        for key in line:
            _write(key)
            await asyncio.sleep(KEY_S)
        _write("\n")
        return line


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    url: str
    operator_url: str
    token: str


@asynccontextmanager
async def own_server(environ: Mapping[str, str]) -> AsyncIterator[Server]:
    """Run a development server while the block runs. Raises DemoFailed."""
    settings = {name: value for name, value in environ.items() if not name.startswith("BOLTWORK_")}
    with tempfile.TemporaryDirectory(prefix="boltwork-demo-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as log_file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, _BOLTWORK, "serve", "--json"),
                cwd=folder,
                env=settings | _SETTINGS,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
            )
        try:
            hello = await _hello(process)
            token = (Path(folder) / "data" / "operator-token").read_text().strip()
            yield Server(hello["url"], hello["operatorUrl"], token)
        except (aiohttp.ClientError, NoServer, ServerLeft) as fault:
            last = "".join(log.read_text().splitlines(keepends=True)[-_LOG_LINES:])
            raise DemoFailed(f"The server does not answer ({fault}). Its log:\n{last}") from fault
        finally:
            await _stop(process)


async def _hello(process: asyncio.subprocess.Process) -> dict[str, str]:
    """What the server says when its doors are open."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    hello: dict[str, str] = json.loads(line) if line else {}
    if "url" not in hello:
        raise DemoFailed(f"The server did not start: {line.decode().strip()}")
    return hello


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the server: in good order, or at once where it takes too long or nobody waits."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


if __name__ == "__main__":
    main()
