"""A real LNbits on its FakeWallet: no node and no network, but the real program.

LNbits pins other versions of what we use, so that it has an environment of its own, made once in
the project's folder: `.lnbits-<version>`. It wants Python 3.10 to 3.12.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parent.parent.parent
VERSIONS = ("1.5.6", "1.6.2")
BUYER_SATS = 1_000_000

_START_S = 120.0
_PASSWORD = "ci-password-1"
_PYTHONS = ("python3.12", "python3.11", "python3.10")


@dataclass(frozen=True)
class RealWallet:
    id: str
    invoice_key: str
    admin_key: str


@dataclass(frozen=True)
class RealLnbits:
    version: str
    url: str
    buyer: RealWallet

    def new_wallet(self, name: str = "shop") -> RealWallet:
        """A wallet that is still empty."""
        return _new_wallet(self.url, name)

    async def pay(self, bolt11: str) -> int:
        """The buyer pays; return the status of LNbits' answer: 201, or 520 where it refuses."""
        order = {"out": True, "bolt11": bolt11}
        headers = {"X-Api-Key": self.buyer.admin_key}
        address = f"{self.url}/api/v1/payments"
        async with (
            aiohttp.ClientSession() as session,
            session.post(address, json=order, headers=headers) as response,
        ):
            return response.status


@contextmanager
def real_lnbits(version: str, folder: Path) -> Iterator[RealLnbits]:
    """A fresh LNbits of this version that keeps its data in `folder`, stopped at the end."""
    environment = _environment(version)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log_path = folder / "lnbits.log"
    with log_path.open("wb") as log_file:
        # LNbits finds its own files only from its site-packages, and its `lnbits` command would
        # leave the server behind as an orphan (both measured, 1.5.6 and 1.6.2).
        process = subprocess.Popen(
            [
                environment / "bin" / "python",
                *("-m", "uvicorn", "lnbits.__main__:app"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=_site_packages(environment),
            env=_settings(folder),
            stdout=log_file,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_start(process, url, log_path)
        yield RealLnbits(version, url, _set_up(url))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(folder: Path) -> dict[str, str]:
    # 1.5.6 does not start without this folder.
    (folder / "extensions").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet",
        "FAKE_WALLET_SECRET": "ci",
        "LNBITS_DATA_FOLDER": str(folder),
        "LNBITS_EXTENSIONS_PATH": str(folder),
        "LNBITS_EXTENSIONS_DEFAULT_INSTALL": "",
        "LNBITS_EXTENSIONS_MANIFESTS": "",
        "LNBITS_ADMIN_UI": "true",
        "LNBITS_RATE_LIMIT_NO": "100000",
        # Without these it asks exchanges for the price of each payment, which takes seconds where
        # there is no network.
        "LNBITS_PRICE_AGGREGATOR_ENABLED": "false",
        "LNBITS_EXCHANGE_RATE_PROVIDERS": "[]",
        "AUTH_ALLOWED_METHODS": "user-id-only,username-password",
        "AUTH_SECRET_KEY": "ci",
    }


def _set_up(url: str) -> RealWallet:
    """Take the first-install page, and give a buyer money."""
    first = {"username": "root0", "password": _PASSWORD, "password_repeat": _PASSWORD}
    token = _call("PUT", f"{url}/api/v1/auth/first_install", first)["access_token"]
    buyer = _new_wallet(url, "buyer")
    credit = {"id": buyer.id, "amount": BUYER_SATS}
    _call("PUT", f"{url}/users/api/v1/balance", credit, {"Authorization": f"Bearer {token}"})
    return buyer


def _new_wallet(url: str, name: str) -> RealWallet:
    made = _call("POST", f"{url}/api/v1/account", {"name": name})
    return RealWallet(made["id"], made["inkey"], made["adminkey"])


def _await_start(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"LNbits did not start:\n{log_path.read_text()[-4000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _call(method: str, url: str, body: object, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        url,
        method=method,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _environment(version: str) -> Path:
    """The environment that holds this version, made now if it was not made before."""
    folder = ROOT / f".lnbits-{version}"
    folder.mkdir(exist_ok=True)
    with (folder / "making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        done = folder / "done"
        if not done.exists():
            _make_environment(folder, f"lnbits=={version}")
            done.touch()
    return folder


def _make_environment(folder: Path, requirement: str) -> None:
    # bitstring 5 has lost a class that the BOLT11 package of LNbits imports.
    packages = [requirement, "bitstring<5"]
    python = _python()
    uv = shutil.which("uv")
    if uv is not None:
        _run(uv, "venv", "--quiet", "--allow-existing", "--python", python, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), *packages)
    else:
        _run(python, "-m", "venv", str(folder))
        _run(str(folder / "bin" / "pip"), "install", "--quiet", *packages)


def _python() -> str:
    if (3, 10) <= sys.version_info[:2] <= (3, 12):
        return sys.executable
    for name in _PYTHONS:
        if (found := shutil.which(name)) is not None:
            return found
    raise RuntimeError("LNbits needs Python 3.10, 3.11 or 3.12, and none of them is on the PATH.")


def _site_packages(environment: Path) -> str:
    question = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return _run(str(environment / "bin" / "python"), "-c", question).strip()


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
