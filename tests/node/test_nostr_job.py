"""Somebody with nostr-tools buys a job over two relays, one of which demands AUTH."""

from dataclasses import dataclass
from pathlib import Path

from tests.bots.nostr_customers import BOT, buy, shop_on
from tests.bots.nostr_people import person
from tests.node.nostr_tools import Person, person_of
from tests.simulator.relay import FaultRelay


@dataclass
class ToolsCustomer:
    """With nostr-tools, at one relay."""

    person: Person

    async def say(self, text: str) -> None:
        event = await self.person.do("wrap", to=BOT.pubkey, text=text)
        await self.person.do("publish", event=event)

    async def heard(self) -> list[str]:
        texts: list[str] = await self.person.do("heard", count=0)
        return texts


async def test_a_job_is_bought_with_nostr_tools(tmp_path: Path) -> None:
    async with FaultRelay() as relay, FaultRelay() as strict, person_of(person("alice")) as alice:
        strict.needs_auth_to_read = strict.needs_auth_to_write = True
        await alice.do("connect", url=strict.url)
        await alice.do("listen")
        async with shop_on(tmp_path, relay, strict) as program:
            heard = await buy(program, ToolsCustomer(alice))

    assert [text for text in heard if "Adam" in text and "done" in text]
    assert len(heard) == len(set(heard))
