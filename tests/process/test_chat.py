"""`boltwork chat` as people and scripts meet it, beside a server and without one."""

import asyncio
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.process.server import LIMIT_S, Program, command, environment

REQUEST = "Sort these names: Zoe, Adam, Mia."


def settings(folder: Path, **variables: str) -> dict[str, str]:
    return environment(
        {
            "BOLTWORK_SERVER__DATA_DIR": str(folder),
            "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
            "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:9",  # nobody listens there
            **variables,
        }
    )


def beside(program: Program, **variables: str) -> dict[str, str]:
    listen = program.operator_url.removeprefix("http://")
    own = {"BOLTWORK_OPERATOR__LISTEN": listen, **variables}
    return environment({**program.variables, **own})


async def talk(env: dict[str, str], *lines: str) -> tuple[int, str, str]:
    """What comes of these lines in a pipe."""
    process = await asyncio.create_subprocess_exec(
        *command("chat", "--as", "anna"),
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate("".join(f"{line}\n" for line in lines).encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_script_reads_its_result_without_a_server(tmp_path):
    code, shown, log = await talk(settings(tmp_path / "data"), REQUEST, "pay", "pay")

    assert (code, log) == (0, "")
    assert "Adam, Mia, Zoe" in shown
    assert "done · 32 sat" in shown


async def test_a_script_reads_its_result_from_a_server(tmp_path):
    async with Program(tmp_path) as program:
        code, shown, log = await talk(beside(program), REQUEST, "pay", "pay")

    assert (code, log) == (0, "")
    assert "Adam, Mia, Zoe" in shown
    assert "done · 32 sat" in shown


async def test_on_postgresql_a_talk_goes_on_without_the_server(postgres_database):
    async with Program(postgres_database.data_dir, postgres_database.url) as program:
        env = beside(program)
        _, first, _ = await talk(env, REQUEST, "pay")
        await program.stop()

        code, second, log = await talk(env, "pay")

    assert "Price: 11 sat" in first
    assert (code, log) == (0, "")
    assert "Adam, Mia, Zoe" in second


@pytest.mark.parametrize("has_server", [True, False], ids=["a server", "no server"])
async def test_after_a_crash_the_talk_goes_on_where_it_was(tmp_path, has_server):
    async with Program(tmp_path) as program:
        env = beside(program)
        if not has_server:
            program.kill()
        await talk(env, REQUEST, "pay")
        process = await asyncio.create_subprocess_exec(
            *command("chat", "--as", "anna"), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readuntil(b"Price: 11 sat")

        if has_server:
            program.kill()
        process.kill()
        await process.wait()
        if has_server:
            await program.start()
            env = beside(program)
        code, shown, _ = await talk(env, "pay")

    assert code == 0
    assert shown.index("Price: 11 sat") < shown.index("Paid 11 sat")
    assert "Adam, Mia, Zoe" in shown


async def test_a_server_that_ends_says_goodbye(tmp_path):
    async with Program(tmp_path) as program:
        process = await asyncio.create_subprocess_exec(
            *command("chat"),
            env=beside(program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readuntil(b"Just write.")

        await program.stop()
        async with asyncio.timeout(LIMIT_S):
            _, log = await process.communicate()

    assert process.returncode == 1
    assert b"The server has gone. Nothing is lost" in log
    assert "Traceback" not in program.log()


async def test_a_folder_whose_server_listens_elsewhere_is_told_plainly(tmp_path):
    async with Program(tmp_path) as program:
        env = beside(program, BOLTWORK_OPERATOR__LISTEN="127.0.0.1:9")
        code, shown, log = await talk(env, REQUEST)

    assert (code, shown) == (1, "")
    assert log.startswith("No server answers at http://127.0.0.1:9")


async def test_nobody_talks_without_the_operators_token(tmp_path):
    async with Program(tmp_path) as program:
        code, _, log = await talk(beside(program, BOLTWORK_OPERATOR__TOKEN="of-another"), REQUEST)
        answer = await program.ask("GET", "/operator/chat", url=program.operator_url)
        outside = await program.get("/operator/chat")

    assert (code, answer.status, outside.status) == (1, 401, 404)
    assert "refuses us (401)" in log


async def test_a_call_that_is_no_websocket_is_refused(tmp_path):
    async with Program(tmp_path) as program:
        token = (tmp_path / "operator-token").read_text().strip()
        answer = await program.ask(
            "GET",
            "/operator/chat",
            url=program.operator_url,
            headers={"Authorization": f"Bearer {token}"},
        )

    assert answer.status == 400


async def test_a_terminal_that_vanishes_frees_its_place(tmp_path):
    async with Program(tmp_path) as program, aiohttp.ClientSession() as session:
        token = (tmp_path / "operator-token").read_text().strip()
        url = f"{program.operator_url}/operator/chat?who=anna&typed=1"
        async with session.ws_connect(url, headers={"Authorization": f"Bearer {token}"}) as socket:
            await socket.receive_str(timeout=LIMIT_S)

        code, shown, _ = await talk(beside(program), "/balance")

    assert code == 0
    assert "Balance: 0 sat" in shown


class Watched:
    """A chat in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.shown = b""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command("chat"),
            env=settings(folder, TERM="xterm-256color"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, wanted: str) -> None:
        while wanted.encode() not in self.shown:
            self.shown += os.read(self._ours, 65_536)

    def rest(self) -> bytes:
        try:
            while more := os.read(self._ours, 65_536):
                self.shown += more
        except OSError:  # what Linux says where the other side is closed
            pass
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)
        os.close(self._ours)


@pytest.fixture
def watched(tmp_path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "data")
    yield watched
    watched.close()


def test_a_person_types_pays_and_leaves_with_ctrl_d(watched):
    watched.until("Just write.")
    watched.type(f"{REQUEST}\n")
    watched.until("Pay once")
    watched.type("pay\n")
    watched.until("No thanks")
    watched.type("pay\n")
    watched.until("done")
    watched.type("\x04")

    assert watched.process.wait(LIMIT_S) == 0
    assert b"Adam, Mia, Zoe" in watched.shown
    assert b"\x1b[38;5;231;48;5;16m" in watched.shown  # the code is black on white
    assert b"Traceback" not in watched.rest()


def test_ctrl_c_ends_the_talk_too(watched):
    watched.until("Just write.")

    watched.process.send_signal(signal.SIGINT)

    assert watched.process.wait(LIMIT_S) == 0
    assert b"Traceback" not in watched.rest()
