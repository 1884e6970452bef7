"""What all commands of `boltwork` share: how they are asked, how they answer, how they fail."""
# ruff: noqa: PLC0415

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.config import Config
    from core.logs import LastErrors, Style

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The settings. Otherwise BOLTWORK_CONFIG, ./boltwork.toml, or development defaults.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON object (serve: log JSON too).")
]


@dataclass(frozen=True, slots=True)
class Printer:
    """Says the same thing to a person or to a program."""

    is_json: bool

    def answer(self, text: str, **document: Any) -> None:
        """Answer on standard output."""
        typer.echo(json.dumps(document) if self.is_json else text)

    def fault(self, *faults: tuple[str, str]) -> None:
        """Say what is wrong, each with its place, where it has one."""
        if self.is_json:
            wrong = [{"path": path, "sentence": sentence} for path, sentence in faults]
            typer.echo(json.dumps({"isGood": False, "faults": wrong}))
            return
        for path, sentence in faults:
            typer.echo(f"{path}: {sentence}" if path else sentence, err=True)


@contextmanager
def faults_end_the_command(printer: Printer) -> Iterator[None]:
    """Whatever is the operator's to cure is one line and exit code 1, never a traceback."""
    from core.config import ConfigFaults
    from core.data_folder import FolderFault
    from core.store.migrate import SchemaRefused
    from core.values.errors import Refused, Unavailable

    try:
        yield
    except ConfigFaults as found:
        printer.fault(*((fault.path, fault.sentence) for fault in found.faults))
    except (FolderFault, SchemaRefused, Unavailable, Refused) as fault:
        printer.fault(("", str(fault)))
    else:
        return
    raise typer.Exit(1)


def load_settings(path: Path | None) -> "Config":
    """The settings in this file, with what the environment says on top. Raises ConfigFaults."""
    from core.config import load

    return load(path, os.environ)


def set_up_logs(printer: Printer, *, secrets: Iterable[str]) -> "LastErrors":
    """Send the log to standard error; JSON, unless a person looks at it."""
    from core import logs

    is_for_programs = printer.is_json or not sys.stderr.isatty()
    style: Style = "json" if is_for_programs else "terminal"
    return logs.set_up_logs(style, secrets=secrets, stream=sys.stderr)
