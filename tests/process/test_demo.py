"""The demo as its audience meets it: a process, what it shows, and what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 30


def environment(folder: Path) -> dict[str, str]:
    """Whatever the demo puts into a temporary folder goes here, so that leftovers show."""
    return {
        "PATH": os.environ["PATH"],
        "TERM": "xterm-256color",
        "TMPDIR": str(folder),
        "BOLTWORK_WALLET__KIND": "lnbits",  # the settings of a real server are not the demo's
    }


def play(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bots.demo", *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def is_answering(shown: str) -> bool:
    """Whether the server that the demo has named is still there."""
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+", shown)
    try:
        urllib.request.urlopen(f"{url}/healthz", timeout=LIMIT_S).close()
    except urllib.error.URLError:
        return False
    return True


def test_the_demo_plays_a_talk_to_its_result_and_leaves_nothing(tmp_path):
    done = play(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "play money" in done.stdout
    assert done.stdout.count("\nlnbcrt") == 2
    assert done.stdout.count("\n> pay\n") == 2
    assert "\nAdam, Mia, Zoe\n" in done.stdout
    assert "Paid:  32 sat (21 check, 11 work)" in done.stdout
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert not is_answering(done.stdout)


def test_a_request_that_is_rejected_has_no_result_and_says_why(tmp_path):
    done = play(tmp_path, "Write a poem")

    assert done.returncode == 1
    assert "The demo failed. The service said: I cannot do #" in done.stdout
    assert "It cannot invent a text." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_nothing_has_no_result_and_says_why(tmp_path):
    done = play(tmp_path, "")

    assert done.returncode == 1
    assert "The demo failed. There is nothing to ask for." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def watched(tmp_path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A demo that somebody watches in a terminal, and the terminal's side of it."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bots.demo"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    yield process, ours
    process.terminate()  # not kill: it has a server to take with it
    process.wait(LIMIT_S)
    os.close(ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_takes_its_server_with_it(watched, tmp_path, number):
    process, terminal = watched
    shown = b""
    while b"lnbcrt" not in shown:  # a person gets some seconds to look at an invoice
        shown += os.read(terminal, 65_536)

    process.send_signal(number)

    assert process.wait(LIMIT_S) == 1
    assert b"Traceback" not in os.read(terminal, 65_536)
    assert list(tmp_path.iterdir()) == []
    assert not is_answering(shown.decode())


def test_in_a_terminal_the_code_is_black_on_white(watched):
    _, terminal = watched
    shown = b""

    while b"lnbcrt" not in shown:
        shown += os.read(terminal, 65_536)

    white_on_black = b"\x1b[38;5;231;48;5;16m"  # what is drawn is light
    assert white_on_black + "█".encode() * 20 in shown


def test_in_a_terminal_the_audience_sees_what_is_typed(watched):
    _, terminal = watched
    shown = b""

    while b"lnbcrt" not in shown:
        shown += os.read(terminal, 65_536)

    assert b"> Sort these names: Zoe, Adam, Mia." in shown
