"""One owner at a time, and secrets that are made once and are nobody else's business."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.data_folder import (
    FolderFault,
    FolderInUse,
    known_secret,
    make_secret,
    operator_token,
    own_folder,
)

OWNER = """
import sys
from pathlib import Path
from core.data_folder import own_folder
with own_folder(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def owner(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_second_process_is_refused_and_told_who_owns_the_folder(tmp_path):
    with owner(tmp_path) as first:
        wanted = rf"process {first.pid}.*server\.data_dir"
        with pytest.raises(FolderInUse, match=wanted), own_folder(tmp_path):
            pass
        first.kill()


def test_the_folder_is_free_again_when_its_owner_was_killed(tmp_path):
    with owner(tmp_path) as first:
        first.kill()
        first.wait(timeout=10)

        with own_folder(tmp_path):
            pass


def test_an_owner_that_ends_leaves_the_folder_to_the_next(tmp_path):
    with own_folder(tmp_path / "new" / "folder"):
        pass

    with own_folder(tmp_path / "new" / "folder"):
        pass

    assert (tmp_path / "new" / "folder").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(FolderFault, match="cannot be made"),
        own_folder(tmp_path / "file" / "data"),
    ):
        pass


def test_a_secret_is_made_once_and_only_for_its_owner(tmp_path):
    first = make_secret(tmp_path)

    assert len(first) == 32
    assert make_secret(tmp_path) == first
    assert known_secret(tmp_path, "") == first
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["secret.key"]


def test_many_that_make_a_secret_at_once_get_the_same_one(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: make_secret(tmp_path), range(32)))

    assert len(made) == 1


def test_a_configured_secret_leaves_the_folder_alone(tmp_path):
    assert known_secret(tmp_path, "11" * 32) == b"\x11" * 32
    assert operator_token(tmp_path, "opens-the-door") == "opens-the-door"
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_others_can_read_is_refused_with_the_cure(tmp_path):
    make_secret(tmp_path)
    (tmp_path / "secret.key").chmod(0o640)

    with pytest.raises(FolderFault, match="chmod 600"):
        known_secret(tmp_path, "")


@pytest.mark.parametrize("content", ["", "half a sec", "\xff"])
def test_a_broken_secret_is_never_replaced(tmp_path, content):
    file = tmp_path / "secret.key"
    file.write_text(content, "latin-1")
    file.chmod(0o600)

    with pytest.raises(FolderFault, match=r"secret\.key"):
        known_secret(tmp_path, "")

    assert file.read_text("latin-1") == content


def test_the_operator_token_is_made_once(tmp_path):
    token = operator_token(tmp_path, "")

    assert len(token) >= 40
    assert operator_token(tmp_path, "") == token
    assert (tmp_path / "operator-token").stat().st_mode & 0o777 == 0o600


def test_an_empty_operator_token_is_a_fault(tmp_path):
    (tmp_path / "operator-token").touch(0o600)

    with pytest.raises(FolderFault, match="delete it"):
        operator_token(tmp_path, "")
