"""Logging: one event and its fields a line, as JSON or for a terminal, and never a secret.

Every record, also those of libraries, passes `Redaction` after its traceback has become text.
It knows secrets by their value (those of the configuration), by the name of their field, and by
their look (bot tokens, bearer tokens, keys in addresses).
"""

import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog

Style = Literal["json", "terminal"]

HIDDEN: Final = "[hidden]"

_SECRET_NAME: Final = re.compile(
    r"(^|_)(token|secret|password|passwd|preimage|macaroon|authorization|nsec|api_?key|admin_?key"
    r"|invoice_?key|secret_?key|private_?key|prompt|request_text)$",
    re.IGNORECASE,
)
_SECRET_LOOK: Final = re.compile(
    r"(?<=bot)\d{6,}:[\w-]{20,}"  # Telegram puts the bot's token into every address
    r"|\b\d{8,}:[\w-]{30,}"
    r"|(?<=Bearer )[^\s\"',]+|(?<=L402 )[^\s\"',]+|(?<=LSAT )[^\s\"',]+"
    r"|(?<=/api/v1/ws/)[\w-]+"  # LNbits: the websocket's address ends with a wallet key
    r"|(?<=//)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|\bnsec1[02-9ac-hj-np-z]{58}\b"
    r"|\bsk-[\w-]{20,}"
    r"|\bAg[EI][\w+/-]{80,}={0,2}"  # a version 2 macaroon in base64
)

# They tell every request's address at INFO, and bodies at DEBUG.
_NOISY: Final = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "telegram", "aiohttp.access")
# It warns of a lost server with a traceback for each connection; the store says it in one line.
_VERBOSE: Final = ("asyncpg.pool",)


ERRORS_KEPT: Final = 10
ERROR_LENGTH: Final = 200
_NOT_IN_SHORT: Final = frozenset({"at", "event", "level", "logger", "exc_info", "exception"})


class Redaction:
    """The last processor before a record becomes text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # A short value would black out innocent words.
        values = sorted({secret for secret in secrets if len(secret) >= 8}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, values))) if values else None

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """The record without secrets."""
        return self._fields(event)

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        return _SECRET_LOOK.sub(HIDDEN, text)

    def _fields(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        return {self.text(str(name)): self._field(str(name), fields[name]) for name in fields}

    def _field(self, name: str, value: Any) -> Any:
        if _SECRET_NAME.search(name) and value:
            return HIDDEN
        return self._value(value)

    def _value(self, value: Any) -> Any:
        match value:
            case None | bool() | int() | float():
                return value
            case Mapping():
                return self._fields(value)
            case list() | tuple() | set() | frozenset():
                return [self._value(inner) for inner in value]
            case _:
                return self.text(str(value))


class LastErrors(logging.Handler):
    """Keeps the last errors of this process, each as one short line."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(logging.ERROR)
        self.setFormatter(formatter)
        self._lines: deque[str] = deque(maxlen=ERRORS_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self._lines.append(self.format(record)[:ERROR_LENGTH])

    def lines(self) -> Sequence[str]:
        """What is kept, oldest first."""
        return tuple(self._lines)


def set_up_logs(style: Style, *, secrets: Iterable[str], stream: TextIO) -> LastErrors:
    """Send every record of this process to `stream`, one line each, without secrets.

    Warnings and the traceback of a crash are records too. The last errors are kept as well.
    """
    redaction = Redaction(secrets)
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redaction,
                _renderer(style, stream),
            ],
        )
    )
    errors = LastErrors(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redaction,
                _in_short,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler, errors]
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    return errors


def _log_crash(
    kind: type[BaseException], fault: BaseException, trace: TracebackType | None
) -> None:
    """What nobody caught goes through the redaction too."""
    log = structlog.get_logger(__name__)
    log.critical("the process ends by a fault of its own", exc_info=(kind, fault, trace))


def _in_short(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """When and what, then the fields that say more; a traceback is for the log only."""
    fields = [f"{name}={event[name]}" for name in event if name not in _NOT_IN_SHORT]
    return " ".join([str(event.get("at", "")), str(event.get("event", "")), *fields])


def _renderer(style: Style, stream: TextIO) -> Callable[..., Any]:
    if style == "json":
        return structlog.processors.JSONRenderer(sort_keys=False)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="at")
