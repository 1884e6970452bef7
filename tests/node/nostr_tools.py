"""People on Nostr who use nostr-tools under Node: an implementation that shares nothing with ours.

Node and npm have to be there; nostr-tools is installed once in the project's folder, as
`.nostr-tools-<version>`, without running any script of its packages.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bots.nip01 import Signer

VERSION = "2.25.2"
WS_VERSION = "8.18.3"

_FOLDER = Path(__file__).parent.parent.parent / f".nostr-tools-{VERSION}"
_SCRIPT = Path(__file__).parent / "nostr_person.mjs"
_INSTALL_S = 300
_ANSWER_S = 20.0
_LINE_BYTES_MAX = 2**22


@dataclass
class Person:
    """Does one thing after the other; raises AssertionError with nostr-tools' own words."""

    process: asyncio.subprocess.Process

    async def do(self, what: str, **more: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")
        async with asyncio.timeout(_ANSWER_S):
            answer = json.loads(await self.process.stdout.readline())
        assert "answer" in answer, answer["fault"]
        return answer["answer"]


def install() -> Path:
    """The folder with nostr-tools."""
    npm = shutil.which("npm")
    assert npm is not None, "these tests need Node and npm (Debian: nodejs, npm)"
    if not (_FOLDER / ".ready").exists():
        _FOLDER.mkdir(exist_ok=True)
        packages = [f"nostr-tools@{VERSION}", f"ws@{WS_VERSION}"]
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
        subprocess.run(
            [npm, "install", *options, *packages], cwd=_FOLDER, check=True, timeout=_INSTALL_S
        )
        (_FOLDER / ".ready").touch()
    return _FOLDER


@asynccontextmanager
async def person_of(signer: Signer) -> AsyncIterator[Person]:
    """Somebody with this key."""
    folder = install()
    script = folder / "nostr_person.mjs"  # where Node finds the packages
    script.write_text(_SCRIPT.read_text())
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node,
        script,
        signer.secret.hex(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    try:
        yield Person(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
