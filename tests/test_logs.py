"""No secret reaches the log, whoever writes it and in whatever shape."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from core.logs import HIDDEN, Redaction, set_up_logs

CANARY = "canary-4f9d2c77"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level, hook = root.handlers[:], root.level, sys.excepthook
    stream = io.StringIO()
    set_up_logs("json", secrets=[CANARY], stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    sys.excepthook = hook
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_a_line_is_json_with_event_level_logger_and_time(stream):
    structlog.get_logger("core.books").info("invoice settled", amount_msat=21_000)

    line = json.loads(stream.getvalue())

    assert line["event"] == "invoice settled"
    assert line["level"] == "info"
    assert line["logger"] == "core.books"
    assert line["amount_msat"] == 21_000
    assert line["at"].endswith("Z")


def test_a_configured_secret_is_hidden_wherever_it_stands(stream):
    log = structlog.get_logger("x")

    log.warning("refused %s", CANARY, url=f"http://h/{CANARY}", deep={"a": [f"<{CANARY}>"]})
    log.warning("by key", **{CANARY: 1})
    logging.getLogger("library").warning("plain %s", CANARY)

    assert CANARY not in stream.getvalue()
    assert stream.getvalue().count(HIDDEN) == 5


def test_a_secret_in_a_traceback_is_hidden(stream):
    try:
        int(CANARY)
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("library").exception("failed")

    assert "ValueError" in stream.getvalue()
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    "name",
    ["token", "preimage", "api_key", "invoice_key", "Authorization", "macaroon", "job_token"],
)
def test_a_field_that_is_named_like_a_secret_is_hidden(name):
    hidden = Redaction([])(None, "info", {name: "whatever", "inner": {name: "whatever"}})

    assert hidden == {name: HIDDEN, "inner": {name: HIDDEN}}


@pytest.mark.parametrize("name", ["input_tokens", "token_id", "payment_hash", "job"])
def test_a_field_that_only_sounds_like_a_secret_is_shown(name):
    assert Redaction([])(None, "info", {name: "ab12"}) == {name: "ab12"}


@pytest.mark.parametrize(
    "text",
    [
        "GET https://api.telegram.org/bot{}/getMe".format(
            "123456789:AAE-abcdefghijklmnopqrstuvwxyz0123"
        ),
        "Authorization: Bearer AgEJbG9jYWxob3N0AiAxMjM0NTY3ODkw",
        'header "L402 AgEJbG9jYWxob3N0:00112233445566778899aabbccddeeff"',
        "ws://lnbits/api/v1/ws/0123456789abcdef0123456789abcdef",
        "postgresql://boltwork:hunter22@db/boltwork",
        "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
        "key sk-abcdefghijklmnopqrstuvwx",
    ],
)
def test_a_text_that_looks_like_a_secret_is_hidden(text):
    shown = Redaction([]).text(text)

    assert HIDDEN in shown
    for secret in ("AAE-abc", "AgEJ", "0011", "0123456789abcdef", "hunter22", "nsec1", "sk-abc"):
        assert secret not in shown


def test_ordinary_text_is_left_alone():
    text = "job job_0123456789ABCDEFGHJKMNPQRS took 12:30, see http://127.0.0.1:8402/docs"

    assert Redaction([]).text(text) == text


def test_libraries_that_tell_addresses_are_quiet(stream):
    logging.getLogger("httpx").info("HTTP Request: POST https://api.telegram.org/bot1:x/getMe")

    assert stream.getvalue() == ""


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has set up its logs for a terminal."""
    start = (
        "import sys, warnings, structlog\n"
        "from core.logs import set_up_logs\n"
        f"set_up_logs('terminal', secrets=['{CANARY}'], stream=sys.stderr)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", start + program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_on_a_terminal_a_line_is_for_people():
    done = run(f"structlog.get_logger('core.app').info('ready', key2='{CANARY}', jobs=3)")

    assert "ready" in done.stderr
    assert "jobs=3" in done.stderr
    assert CANARY not in done.stderr


def test_a_crash_and_a_warning_are_records_without_secrets():
    done = run(f"warnings.warn('{CANARY}')\nraise ValueError('{CANARY}')")

    assert done.returncode == 1
    assert "UserWarning" in done.stderr
    assert "ValueError" in done.stderr
    assert CANARY not in done.stderr


def test_the_last_errors_are_kept_as_short_lines_without_secrets(stream):
    errors = set_up_logs("json", secrets=[CANARY], stream=stream)
    log = structlog.get_logger("core.books")

    log.warning("a warning")
    log.error("the disk is full", reason=f"no room for {CANARY}")
    logging.getLogger("library").error("failed", exc_info=ValueError(CANARY))

    kept = [line.partition(" ")[2] for line in errors.lines()]
    assert kept == [f"the disk is full reason=no room for {HIDDEN}", "failed"]


def test_only_the_last_errors_are_kept(stream):
    errors = set_up_logs("json", secrets=[], stream=stream)

    for number in range(30):
        structlog.get_logger("core.books").error(f"error {number}")

    assert [line.rpartition(" ")[2] for line in errors.lines()] == [str(n) for n in range(20, 30)]
