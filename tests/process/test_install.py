"""The program as somebody gets it who installs it, far from the source: nothing may be missing."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 60


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )


def build(source: Path, *, target: str, into: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    (built,) = into.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from the source distribution, as an index would serve it."""
    folder = tmp_path_factory.mktemp("build")
    with tarfile.open(build(ROOT, target="sdist", into=folder)) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return build(unpacked, target="wheel", into=folder)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of the programs of an environment with the wheel and our dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--no-index", "--no-deps")
    run(*pip, wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Not processed as a folder of packages is, so an editable install in there stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was started from the installed program in an empty folder."""

    folder: Path
    url: str

    def get(self, path: str) -> tuple[int, bytes]:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=LIMIT_S) as answer:
            return answer.status, answer.read()

    def wait_until_ready(self) -> None:
        ends_s = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_s:
            try:
                self.get("/readyz")
            except urllib.error.HTTPError:
                continue
            return
        raise AssertionError("the server is not ready")

    def order(self, request: str) -> dict[str, str]:
        body = json.dumps({"request": request}).encode()
        headers = {"Content-Type": "application/json"}
        ordered = urllib.request.Request(f"{self.url}/jobs", body, headers)
        with urllib.request.urlopen(ordered, timeout=LIMIT_S) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def server(installed, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("empty")
    process = subprocess.Popen(
        [installed / "boltwork", "serve", "--json"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
            "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    started = Server(folder, json.loads(process.stdout.readline())["url"])
    started.wait_until_ready()
    yield started
    process.terminate()
    process.communicate(timeout=LIMIT_S)


def test_the_wheel_holds_every_file_of_the_program(wheel):
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    folders = [ROOT / name for name in ("core", "api", "bots")]
    ours = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    ours = {file for file in ours if file.suffix != ".pyc"} | set(ROOT.glob("boltwork*.py"))
    assert packed == {file.relative_to(ROOT).as_posix() for file in ours}


def test_the_wheel_holds_our_licence_and_those_of_what_it_brings(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    licences = {name.partition(".dist-info/licenses/")[2] for name in names}
    assert {"LICENSE", "api/static/swagger-ui/LICENSE"} <= licences


def test_the_general_names_are_those_that_were_installed(installed, tmp_path):
    program = "import core, api, bots, boltwork; print(*{m.__file__ for m in (core, api, bots)})"

    files = run(installed / "python", "-c", program, cwd=tmp_path).stdout.split()

    assert len(files) == 3
    assert all(Path(file).is_relative_to(installed.parent) for file in files)


def test_an_installed_server_is_ready_and_brings_its_migrations(server):
    assert server.order("Sort these names: Zoe, Adam, Mia.")["state"] == "awaiting_eval_payment"
    assert {path.name for path in server.folder.iterdir()} == {"data"}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", b"Boltwork"),
        ("/docs", b"swagger-ui-bundle.js"),
        ("/docs/swagger-ui-bundle.js", b"SwaggerUIBundle"),
        ("/docs/swagger-ui.css", b".swagger-ui"),
        ("/docs/docs.js", b"openapi.json"),
        ("/docs/errors", b"not_found"),
        ("/openapi.json", b'"openapi":"3.1'),
    ],
)
def test_an_installed_server_brings_its_pages(server, path, content):
    status, body = server.get(path)

    assert status == 200
    assert content in body


def test_the_installed_demo_plays_to_its_end(installed, tmp_path):
    assert "Adam, Mia, Zoe" in run(installed / "python", "-m", "bots.demo", cwd=tmp_path).stdout
