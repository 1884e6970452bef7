"""The README is true: its steps run as they stand, its transcript is what the demo prints."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import load

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 30
SAID_URL = "http://127.0.0.1:8402"

PAPERS = sorted(
    paper.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md")
    for paper in ROOT.glob(pattern)
)

# What differs from one demo to the next; a code of 31 lines is as good as another one.
VARIES = {
    r"http://127\.0\.0\.1:\d+": "URL",
    r"#[0-9A-HJKMNP-TV-Z]{4}\b": "#CODE",
    r"\d{4}-\d\d-\d\d, \d\d:\d\d UTC": "TIME",
    r"lnbcrt[0-9a-z]+": "INVOICE",
    r"(?: *[█▀▄][█▀▄ ]*\n){31}": "CODE\n",
    r"Took: +\d+\.\d s": "TOOK",
}


def blocks(paper: str, language: str) -> list[str]:
    """The code blocks of a paper that are marked as this language."""
    text = (ROOT / paper).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_chance(transcript: str) -> str:
    lines = [line.rstrip() for line in transcript.splitlines()]
    transcript = "\n".join(lines) + "\n"
    for pattern, word in VARIES.items():
        transcript = re.sub(pattern, word, transcript)
    return transcript


@pytest.fixture
def url(tmp_path) -> Iterator[str]:
    """A fresh server, as `make run` starts it, on a port that is free."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "boltwork.py", "serve", "--json"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
            "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.communicate(timeout=LIMIT_S)


def paste(steps: list[str], shell: str, url: str) -> str:
    """Run the steps in one shell; the first one that fails ends them."""
    script = "\n".join(["set -eu", *steps]).replace(SAID_URL, url)
    done = subprocess.run(
        [shell],
        input=script,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_six_steps_of_the_readme_lead_to_the_result(url, shell):
    steps = blocks("README.md", "sh")

    shown = paste(steps, shell, url)

    assert len(steps) == 6
    assert shown.endswith("Adam, Mia, Zoe\n")
    assert shown.count('"paid":true') == 2
    assert "event: job" in shown


def test_the_steps_of_the_api_paper_work(url):
    shown = paste(blocks("docs/api.md", "sh"), "bash", url)

    assert "Adam, Mia, Zoe" in shown


def test_the_transcript_in_the_readme_is_what_the_demo_prints(tmp_path):
    (told,) = blocks("README.md", "text")

    done = subprocess.run(
        [sys.executable, "-m", "bots.demo"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )

    assert without_chance(done.stdout) == without_chance(told)


def test_the_settings_in_the_readme_are_good(tmp_path):
    (settings,) = blocks("README.md", "toml")
    file = tmp_path / "boltwork.toml"
    file.write_text(settings)

    config = load(
        file, {"LNBITS_INVOICE_KEY": "key", "LNBITS_ADMIN_KEY": "key", "OPENAI_API_KEY": "key"}
    )

    assert (config.wallet.kind, config.agent.kind) == ("lnbits", "openai")


@pytest.mark.parametrize("paper", PAPERS)
def test_what_a_paper_points_at_is_there(paper):
    text = (ROOT / paper).read_text()

    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not ((ROOT / paper).parent / target).exists()] == []
