"""What is free is counted: by client and hour, and by all in a day."""

import pytest

from core.agents.port import AgentFault, Delta, Usage
from core.values.errors import InvalidRequest, ModelUnavailable, RateLimited, ShuttingDown
from tests.world import ALICE, BOB, REQUEST, opened

HOUR_S, DAY_S = 3_600, 86_400


async def ask(world, client=ALICE):
    return await world.core.desk.demo(REQUEST, client=client)


async def refused(world, client=ALICE):
    """Refuse, and say after how many seconds it is possible again."""
    with pytest.raises(RateLimited) as refusal:
        await ask(world, client)
    return refusal.value.retry_after_s


async def test_the_demo_answers_without_any_money(database):
    async with opened(database) as world:
        assert await ask(world) == "Alice, Bob"

        assert [call.output_tokens_max for call in world.agent.calls] == [512]
        assert world.wallet.journal == []


async def test_each_client_has_so_many_uses_an_hour(database):
    async with opened(database, DEMO__PER_HOUR="2") as world:
        await ask(world)
        world.clock.advance(600)
        await ask(world)

        assert await refused(world) == HOUR_S - 600
        await ask(world, BOB)
        world.clock.advance(HOUR_S - 600 - 1)
        assert await refused(world) == 1
        world.clock.advance(1)
        await ask(world)
        assert await refused(world) == 600


async def test_all_together_have_so_many_uses_a_day(database):
    async with opened(database, DEMO__PER_HOUR="0", DEMO__PER_DAY_TOTAL="3") as world:
        await ask(world, "192.0.2.10")
        world.clock.advance(HOUR_S)
        for client in (ALICE, BOB):
            await ask(world, client)

        assert await refused(world, "192.0.2.11") == DAY_S - HOUR_S
        world.clock.advance(DAY_S - HOUR_S)
        await ask(world, "192.0.2.11")
        assert await refused(world) == HOUR_S


async def test_a_refused_use_is_not_counted(database):
    async with opened(database, DEMO__PER_HOUR="1") as world:
        await ask(world)
        for _ in range(5):
            await refused(world)
        world.clock.advance(HOUR_S)

        await ask(world)


async def test_uses_are_counted_across_a_restart(database):
    async with opened(database, DEMO__PER_HOUR="1") as world:
        await ask(world)

    async with opened(database, clock=world.clock, DEMO__PER_HOUR="1") as world:
        assert await refused(world) == HOUR_S


async def test_a_model_that_fails_is_said_to_be_unavailable(database):
    async with opened(database) as world:
        world.agent.works.append((AgentFault("overloaded"),))

        with pytest.raises(ModelUnavailable):
            await ask(world)


async def test_the_demo_has_nothing_to_do_with_usage(database):
    async with opened(database) as world:
        world.agent.works.append((Delta("a"), Delta("b"), Usage(None, None)))

        assert await ask(world) == "ab"


async def test_a_demo_request_is_no_longer_than_the_model_takes(database):
    async with opened(database) as world:
        with pytest.raises(InvalidRequest):
            await world.core.desk.demo("x" * (4 * 32_768 + 1), client=ALICE)

        assert world.agent.calls == []


async def test_while_the_server_stops_there_is_no_demo(database):
    async with opened(database) as world:
        await world.core.drain(0)

        with pytest.raises(ShuttingDown):
            await ask(world)
