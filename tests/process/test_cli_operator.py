"""The operator's commands as operators meet them: with a server that runs, and without one."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 30
FILLED_MSAT = 100_000
REFUND = "rfd_" + "0" * 26


class Shop:
    """A folder with a server's data, on addresses of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.operator_url = f"http://127.0.0.1:{_free_port()}"
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "boltwork", *arguments],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def json(self, *arguments: str) -> dict:
        return json.loads(self.run(*arguments, "--json").stdout)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "boltwork", "serve", "--json"],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=LIMIT_S)
            self.process = None

    def post(self, path: str, body: dict) -> tuple[int, dict]:
        return _answer(f"{self.url}{path}", json.dumps(body).encode())

    def get(self, path: str, token: str) -> dict:
        return _answer(f"{self.url}{path}", Authorization=f"Bearer {token}")[1]

    def break_books(self) -> None:
        with closing(sqlite3.connect(self.folder / "data" / "boltwork.db")) as database:
            database.execute("UPDATE accounts SET balance_msat = balance_msat + 1")
            database.commit()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
            "BOLTWORK_OPERATOR__LISTEN": self.operator_url.removeprefix("http://"),
        }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _answer(url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code, json.load(fault)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.start()
    yield shop
    shop.stop()


@pytest.fixture(params=["a server runs", "no server runs"])
def used(shop, request):
    """A shop where a session was filled with 100 sats."""
    status, opened = shop.post("/sessions", {"amountSats": 100})
    assert status == 201
    shop.post(f"/dev/stub/pay/{opened['depositInvoice']['paymentHash']}", {})
    ends_s = time.monotonic() + LIMIT_S
    while shop.get("/sessions/me", opened["macaroon"])["balanceMsat"] != FILLED_MSAT:
        assert time.monotonic() < ends_s
    if request.param == "no server runs":
        shop.stop()
    return shop


def test_honest_books_are_good(used):
    done = used.run("ledger", "check")
    found = used.json("ledger", "check")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The books are good." in done.stdout
    assert found["isGood"] is True
    assert {found[name] for name in ("owedMsat", "walletMsat", "bookedMsat")} == {FILLED_MSAT}


def test_books_that_were_altered_are_a_fault(used):
    used.break_books()

    done = used.run("ledger", "check", "--json")

    assert done.returncode == 1
    rules = [fault["rule"] for fault in json.loads(done.stdout)["faults"]]
    assert "a balance is the sum of its entries" in rules


def test_a_wallet_that_holds_too_little_is_a_fault(used):
    with closing(sqlite3.connect(used.folder / "data" / "stub-wallet.db")) as journal:
        journal.execute("DELETE FROM settlements")
        journal.commit()

    done = used.run("ledger", "check")

    assert done.returncode == 1
    assert f"0 of {FILLED_MSAT} msat" in done.stdout


def test_the_export_has_all_transfers_and_what_the_operator_did(used):
    assert used.run("pause", "--reason", "a new, larger disk").returncode == 0

    lines = [
        json.loads(line) for line in used.run("ledger", "export", "--json").stdout.split("\n")[:-1]
    ]
    table = used.run("ledger", "export").stdout

    transfers = [line for line in lines if "transferId" in line]
    assert transfers
    assert all(sum(leg["amountMsat"] for leg in one["legs"]) == 0 for one in transfers)
    assert [line["reason"] for line in lines if "action" in line] == ["a new, larger disk"]
    assert table.startswith("at,transfer,kind,account,amountMsat,ref,reason\n")
    assert '"a new, larger disk"' in table


def test_refunds_are_listed(used):
    assert used.json("refunds", "list") == {"items": []}
    assert used.run("refunds", "list").stdout == "Nothing is owed back.\n"


@pytest.mark.parametrize("command", [["retry", REFUND], ["credit", REFUND, "ses_" + "0" * 26]])
def test_a_refund_that_is_not_there_is_a_fault(used, command):
    done = used.run("refunds", *command, "--reason", "x")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "nothing here" in done.stderr or "no such session" in done.stderr


def test_a_decision_needs_a_reason(used):
    assert used.run("refunds", "retry", REFUND).returncode == 2
    assert used.run("pause").returncode == 2
    assert used.run("pause", "--reason", " ").returncode == 1


def test_a_pause_stops_orders_until_resume_and_outlives_a_restart(shop):
    assert shop.run("pause", "--reason", "a new disk").returncode == 0
    status, problem = shop.post("/jobs", {"request": "x"})
    assert (status, problem["code"]) == (503, "paused")

    shop.stop()
    shop.start()

    assert shop.post("/jobs", {"request": "x"})[0] == 503
    assert shop.run("resume").stdout == "Money is taken again.\n"
    assert shop.post("/jobs", {"request": "x"})[0] == 201


def test_a_pause_that_was_made_without_a_server_is_heeded_by_the_next(shop):
    shop.stop()
    assert shop.json("pause", "--reason", "moving house")["paused"] is True

    shop.start()

    assert shop.post("/jobs", {"request": "x"})[1]["code"] == "paused"
    assert shop.json("ledger", "check")["paused"] == "moving house"


def test_nobody_without_the_token_commands_a_server(shop):
    url = f"{shop.operator_url}/operator"

    for path, body in (("/refunds", None), ("/ledger/check", None), ("/pause", b'{"reason":"x"}')):
        assert _answer(f"{url}{path}", body)[0] == 401
        assert _answer(f"{url}{path}", body, Authorization="Bearer wrong")[0] == 401
    assert shop.post("/jobs", {"request": "x"})[0] == 201


def test_the_commands_are_not_on_the_public_door(shop):
    assert _answer(f"{shop.url}/operator/refunds")[0] == 404


def test_a_folder_without_a_database_is_a_fault(tmp_path):
    done = Shop(tmp_path).run("ledger", "check")

    assert done.returncode == 1
    assert "no database yet" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_listens_elsewhere_is_a_fault_with_advice(shop):
    shop.operator_url = f"http://127.0.0.1:{_free_port()}"

    done = shop.run("refunds", "list")

    assert done.returncode == 1
    assert "operator.listen" in done.stderr
