"""The document at /openapi.json: sound, complete, and true under a fuzzer's hands."""

from openapi_spec_validator import validate

from api.problems import KINDS
from tests.api.fuzzer import fuzz


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

    code, told = await fuzz(
        shop.port,
        token,
        phases="examples,coverage,fuzzing",
        examples=25,
        folder=tmp_path,
        seconds=150,
    )

    assert code == 0, told
