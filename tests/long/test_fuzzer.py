"""The fuzzer in all its phases, 100 examples an operation, as a job's and as a session's owner."""

import pytest

from tests.api.conftest import *  # noqa: F403  # the in-process shop
from tests.api.fuzzer import fuzz


@pytest.mark.parametrize("owner", ["job", "session"])
async def test_a_fuzzer_finds_no_answer_that_is_not_described(open_shop, tmp_path, owner):
    shop = await open_shop(
        LIMITS__REQUESTS_PER_MINUTE="0",
        LIMITS__OPEN_INVOICES_PER_CLIENT="0",
        DEMO__PER_HOUR="1000000",
        DEMO__PER_DAY_TOTAL="1000000",
    )
    if owner == "job":
        token = (await shop.order())["jobToken"]
    else:
        opened = (await shop.post("/sessions", json={"amountSats": 1_000_000})).json
        await shop.pay(opened["depositInvoice"])
        token = opened["macaroon"]

    code, told = await fuzz(
        shop.port,
        token,
        phases="examples,coverage,fuzzing,stateful",
        examples=100,
        folder=tmp_path,
        seconds=900,
    )

    assert code == 0, told
