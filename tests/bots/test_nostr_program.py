from pathlib import Path

from tests.bots.nostr_customers import SdkCustomer, buy, shop_on
from tests.simulator.relay import FaultRelay


async def test_a_job_is_bought_over_two_relays_although_the_program_is_killed(
    tmp_path: Path,
) -> None:
    async with FaultRelay() as relay, FaultRelay() as strict:
        strict.needs_auth_to_read = strict.needs_auth_to_write = True
        customer = SdkCustomer(relay, strict)
        await customer.connect()
        async with shop_on(tmp_path, relay, strict) as program:
            heard = await buy(program, customer)
        await customer.close()

    assert [text for text in heard if "Adam" in text and "done" in text]
    assert len(heard) == len(set(heard))
    assert sum(text.startswith("lnbc") for text in heard) == 2
