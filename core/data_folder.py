"""The data folder: who owns it now, and the two secrets that are made in it.

One process owns a folder with a SQLite database; the operating system's lock dies with the
process, so a crash leaves nothing to clean up. A secret is made once, complete or not at all, and
readable by its owner only.
"""

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.values.keys import SECRET_BYTES, parse_secret

_KEY_FILE = "secret.key"


class FolderFault(Exception):
    """The data folder cannot be used as it is; the sentence says what to do."""


class FolderInUse(FolderFault):
    """Another process owns the folder."""


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Own the folder until the block or the process ends. Raises FolderInUse, FolderFault."""
    _make(folder)
    file = _open_lock(folder)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"{folder} belongs to a running server{_owner(file)}: stop that one first, or give "
                "this one another server.data_dir"
            ) from None
        os.truncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


def known_secret(folder: Path, configured: str) -> bytes | None:
    """The configured secret, else that of the folder, or None where there is none.

    Raises FolderFault.
    """
    if configured:
        return parse_secret(configured)
    file = folder / _KEY_FILE
    return _parsed(file, _read(file)) if file.exists() else None


def make_secret(folder: Path) -> bytes:
    """The secret of the folder, made there unless another process was first. Raises FolderFault."""
    _make(folder)
    file = folder / _KEY_FILE
    fresh = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return _parsed(file, _read_or_make(file, fresh))


def forget_secret(folder: Path) -> None:
    """Take away a secret that was made just now and turned out to be of no use."""
    (folder / _KEY_FILE).unlink(missing_ok=True)


def operator_token(folder: Path, configured: str) -> str:
    """The operator's token: the configured one, else that of the folder, made there if absent.

    Raises FolderFault.
    """
    if configured:
        return configured
    _make(folder)
    file = folder / "operator-token"
    token = _read_or_make(file, secrets.token_urlsafe(SECRET_BYTES))
    if not token:
        raise FolderFault(f"{file} is empty: delete it, and a new one is made")
    return token


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FolderFault(f"{folder} cannot be made ({error.strerror})") from None


def _open_lock(folder: Path) -> int:
    try:
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FolderFault(f"{folder} cannot be written to ({error.strerror})") from None


def _owner(file: int) -> str:
    number = os.pread(file, 20, 0).decode("ascii", "replace").strip()
    return f" (process {number})" if number.isdigit() else ""


def _parsed(file: Path, text: str) -> bytes:
    try:
        return parse_secret(text)
    except ValueError as error:
        raise FolderFault(f"{file} {error}: bring back the file that belongs here") from None


def _read_or_make(file: Path, fresh: str) -> str:
    """What the file says; where there is none, `fresh` becomes what it says for ever."""
    try:
        if not file.exists():
            _write_once(file, fresh)
    except OSError as error:
        raise FolderFault(f"{file} cannot be read or made ({error})") from None
    return _read(file)


def _read(file: Path) -> str:
    try:
        if file.stat().st_mode & 0o077:
            raise FolderFault(f"{file} can be read by others: run `chmod 600 {file}`")
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FolderFault(f"{file} cannot be read or made ({error})") from None


def _write_once(file: Path, text: str) -> None:
    """Put a whole file in place unless there is one, whoever else tries it at this moment."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as writer:
            writer.write(f"{text}\n")
            writer.flush()
            os.fsync(writer.fileno())
        os.link(draft, file)  # unlike a rename, this fails where the file exists
    except FileExistsError:
        return
    finally:
        draft.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
