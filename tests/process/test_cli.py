"""The command line as its users meet it: real processes, their words and their exit codes."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CANARY = "canary4f9d2c77"
LIMIT_S = 30

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def boltwork(tmp_path) -> Run:
    """Run a command in an empty folder, with these variables."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment(variables),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "boltwork", *arguments]


def environment(variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}


def test_help_says_how_to_begin(boltwork):
    done = boltwork("--help")

    assert done.returncode == 0
    for words in ("boltwork serve", "boltwork check", "config.example.toml", "play money"):
        assert words in done.stdout


def test_help_imports_nothing_heavy():
    program = "import sys, boltwork; print([n for n in sys.argv[1:] if n in sys.modules])"
    heavy = ["asyncio", "pydantic", "structlog", "aiohttp", "openai", "telegram", "pynostr"]

    done = subprocess.run(
        [sys.executable, "-c", program, *heavy],
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_the_version_is_that_of_the_project(boltwork):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert boltwork("--version").stdout == f"boltwork {project['version']}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["sevre"], ["serve", "--cofnig", "x"], ["backup"], ["check", "extra"]]
)
def test_wrong_use_is_exit_code_2(boltwork, arguments):
    assert boltwork(*arguments).returncode == 2


def test_a_check_of_the_development_defaults_is_good_and_makes_nothing(boltwork, tmp_path):
    done = boltwork("check")

    assert done.returncode == 0, done.stderr
    assert "play money" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_check_in_json_is_one_object(boltwork):
    answer = json.loads(boltwork("check", "--json").stdout)

    assert answer["isGood"] is True
    about = [finding["about"] for finding in answer["findings"]]
    assert about == ["settings", "data folder", "database", "wallet", "model", "clock"]


@pytest.mark.parametrize("name", ["serve", "check"])
def test_all_faults_of_the_settings_are_told_at_once(boltwork, tmp_path, name):
    (tmp_path / "boltwork.toml").write_text('[server]\nlistn = "x"\n[jobs]\nattempts = 0\n')

    done = boltwork(name, BOLTWORK_WALET__KIND="stub", BOLTWORK_PRICING__MIN_SATS="no")

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "BOLTWORK_WALET__KIND: no such setting; did you mean BOLTWORK_WALLET__KIND?",
        "server.listn: no such key; did you mean listen?",
        "pricing.min_sats: must be a whole number (set by BOLTWORK_PRICING__MIN_SATS)",
        "jobs.attempts: must be at least 1 (it is 0)",
    ]


def test_faults_in_json_are_one_object(boltwork):
    done = boltwork("serve", "--json", BOLTWORK_JOBS__ATTEMPTS="0")

    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "isGood": False,
        "faults": [
            {
                "path": "jobs.attempts",
                "sentence": "must be at least 1 (it is 0) (set by BOLTWORK_JOBS__ATTEMPTS)",
            }
        ],
    }


@pytest.mark.parametrize(
    "variables",
    [
        {"BOLTWORK_SERVER__ENVIRONMENT": "production"},
        {"BOLTWORK_SERVER__LISTEN": "0.0.0.0:8402"},
        {"BOLTWORK_CONFIG": "missing.toml"},
    ],
)
def test_a_server_that_must_not_start_does_not(boltwork, tmp_path, variables):
    done = boltwork("serve", **variables)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_printed(boltwork):
    names = (
        "SERVER__SECRET",
        "WALLET__LNBITS__INVOICE_KEY",
        "WALLET__LNBITS__ADMIN_KEY",
        "AGENT__OPENAI__API_KEY",
        "TELEGRAM__TOKEN",
        "NOSTR__SECRET_KEY",
        "OPERATOR__TOKEN",
        "DATABASE__URL",
    )
    secrets = {f"BOLTWORK_{name}": CANARY for name in names}

    done = boltwork("check", "--json", **secrets)

    assert done.returncode == 1
    assert CANARY not in done.stdout + done.stderr


def test_a_wallet_that_does_not_answer_is_a_fault_with_advice(boltwork):
    done = boltwork(
        "check",
        "--json",
        BOLTWORK_WALLET__KIND="lnbits",
        BOLTWORK_WALLET__LNBITS__URL="http://127.0.0.1:1",
        BOLTWORK_WALLET__LNBITS__INVOICE_KEY=CANARY,
    )

    findings = {found["about"]: found for found in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert findings["wallet"]["state"] == "fault"
    assert "wallet.lnbits.url" in findings["wallet"]["sentence"]
    assert CANARY not in done.stdout + done.stderr


def test_a_backup_of_nothing_is_a_fault(boltwork, tmp_path):
    done = boltwork("backup", "copy.db")

    assert done.returncode == 1
    assert "no database yet" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_backup_of_a_postgresql_names_the_command_without_the_password(boltwork):
    done = boltwork(
        "backup", "a copy", "--json", BOLTWORK_DATABASE__URL=f"postgresql://me:{CANARY}@host/db"
    )

    assert done.returncode == 0
    assert json.loads(done.stdout)["command"] == (
        "pg_dump --format=custom --file='a copy' --dbname=postgresql://me@host/db"
    )


class Server:
    """A `boltwork serve` that has said where it listens."""

    def __init__(self, folder: Path, **variables: str) -> None:
        free_ports = {
            "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
            "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
        }
        self.process = subprocess.Popen(
            command("serve", "--json"),
            cwd=folder,
            env=environment(free_ports | variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.hello = json.loads(self.process.stdout.readline())

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"{self.hello['url']}{path}", timeout=LIMIT_S) as answer:
            return answer.status

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.hello["url"].removeprefix("http://").partition(":")
        return host, int(port)

    def hold_a_request(self) -> socket.socket:
        """A request that the server has begun to read and that never ends."""
        held = socket.create_connection(self.address, timeout=LIMIT_S)
        held.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
        )
        assert held.recv(100).startswith(b"HTTP/1.1 100")
        return held

    def wait_until_closed(self) -> None:
        """Until nobody listens any more."""
        ends_s = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_s:
            try:
                socket.create_connection(self.address, timeout=LIMIT_S).close()
            except OSError:
                return
        raise AssertionError("the server still listens")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and its log."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, log


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**variables: str) -> Server:
        servers.append(Server(tmp_path, **variables))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.communicate(timeout=LIMIT_S)


