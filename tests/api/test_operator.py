"""The operator's listener: who may speak there, and what the numbers say of the money."""

import aiohttp
import pytest

from api.app import serve_api
from core.app import open_core
from core.config import load

TOKEN = "opens-the-door"


@pytest.fixture
async def operator(tmp_path):
    """A client of the operator's door, and the core behind it."""
    names = {
        "SERVER__DATA_DIR": str(tmp_path),
        "SERVER__LISTEN": "127.0.0.1:0",
        "OPERATOR__LISTEN": "127.0.0.1:0",
        "OPERATOR__TOKEN": TOKEN,
    }
    config = load(None, {f"BOLTWORK_{name}": text for name, text in names.items()})
    async with open_core(config) as core, serve_api(core, config) as doors:
        url = f"http://127.0.0.1:{doors.operator_port}"
        async with aiohttp.ClientSession(url) as session:
            yield session, core


BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_the_numbers_say_that_no_money_is_taken(operator):
    session, core = operator
    core.gate.intake.stop("wallet", "says the test")

    text = await (await session.get("/metrics")).text()

    assert 'boltwork_intake_closed{reason="wallet"} 1.0' in text
    assert 'boltwork_intake_closed{reason="books"} 0.0' in text
    assert 'boltwork_faults{found_in="books"} 0.0' in text
    assert "boltwork_ready 0.0" in text


async def test_a_pause_is_heeded_before_it_is_answered(operator):
    session, core = operator

    answer = await session.post("/operator/pause", json={"reason": "a disk"}, headers=BEARER)

    assert answer.status == 200
    assert core.gate.intake.reasons == {"operator": "a disk"}
    await session.post("/operator/resume", json={"reason": "done"}, headers=BEARER)
    assert core.gate.intake.reasons == {}


@pytest.mark.parametrize("body", ["[]", "{", '{"reason": 1}', '{"reason": ""}', ""])
async def test_a_body_that_is_none_is_refused(operator, body):
    session, core = operator

    answer = await session.post("/operator/pause", data=body, headers=BEARER)

    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")
    assert core.gate.intake.reasons == {}


async def test_what_is_not_there_is_not_found(operator):
    session, _ = operator
    path = f"/operator/refunds/rfd_{'0' * 26}/retry"

    answer = await session.post(path, json={"reason": "x"}, headers=BEARER)

    assert answer.status == 404
