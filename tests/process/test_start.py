"""What `serve` refuses to start with, in words that say what to do."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.server import LIMIT_S, Program, command, environment


def refusal(folder: Path, **variables: str) -> str:
    """What it says when it does not start."""
    done = subprocess.run(
        command("serve"),
        cwd=folder,
        env=environment({"BOLTWORK_SERVER__LISTEN": "127.0.0.1:0", **variables}),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, "one fault is one line"
    return done.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"BOLTWORK_SERVER__ENVIRONMENT": "production"},
            ["wallet.kind", 'server.environment = "development"'],
        ),
        (
            {"BOLTWORK_SERVER__LISTEN": "0.0.0.0:8402"},
            ["server.listen", "loopback", "127.0.0.1"],
        ),
        ({"BOLTWORK_SERVER__LISTEN": "[::]:8402"}, ["server.listen", "loopback"]),
        ({"BOLTWORK_JOBS__DEADLINE": "5"}, ["BOLTWORK_JOBS__DEADLINE_S"]),
        ({"BOLTWORK_JOBS__ATTEMPTS": "many"}, ["jobs.attempts", "whole number"]),
        ({"BOLTWORK_JOBS__ATTEMPTS": "-1"}, ["jobs.attempts", "at least 1"]),
        ({"BOLTWORK_WALLET__KIND": "gold"}, ["wallet.kind", "stub", "lnbits"]),
        ({"BOLTWORK_DATABASE__URL": "mysql://x"}, ["database.url", "postgresql://"]),
        ({"BOLTWORK_SERVER__SECRET": "short"}, ["server.secret", "32 bytes"]),
        (
            {"BOLTWORK_OPERATOR__TOKEN": "env:NOT_SET"},
            ["operator.token", "NOT_SET", "not set"],
        ),
        ({"BOLTWORK_CONFIG": "nowhere.toml"}, ["nowhere.toml", "cannot be read"]),
    ],
)
def test_wrong_settings_stop_the_start(
    tmp_path: Path, variables: dict[str, str], words: list[str]
) -> None:
    said = refusal(tmp_path, **variables)

    assert [word for word in words if word not in said] == []
    assert list(tmp_path.iterdir()) == [], "nothing is made"


def test_an_unknown_key_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "boltwork.toml").write_text('[server]\nlisten_at = "127.0.0.1:0"\n')

    said = refusal(tmp_path)

    assert "server.listen_at: no such key; did you mean listen?" in said


async def test_a_second_process_on_the_folder_is_refused_and_told_why(
    tmp_path: Path,
) -> None:
    async with Program(tmp_path) as program:
        said = refusal(tmp_path, BOLTWORK_SERVER__DATA_DIR=str(tmp_path))

        assert f"process {program.pid}" in said
        assert "server.data_dir" in said
        assert await program.is_ready()


async def test_the_lock_dies_with_the_process(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        await program.restart()

        assert await program.is_ready()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        await program.stop()
    with closing(sqlite3.connect(tmp_path / "boltwork.db")) as database, database:
        database.execute("INSERT INTO schema_history VALUES (9999, 'from_the_future', 'x', 0)")

    said = refusal(tmp_path, BOLTWORK_SERVER__DATA_DIR=str(tmp_path))

    assert "newer" in said


async def test_another_secret_is_refused(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        await program.stop()

    said = refusal(
        tmp_path, BOLTWORK_SERVER__DATA_DIR=str(tmp_path), BOLTWORK_SERVER__SECRET="11" * 32
    )

    assert "secret.key" in said
    assert "server.secret" in said


async def test_a_lost_secret_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        await program.stop()
    (tmp_path / "secret.key").unlink()

    said = refusal(tmp_path, BOLTWORK_SERVER__DATA_DIR=str(tmp_path))

    assert "secret.key" in said