def test_a_server_says_where_it_listens_and_serves_there(serve):
    server = serve()

    assert server.hello["wallet"] == "stub"
    assert server.get("/healthz") == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_in_good_order(serve, number):
    code, log = serve().stop(number)

    assert code == 0
    assert "Traceback" not in log
    assert all(json.loads(line) for line in log.splitlines())


def test_a_request_that_never_ends_is_cut_when_the_grace_is_over(serve):
    server = serve(BOLTWORK_SERVER__SHUTDOWN_GRACE_S="1")

    with server.hold_a_request():
        code, log = server.stop()

    assert code == 0
    assert "Traceback" not in log


def test_a_second_signal_ends_a_server_at_once(serve):
    server = serve()

    with server.hold_a_request():
        server.process.terminate()
        server.wait_until_closed()
        code, _ = server.stop()

    assert code == -signal.SIGTERM


def test_the_log_of_a_server_whose_partners_are_down_holds_no_secret(serve):
    server = serve(
        BOLTWORK_WALLET__KIND="lnbits",
        BOLTWORK_WALLET__LNBITS__URL="http://127.0.0.1:1",
        BOLTWORK_WALLET__LNBITS__INVOICE_KEY=CANARY,
        BOLTWORK_WALLET__LNBITS__ADMIN_KEY=CANARY,
        BOLTWORK_AGENT__KIND="openai",
        BOLTWORK_AGENT__OPENAI__BASE_URL="http://127.0.0.1:1",
        BOLTWORK_AGENT__OPENAI__API_KEY=CANARY,
        BOLTWORK_OPERATOR__TOKEN=CANARY,
    )

    assert server.get("/healthz") == 200
    code, log = server.stop()

    assert code == 0
    assert log
    assert CANARY not in log + json.dumps(server.hello)


def test_a_server_makes_its_folder_for_its_owner_alone(serve, tmp_path):
    serve().stop()

    files = {file.name: file.stat().st_mode & 0o077 for file in (tmp_path / "data").iterdir()}
    assert {"boltwork.db", "secret.key", "operator-token", "lock"} <= files.keys()
    assert set(files.values()) == {0}


def test_a_second_server_on_the_same_folder_is_refused_and_told_why(serve, boltwork):
    first = serve()

    second = boltwork("serve", BOLTWORK_SERVER__LISTEN="127.0.0.1:0")

    assert second.returncode == 1
    assert f"process {first.process.pid}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.get("/healthz") == 200


def test_a_server_whose_address_is_taken_says_so(serve, boltwork):
    taken = serve().hello["url"].removeprefix("http://")

    second = boltwork("serve", BOLTWORK_SERVER__LISTEN=taken, BOLTWORK_SERVER__DATA_DIR="other")

    assert second.returncode == 1
    assert taken in second.stderr
    assert "Traceback" not in second.stderr


def test_another_secret_over_an_existing_database_stops_the_start(serve, boltwork):
    serve().stop()

    done = boltwork("serve", BOLTWORK_SERVER__SECRET="11" * 32)

    assert done.returncode == 1
    assert "secret.key" in done.stderr


def test_a_lost_secret_stops_the_start_and_leaves_no_new_one(serve, boltwork, tmp_path):
    serve().stop()
    secret = tmp_path / "data" / "secret.key"
    kept = secret.read_text()
    secret.unlink()

    done = boltwork("serve")

    assert done.returncode == 1
    assert "bring back the secret.key" in done.stderr
    assert not secret.exists()
    secret.write_text(kept)
    secret.chmod(0o600)
    assert serve().get("/healthz") == 200


def test_a_database_is_checked_and_copied_while_its_server_runs(serve, boltwork, tmp_path):
    server = serve()

    checked = boltwork("check", BOLTWORK_SERVER__LISTEN="127.0.0.1:0")
    copied = boltwork("backup", "copy.db")

    assert checked.returncode == 0, checked.stdout
    assert copied.returncode == 0
    assert "secret.key" in copied.stdout
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM schema_history").fetchone() > (0,)
    assert server.get("/healthz") == 200


def test_a_backup_does_not_overwrite(serve, boltwork, tmp_path):
    serve().stop()
    (tmp_path / "copy.db").write_text("precious")

    done = boltwork("backup", "copy.db")

    assert done.returncode == 1
    assert done.stderr == "copy.db: cannot be written (File exists)\n"
    assert (tmp_path / "copy.db").read_text() == "precious"
