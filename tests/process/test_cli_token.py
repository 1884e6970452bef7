"""`boltwork token attenuate`: a weaker token made offline, which the server then holds to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.values.tokens import Identifier, TokenKeys, attenuate, mint, to_bearer, to_l402, verify

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 30
KEYS = TokenKeys(bytes(range(32)))
RAW = mint(KEYS, Identifier(bytes(32), bytes(32)))
TOKEN = to_bearer(RAW)
PREIMAGE = "ab" * 32


def narrow(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "boltwork", "token", "attenuate", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def caveats_of(done):
    """The caveats of the token that was printed; its signature holds."""
    assert done.returncode == 0, done.stderr
    return list(verify(KEYS, done.stdout.strip()).caveats.texts)


def test_every_limit_has_a_flag():
    done = narrow(
        TOKEN,
        *("--expires-at", "2100-01-01T01:00:00+01:00"),
        *("--budget-msat", "50000"),
        *("--max-request-msat", "2000"),
        *("--models", "offline,other"),
        *("--rights", "read,spend"),
    )

    expiry, budget, *others = caveats_of(done)
    assert expiry == "expires_at=4102444800"
    assert budget.startswith("budget_msat=50000;id=")
    assert others == ["max_request_msat=2000", "models=offline,other", "rights=read,spend"]


def test_a_caveat_may_be_given_as_it_stands_in_the_token():
    done = narrow(TOKEN, "--caveat", "rights=read", "--caveat", "max_request_msat=1")

    assert caveats_of(done) == ["rights=read", "max_request_msat=1"]


def test_what_the_token_carries_already_stays():
    weak = to_bearer(attenuate(RAW, "rights=read,spend"))

    done = narrow(weak, "--max-request-msat", "5")

    assert caveats_of(done) == ["rights=read,spend", "max_request_msat=5"]


def test_two_budgets_are_two():
    first, second = (caveats_of(narrow(TOKEN, "--budget-msat", "1")) for _ in range(2))

    assert first != second


@pytest.mark.parametrize("spelling", [TOKEN, to_l402(RAW), to_l402(RAW).rstrip("=")])
def test_the_token_is_read_in_every_spelling_and_written_in_one(spelling):
    done = narrow(spelling, "--rights", "read")

    assert done.stdout == to_bearer(attenuate(RAW, "rights=read")) + "\n"
    assert done.stderr == ""


def test_the_token_may_come_by_standard_input():
    done = narrow("-", "--rights", "read", stdin=TOKEN + "\n")

    assert caveats_of(done) == ["rights=read"]


def test_the_preimage_of_a_challenge_goes_along():
    done = narrow(f"{TOKEN}:{PREIMAGE}", "--rights", "read")

    assert done.stdout == f"{to_bearer(attenuate(RAW, 'rights=read'))}:{PREIMAGE}\n"


def test_in_json_it_is_one_object():
    answer = json.loads(narrow(TOKEN, "--rights", "read", "--json").stdout)

    weaker = to_bearer(attenuate(RAW, "rights=read"))
    assert answer == {"token": weaker, "added": ["rights=read"]}


@pytest.mark.parametrize("token", ["nonsense", "", TOKEN[:-4], f"{TOKEN} ", "é"])
def test_what_is_no_token_is_a_fault(token):
    done = narrow(token, "--rights", "read")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "TOKEN: The credential is not valid.\n"


def test_a_fault_in_json_is_one_object():
    done = narrow("nonsense", "--rights", "read", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "isGood": False,
        "faults": [{"path": "TOKEN", "sentence": "The credential is not valid."}],
    }


def test_a_token_that_is_full_takes_no_more():
    full = RAW
    for _ in range(32):
        full = attenuate(full, "rights=read")

    done = narrow(to_bearer(full), "--rights", "read")

    assert done.returncode == 1
    assert "at most 32 caveats" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [TOKEN],
        ["--rights", "read"],
        [TOKEN, "--rights", "all"],
        [TOKEN, "--rights", ""],
        [TOKEN, "--models", "a,,b"],
        [TOKEN, "--models", "a b"],
        [TOKEN, "--budget-msat", "-1"],
        [TOKEN, "--budget-msat", "1.5"],
        [TOKEN, "--max-request-msat", "9007199254740993"],
        [TOKEN, "--expires-at", "tomorrow"],
        [TOKEN, "--expires-at", "2100-01-01"],
        [TOKEN, "--expires-at", "1969-12-31T23:59:59Z"],
        [TOKEN, "--caveat", "colour=blue"],
        [TOKEN, "--caveat", "rights"],
        [TOKEN, "--colour", "blue"],
        [TOKEN, TOKEN, "--rights", "read"],
    ],
)
def test_wrong_use_is_exit_code_2_and_prints_no_token(arguments):
    done = narrow(*arguments)

    assert (done.returncode, done.stdout) == (2, "")


def test_help_says_what_such_a_token_is():
    told = " ".join(narrow("--help").stdout.split())

    for words in ("Nobody is asked", "only within the limits", "nobody can take them off"):
        assert words in told
