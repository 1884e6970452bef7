"""The command line, and the process behind `boltwork serve`.

Exit codes: 0 good, 1 a fault found, 2 wrong use. Answers go to standard output, as text or with
`--json` as one JSON object; the log goes to standard error. Modules are imported by the command
that needs them, so that `--help` is there at once.
"""
# ruff: noqa: PLC0415

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

import boltwork_operator as operator
from boltwork_chat import chat
from boltwork_console import (
    ConfigOption,
    JsonOption,
    Printer,
    faults_end_the_command,
    load_settings,
    set_up_logs,
)
from core.version import VERSION

if TYPE_CHECKING:
    import asyncio

    from api.hooks import TelegramHook
    from bots.office import Office
    from core.app import Core
    from core.config import Config
    from core.logs import LastErrors

_HELP = """Sell the work of an AI agent for Bitcoin Lightning, from your own server.

To look around, run `boltwork serve`: without any settings it is a development server on
http://127.0.0.1:8402 with play money and an agent that needs no account.

To sell for real money, copy config.example.toml to boltwork.toml, enter your LNbits wallet and your
model there, and run `boltwork check`: it asks everybody and says what is missing."""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

tokens = typer.Typer(help="Hand on weaker tokens of your session.", no_args_is_help=True)
app.add_typer(tokens, name="token")
app.add_typer(operator.ledger, name="ledger")
app.add_typer(operator.refunds, name="refunds")
app.command()(chat)
app.command()(operator.pause)
app.command()(operator.resume)

OBJECTS_BETWEEN_LOOKS = 20_000
OVERTIME_S = 5  # what the end may take beyond the grace before the process is killed


def _seconds(moment: str) -> int:
    from core.values.clock import unix_s

    try:
        return unix_s(moment)
    except ValueError:
        raise typer.BadParameter("A time is written 2027-01-31T12:00:00Z.") from None


TokenArgument = Annotated[
    str, typer.Argument(metavar="TOKEN", help="Your token; - reads it from standard input.")
]
ExpiryOption = Annotated[
    int | None,
    typer.Option("--expires-at", metavar="TIME", parser=_seconds, help="Its end, in RFC 3339."),
]
BudgetOption = Annotated[
    int | None,
    typer.Option("--budget-msat", metavar="N", help="The most in all, with all its copies."),
]
LargestOption = Annotated[
    int | None, typer.Option("--max-request-msat", metavar="N", help="The most for one request.")
]
ModelsOption = Annotated[
    str | None, typer.Option("--models", metavar="A,B", help="Only these models.")
]
RightsOption = Annotated[
    str | None,
    typer.Option(
        "--rights", metavar="A,B", help="Of read, spend, topup, withdraw, manage only these."
    ),
]
CaveatsOption = Annotated[
    list[str] | None, typer.Option("--caveat", metavar="NAME=VALUE", help="As the token writes it.")
]


def main() -> None:
    """The entry point of `boltwork`."""
    app(prog_name="boltwork")


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer's way to hand in a flag
    if wanted:
        typer.echo(f"boltwork {VERSION}")
        raise typer.Exit


