"""The document at /openapi.json: sound, complete, and true under a fuzzer's hands."""

import asyncio
import sys
from pathlib import Path

from openapi_spec_validator import validate

from api.problems import KINDS

FUZZER = Path(sys.executable).with_name("schemathesis")


async def test_the_document_is_sound_openapi_3_1(shop):
    document = (await shop.get("/openapi.json")).json

    validate(document)

    assert document["openapi"] == "3.1.0"


async def test_every_operation_names_what_it_can_refuse(shop):
    document = (await shop.get("/openapi.json")).json
    statuses = {str(kind.status) for kind in KINDS.values()}

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            refusals = set(operation["responses"]) & statuses
            assert {"400", "413", "429", "500"} <= refusals, (method, path)


async def test_the_document_and_the_server_agree_on_what_there_is(shop):
    document = (await shop.get("/openapi.json")).json

    for path, operations in document["paths"].items():
        answer = await shop.ask("TRACE", path.replace("{", "").replace("}", ""))

        assert answer.status == 405
        allowed = set(answer.headers["Allow"].lower().split(", ")) - {"head"}
        assert allowed == set(operations)


async def test_behind_a_public_address_the_document_names_it(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL="https://shop.example/bolt")

    document = (await shop.get("/openapi.json")).json

    assert document["servers"] == [{"url": "https://shop.example/bolt"}]


async def test_a_fuzzer_finds_no_answer_that_is_not_described(open_shop, tmp_path):
    shop = await open_shop(
        LIMITS__REQUESTS_PER_MINUTE="0",
        LIMITS__OPEN_INVOICES_PER_CLIENT="0",
        DEMO__PER_HOUR="1000000",
        DEMO__PER_DAY_TOTAL="1000000",
    )
    token = (await shop.order())["jobToken"]

    fuzzer = await asyncio.create_subprocess_exec(
        FUZZER,
        "run",
        f"http://127.0.0.1:{shop.port}/openapi.json",
        *("--header", f"X-Api-Key: {token}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "25"),
        # A reused key and a maximum below the least price are sound requests that are refused.
        *("--exclude-checks", "positive_data_acceptance"),
        "--generation-deterministic",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asyncio.wait_for(fuzzer.communicate(), 120)

    assert fuzzer.returncode == 0, told.decode()
