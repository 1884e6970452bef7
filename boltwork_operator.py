"""The operator's commands: the ledger, refunds, and the intake of money.

A server that runs is asked on `operator.listen` with the operator's token. Where none owns the data
folder the command takes its lock and does the same itself.
"""
# ruff: noqa: PLC0415

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from boltwork_console import (
    ConfigOption,
    JsonOption,
    Printer,
    faults_end_the_command,
    load_settings,
    set_up_logs,
)

if TYPE_CHECKING:
    from core.config import Config
    from core.desk.operator_desk import Document, OperatorDesk

ledger = typer.Typer(help="Check and export the books.", no_args_is_help=True)
refunds = typer.Typer(help="See and decide what is owed back.", no_args_is_help=True)

ANSWER_S = 600  # large books take a while to check

RefundArgument = Annotated[str, typer.Argument(metavar="REFUND", help="Its id, rfd_….")]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it stays in the books.")
]
AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="Only this session or job, by its id.")
]


@dataclass(frozen=True, slots=True)
class Order:
    """One question to the operator's desk: how a server is asked, and how the desk itself."""

    method: str
    path: str
    of_desk: "Callable[[OperatorDesk], Awaitable[Document]]"
    body: Mapping[str, str] = field(default_factory=dict)


@ledger.command("check")
def check_ledger(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Audit the books, and compare them with the wallet.

    Nothing is changed. The exit code is 1 where something does not hold.
    """
    order = Order("GET", "/operator/ledger/check", lambda desk: desk.check_ledger())
    printer = Printer(as_json)
    found = _ask(printer, config, order)
    printer.answer(_as_report(found), **found)
    raise typer.Exit(0 if found["isGood"] else 1)


@ledger.command("export")
def export_ledger(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every transfer, a line for each leg, and what the operator did.

    With --json one JSON object a line. The lines are not in the order of time.
    """
    printer, cursor = Printer(as_json), ""
    if not as_json:
        typer.echo("at,transfer,kind,account,amountMsat,ref,reason")
    while True:
        page = _ask(printer, config, _export_order(cursor))
        for item in page["items"]:
            typer.echo(json.dumps(item) if as_json else _as_csv(item))
        if page["nextCursor"] is None:
            return
        cursor = page["nextCursor"]


@refunds.command("list")
def list_refunds(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show all that is owed back or on its way."""
    order = Order("GET", "/operator/refunds", lambda desk: desk.list_refunds())
    printer = Printer(as_json)
    found = _ask(printer, config, order)
    lines = [_as_line(item) for item in found["items"]]
    printer.answer("\n".join(lines) or "Nothing is owed back.", **found)


@refunds.command("retry")
def retry_refund(
    refund: RefundArgument,
    *,
    reason: ReasonOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a refund again, or have the wallet looked at now.

    One that the wallet has no record of, and whose invoice has expired, is given up: its money is
    owed again, and the customer can name another destination.
    """
    order = Order(
        "POST",
        f"/operator/refunds/{quote(refund, safe='')}/retry",
        lambda desk: desk.retry_refund(refund, reason),
        {"reason": reason},
    )
    _decide(order, config, Printer(as_json))


@refunds.command("credit")
def credit_refund(
    refund: RefundArgument,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Its id, ses_….")],
    *,
    reason: ReasonOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give what is due to the balance of a session, whole."""
    order = Order(
        "POST",
        f"/operator/refunds/{quote(refund, safe='')}/credit",
        lambda desk: desk.credit_refund(refund, session, reason),
        {"to": session, "reason": reason},
    )
    _decide(order, config, Printer(as_json))


def pause(
    account: AccountArgument = "",
    *,
    reason: ReasonOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take no money until `boltwork resume`, also after a restart.

    Everything can be read, what is paid for is done, and money goes back. With an account only its
    money stands still.
    """
    body = {"reason": reason, "account": account}
    order = Order("POST", "/operator/pause", lambda desk: desk.pause(reason, account), body)
    printer = Printer(as_json)
    answer = _ask(printer, config, order)
    printer.answer(f"{account} is frozen." if account else "No money is taken.", **answer)


def resume(
    account: AccountArgument = "",
    *,
    reason: ReasonOption = "resumed",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take money again after `boltwork pause`, or free one account."""
    body = {"reason": reason, "account": account}
    order = Order("POST", "/operator/resume", lambda desk: desk.resume(reason, account), body)
    printer = Printer(as_json)
    answer = _ask(printer, config, order)
    printer.answer(f"{account} is free again." if account else "Money is taken again.", **answer)


def _decide(order: Order, config: ConfigOption, printer: Printer) -> None:
    answer = _ask(printer, config, order)
    printer.answer(f"{answer['refund']['refundId']}: {answer['outcome']}.", **answer)


def _ask(printer: Printer, path: ConfigOption, order: Order) -> "Document":
    """What the operator's desk answers, at the server that owns the folder or here."""
    import asyncio

    from core.config import secrets_of
    from core.data_folder import FolderFault, FolderInUse

    with faults_end_the_command(printer):
        settings = load_settings(path)
        set_up_logs(printer, secrets=secrets_of(settings))
        if settings.database.is_sqlite:
            database = settings.server.data_dir / "boltwork.db"
            if not database.exists():
                raise FolderFault(f"{database}: there is no database yet")
        try:
            return asyncio.run(_ask_desk(settings, order))
        except FolderInUse:
            return _ask_server(settings, order)
    raise AssertionError("a fault ends the command")


async def _ask_desk(config: "Config", order: Order) -> "Document":
    from core.app_operator import open_operator_desk
    from core.values.clock import SystemClock

    async with open_operator_desk(config, clock=SystemClock()) as desk:
        return await order.of_desk(desk)


def _ask_server(config: "Config", order: Order) -> "Document":
    """What the server on this folder answers. Raises FolderFault, Refused."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from core.data_folder import FolderFault, operator_token
    from core.values.errors import Refused

    token = operator_token(config.server.data_dir, config.operator.token.get_secret_value())
    address = f"http://{config.operator.listen}"
    request = Request(  # noqa: S310  # the operator's own server
        address + order.path,
        data=json.dumps(dict(order.body)).encode() if order.method == "POST" else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method=order.method,
    )
    try:
        with urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            document: dict[str, Any] = json.load(answer)
            return document
    except HTTPError as fault:
        with fault:
            raise Refused(json.load(fault).get("detail", str(fault))) from None
    except URLError as fault:
        raise FolderFault(
            f"a server owns {config.server.data_dir}, but does not answer at {address}"
            f" ({fault.reason}): is operator.listen that of the server?"
        ) from None


def _export_order(cursor: str) -> Order:
    query = urlencode({"cursor": cursor})
    path = f"/operator/ledger/export?{query}"
    return Order("GET", path, lambda desk: desk.export_ledger(cursor))


def _as_report(found: "Document") -> str:
    lines = [f"fault   {fault['rule']}: {fault['where']}" for fault in found["faults"]]
    holds = "unknown" if found["walletMsat"] is None else f"{found['walletMsat']} msat"
    lines += [
        f"owed    {found['owedMsat']} msat, of which {found['leavingMsat']} msat are leaving",
        f"wallet  {holds}; the books say {found['bookedMsat']} msat",
    ]
    if found["paused"]:
        lines.append(f"paused  {found['paused']}")
    return "\n".join(["The books are good." if found["isGood"] else "Not good:", *lines])


def _as_line(item: Mapping[str, Any]) -> str:
    where = item["destination"] or "no destination yet"
    frozen = f", frozen: {item['frozen']}" if item["frozen"] else ""
    return (
        f"{item['refundId']}  {item['state']:8}{item['amountMsat']:>12} msat"
        f"  {item['account']}  {where}{frozen}"
    )


def _as_csv(item: Mapping[str, Any]) -> str:
    """The lines of a transfer or of an action; what is text is quoted as CSV wants it."""
    if "action" in item:
        return _row(item["at"], "", item["action"], item["subject"], "", "", item["reason"])
    return "\n".join(
        _row(
            item["at"],
            item["transferId"],
            item["kind"],
            leg["account"],
            str(leg["amountMsat"]),
            item["ref"],
            item["reason"],
        )
        for leg in item["legs"]
    )


def _row(*cells: str) -> str:
    return ",".join(
        '"' + cell.replace('"', '""') + '"' if set(cell) & set('",\n') else cell for cell in cells
    )