@app.callback()
def _boltwork(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def serve(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Start the server.

    It runs until Ctrl-C or SIGTERM, and then lets running work end.
    """
    import asyncio

    from api.server import CannotListen
    from core.config import secrets_of
    from core.data_folder import operator_token

    printer = Printer(as_json)
    with faults_end_the_command(printer):
        settings = load_settings(config)
        os.umask(0o077)  # what the server writes is nobody else's to read
        token = operator_token(settings.server.data_dir, settings.operator.token.get_secret_value())
        errors = set_up_logs(printer, secrets=[token, *secrets_of(settings)])
        try:
            with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
                runner.run(_serve(settings, printer, errors))
        except CannotListen as fault:
            printer.fault(("", str(fault)))
            raise typer.Exit(1) from None


@app.command()
def check(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the settings and all that the server needs.

    Asks the wallet, the model, the database, Telegram and the relays, changes nothing, and says
    what to do. The exit code is 1 where the server could not start or not work.
    """
    import asyncio

    from bots.checkup import looks
    from core.checkup import look_at_everything
    from core.config import secrets_of
    from core.values.clock import SystemClock

    printer = Printer(as_json)
    with faults_end_the_command(printer):
        settings = load_settings(config)
        set_up_logs(printer, secrets=secrets_of(settings))
        more = looks(settings)
        findings = asyncio.run(look_at_everything(settings, clock=SystemClock(), more=more))
    is_good = all(finding.state != "fault" for finding in findings)
    printer.answer(
        "\n".join(f"{finding.state:8}{finding.about:15}{finding.sentence}" for finding in findings),
        isGood=is_good,
        findings=[asdict(finding) for finding in findings],
    )
    raise typer.Exit(0 if is_good else 1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file to write.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the database into a new file.

    The server may run meanwhile; the copy is complete in this one file. With PostgreSQL the command
    to run is printed instead.
    """
    from core.store.sqlite_file import copy_database

    printer = Printer(as_json)
    with faults_end_the_command(printer):
        settings = load_settings(config)
        if not settings.database.is_sqlite:
            command = _pg_dump(settings.database.url.get_secret_value(), file)
            printer.answer(f"The database is PostgreSQL. Run:\n  {command}", command=command)
            return
        source = settings.server.data_dir / "boltwork.db"
        if not source.exists():
            printer.fault((str(source), "there is no database yet"))
            raise typer.Exit(1)
        try:
            size = copy_database(source, file)
        except OSError as fault:
            printer.fault((str(file), f"cannot be written ({fault.strerror})"))
            raise typer.Exit(1) from None
    printer.answer(
        f"{file}: {size} bytes. The server secret is not in it: keep a copy of "
        f"{settings.server.data_dir / 'secret.key'} in another place.",
        file=str(file),
        bytes=size,
    )


@tokens.command()
def attenuate(
    token: TokenArgument,
    *,
    expires_at: ExpiryOption = None,
    budget_msat: BudgetOption = None,
    max_request_msat: LargestOption = None,
    models: ModelsOption = None,
    rights: RightsOption = None,
    caveat: CaveatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a weaker token from one that you have.

    Nobody is asked: the new token spends the same session as yours, but only within the limits that
    you name here. They come on top of those that yours has, and nobody can take them off again.

    The server lists no such token. It ends by its own limits, or together with yours.
    """
    from core.values.caveats import new_budget_id, read_caveats
    from core.values.errors import InvalidRequest, Unauthorized
    from core.values.tokens import attenuate as add_caveat
    from core.values.tokens import from_text, to_bearer

    limits = {
        "expires_at": expires_at,
        "budget_msat": None if budget_msat is None else f"{budget_msat};id={new_budget_id()}",
        "max_request_msat": max_request_msat,
        "models": models,
        "rights": rights,
    }
    added = [f"{name}={value}" for name, value in limits.items() if value is not None]
    added += caveat or []
    try:
        read_caveats(added)
    except InvalidRequest as fault:
        raise typer.BadParameter(fault.detail) from None
    if not added:
        raise typer.BadParameter("Name at least one limit.")
    printer = Printer(as_json)
    presented = token if token != "-" else sys.stdin.readline().strip()  # noqa: S105
    text, colon, preimage = presented.partition(":")  # a paid challenge comes with its preimage
    try:
        weaker = to_bearer(reduce(add_caveat, added, from_text(text))) + colon + preimage
    except (InvalidRequest, Unauthorized) as fault:
        printer.fault(("TOKEN", fault.detail))
        raise typer.Exit(1) from None
    printer.answer(weaker, token=weaker, added=added)


async def _serve(config: "Config", printer: Printer, errors: "LastErrors") -> None:
    """Run the server until a signal, then let running work end within the grace."""
    import asyncio
    import gc

    from api.app import serve_api
    from api.info import Bot
    from bots.app import names_of, serve_bots
    from bots.terminal_visit import Reception
    from core.app import open_core

    stop, grace_s = asyncio.Event(), config.server.shutdown_grace_s
    _stop_on_signals(stop)
    async with (
        open_core(config) as core,
        serve_bots(core, config, last_errors=errors.lines) as office,
        serve_api(
            core,
            config,
            bots=lambda: [Bot(network=network, name=name) for network, name in names_of(office)],
            visit=Reception(core, office).visit,
            telegram=_telegram_hook(config, core, office),
        ) as doors,
    ):
        # What the start has made stays; each look through it stopped all requests for 50 ms.
        gc.freeze()
        # A request that waits is no garbage: Python would look through all of them at every 700 new
        # objects.
        gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
        _announce(config, printer, port=doors.port, operator_port=doors.operator_port)
        await stop.wait()
        signal.alarm(grace_s + OVERTIME_S)  # the kernel ends what hangs; a crash loses nothing
        began_s = time.monotonic()
        await core.drain(grace_s)
        doors.grace_s = max(0, grace_s - (time.monotonic() - began_s))


def _telegram_hook(config: "Config", core: "Core", office: "Office") -> "TelegramHook | None":
    """The door through which Telegram brings updates, where the settings ask for it."""
    from api.hooks import TelegramHook
    from bots.app import update_door

    if not config.telegram.token or config.telegram.mode != "webhook":
        return None
    secrets = core.telegram_secrets
    return TelegramHook(secrets.path, secrets.header, update_door(office))


def _announce(config: "Config", printer: Printer, *, port: int, operator_port: int) -> None:
    """Say where the doors are, now that they are open."""
    public = f"http://{config.server.listen.at(port)}"
    operator = f"http://{config.operator.listen.at(operator_port)}"
    play_money = " (play money)" if config.wallet.kind == "stub" else ""
    printer.answer(
        f"Boltwork {VERSION} sells at {public} and talks to its operator at {operator}.\n"
        f"Wallet: {config.wallet.kind}{play_money}. Agent: {config.agent.kind}. "
        f"How to order: {public}/docs",
        version=VERSION,
        url=public,
        operatorUrl=operator,
        wallet=config.wallet.kind,
        agent=config.agent.kind,
    )


def _stop_on_signals(stop: "asyncio.Event") -> None:
    """Stop on the first SIGTERM or SIGINT; a second one ends the process at once.

    Nothing is lost by that: what was acknowledged is in the database.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def first() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in signals:
        loop.add_signal_handler(number, first)


def _fastest_loop() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """The loop of uvloop where it is installed, else None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _pg_dump(address: str, file: Path) -> str:
    """The command that copies this PostgreSQL database; pg_dump asks for the password itself."""
    url = urlsplit(address)
    place = url.netloc.rpartition("@")[2]
    without_password = url._replace(netloc=f"{url.username}@{place}" if url.username else place)
    target = shlex.quote(without_password.geturl())
    return f"pg_dump --format=custom --file={shlex.quote(str(file))} --dbname={target}"


if __name__ == "__main__":
    main()
