"""Orders against a database that cannot be written."""

from collections.abc import Collection

from tests.process.customer import Customer
from tests.process.server import Reply
from tests.process.world import StubWorld


def assert_refused(reply: Reply, codes: Collection[str] = ("database_unavailable",)) -> None:
    """It said for whom it cannot serve now, and when to come back."""
    assert reply.status == 503
    assert reply.json()["code"] in codes
    assert int(reply.headers["Retry-After"]) > 0


async def order_until_refused(
    world: StubWorld, codes: Collection[str] = ("database_unavailable",)
) -> list[Customer]:
    """Orders that were accepted before the first one that was not."""
    accepted: list[Customer] = []
    while True:
        customer = Customer(world.program, world.pay)
        reply = await world.program.post(
            "/jobs", {"request": customer.request}, Idempotency_Key=customer.key
        )
        if reply.status != 201:
            assert_refused(reply, codes)
            return accepted
        customer.opened = reply
        accepted.append(customer)
