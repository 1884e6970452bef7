"""The demo: one job from its order to its result, played by itself in the terminal.

It starts a server of its own, with play money and in a temporary folder, plays the customer over
REST, and leaves nothing behind. The exit code is 0 only if the result came.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, assert_never

import aiohttp
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bots.buyer import Buyer, Invoice, Job, Refused
from bots.qr import half_blocks, invoice_code

REQUEST: Final = "Sort these names: Zoe, Adam, Mia."
WITHIN_S: Final = 60
STOP_WITHIN_S: Final = 10
EVENT_BYTES_MAX: Final = 2**20
LOOK_S: Final = 2.0  # what a person gets to look at an invoice before it is paid

_BOLTWORK: Final = Path(__file__).parent.parent / "boltwork.py"
_SETTINGS: Final = {
    "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
    "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
}
_LOG_LINES: Final = 10
_MARGIN: Final = (0, 0, 0, 3)
_BLACK_ON_WHITE: Final = "color(231) on color(16)"  # whatever the terminal's own colours are


class DemoFailed(Exception):
    """There is no result; the sentence says why."""


def main() -> None:
    """The entry point of `python -m bots.demo`."""
    parser = argparse.ArgumentParser(prog="python -m bots.demo", description=__doc__)
    parser.add_argument("request", nargs="?", default=REQUEST, help="what to order")
    request = parser.parse_args().request
    console = Console(highlight=False)
    try:
        asyncio.run(_play_in_time(request, console, os.environ))
    except TimeoutError:
        _end(console, f"The demo failed. There was no result within {WITHIN_S} s.")
    except (DemoFailed, Refused, OSError) as fault:
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
    """Show one job on a server of our own. Raises DemoFailed, Refused."""
    scene = Scene(console)
    console.print(Text("Boltwork: one job, from its order to its result\n", style="bold"))
    scene.say(
        "This is play money: the server's wallet is a stub. Its invoices are well formed, on"
        " regtest, and no real wallet can pay them."
    )
    async with (
        own_server(environ) as url,
        aiohttp.ClientSession(url, read_bufsize=EVENT_BYTES_MAX) as session,
    ):
        scene.say(f"The server listens on {url}; its folder goes away with it.")
        began_s = time.monotonic()
        job = await buy(request, Buyer(session), scene)
        scene.show_totals(job, took_s=time.monotonic() - began_s)


async def buy(request: str, buyer: Buyer, scene: "Scene") -> Job:
    """Order, pay what is asked for, and return the complete job. Raises DemoFailed, Refused."""
    scene.begin("1. Order")
    scene.say(f"POST /jobs {json.dumps({'request': request}, ensure_ascii=False)}")
    job_id = await buyer.order(request)
    scene.say(f"It is {job_id}; we follow its events.")
    job = None
    async for change in buyer.follow(job_id):
        if job is None or change.state != job.state:  # a change may leave the state as it is
            await _answer(change, buyer, scene)
        job = change
    if job is None or job.state != "complete":
        raise DemoFailed("The server ended the events of a job that has not ended.")
    return job


async def _answer(job: Job, buyer: Buyer, scene: "Scene") -> None:
    """Show the state that the job is in now, and do what it asks of the customer."""
    match job.state:
        case "awaiting_eval_payment":
            assert job.eval_invoice is not None
            scene.begin(f"2. Pay for the evaluation: {job.eval_invoice.amount_sats} sat")
            await _pay(job.eval_invoice, buyer, scene)
        case "evaluating":
            scene.begin("3. The agent evaluates the request")
        case "awaiting_work_payment":
            assert job.work_invoice is not None
            scene.show_quote(job)
            scene.begin(f"4. Pay for the work: {job.work_invoice.amount_sats} sat")
            await _pay(job.work_invoice, buyer, scene)
        case "executing":
            scene.begin("5. The agent works")
        case "complete":
            scene.begin("6. The result")
            scene.show_result(job)
        case "rejected":
            raise DemoFailed(f"The agent said no: {job.reason}")
        case "failed":
            raise DemoFailed(f"The job failed: {job.error_message}")
        case _:
            assert_never(job.state)


async def _pay(invoice: Invoice, buyer: Buyer, scene: "Scene") -> None:
    scene.show_invoice(invoice)
    await asyncio.sleep(scene.look_s)
    await buyer.pay(invoice)
    scene.say("Paid, with play money.")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the audience sees: a terminal, or a file."""

    console: Console

    @property
    def look_s(self) -> float:
        """How long an invoice is shown before it is paid."""
        return LOOK_S if self.console.is_terminal else 0

    def begin(self, step: str) -> None:
        """Begin the next step."""
        self.console.print(Text(f"\n{step}", style="bold"))

    def say(self, sentence: str, style: str = "") -> None:
        """Say a sentence, which may come from a stranger and is not interpreted."""
        self.console.print(Padding(Text(sentence, style=style), _MARGIN, expand=False))

    def show_invoice(self, invoice: Invoice) -> None:
        """Show the QR code of an invoice, and the invoice in one line for copying."""
        code = "\n".join(half_blocks(invoice_code(invoice.payment_request)))
        self.console.print()
        self.say(code, style=_BLACK_ON_WHITE)
        self.console.print()
        self.console.print(Text(invoice.payment_request, style="dim"), soft_wrap=True)

    def show_quote(self, job: Job) -> None:
        """Show what the evaluation found."""
        assert job.quote is not None
        self.say(f"Accepted: {job.reason}")
        self.say(
            f"The work costs {job.quote.price_sats} sat: {job.quote.input_tokens} tokens to read,"
            f" about {job.quote.output_tokens} to write."
        )

    def show_result(self, job: Job) -> None:
        """Show the result."""
        self.say(f"{job.result}", style="green")

    def show_totals(self, job: Job, *, took_s: float) -> None:
        """Show what the job cost, and what is owed back."""
        assert job.eval_invoice is not None
        assert job.work_invoice is not None
        evaluation, work = job.eval_invoice.amount_sats, job.work_invoice.amount_sats
        owed_msat = sum(refund.amount_msat + refund.fee_msat for refund in job.refunds)
        self.begin("Totals")
        self.say(f"Paid:      {evaluation + work} sat ({evaluation} evaluation, {work} work)")
        self.say(f"Owed back: {owed_msat // 1000} sat")
        self.say(f"Took:      {took_s:.1f} s")


@asynccontextmanager
async def own_server(environ: Mapping[str, str]) -> AsyncIterator[str]:
    """Run a development server while the block runs, and yield its address. Raises DemoFailed."""
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
            yield await _address(process)
        except aiohttp.ClientError as fault:
            last = "".join(log.read_text().splitlines(keepends=True)[-_LOG_LINES:])
            raise DemoFailed(f"The server does not answer ({fault}). Its log:\n{last}") from fault
        finally:
            await _stop(process)


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where the server says that it listens."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    hello = json.loads(line) if line else {}
    if "url" not in hello:
        raise DemoFailed(f"The server did not start: {line.decode().strip()}")
    return str(hello["url"])


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
