"""The relays of a story, and the key of its bot.

`world: relays=2 auth` has two fault relays, r1 and r2, the last of which demands to know who reads
and writes; `localrelay` is one more, that of nostr-sdk, which is nobody's to break.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import nostr_sdk
import orjson

from tests.simulator.relay import FaultRelay

WORDS: Final = frozenset({"relays", "auth", "localrelay"})
SECRET: Final = hashlib.sha256(b"the bot of the stories").hexdigest()


class Relays:
    """What carries mail on Nostr in a story."""

    def __init__(self) -> None:
        self.faulty: list[FaultRelay] = []
        self.local: str | None = None

    @property
    def urls(self) -> list[str]:
        return [relay.url for relay in self.faulty] + ([self.local] if self.local else [])

    @property
    def settings(self) -> dict[str, str]:
        """The program's, where there are relays."""
        if not self.urls:
            return {}
        return {
            "BOLTWORK_NOSTR__SECRET_KEY": SECRET,
            "BOLTWORK_NOSTR__RELAYS": orjson.dumps(self.urls).decode(),
        }

    def named(self, name: str) -> FaultRelay:
        """The relay r1, r2, ... Raises KeyError."""
        number = name.removeprefix("r")
        if not number.isdigit() or not 0 < int(number) <= len(self.faulty):
            raise KeyError(f"relay {name}")
        return self.faulty[int(number) - 1]


@asynccontextmanager
async def open_relays(world: Mapping[str, str]) -> AsyncIterator[Relays]:
    """The relays of this world, while the block runs."""
    relays = Relays()
    async with AsyncExitStack() as stack:
        for _ in range(int(world.get("relays", 0))):
            relays.faulty.append(await stack.enter_async_context(FaultRelay()))
        if "auth" in world:
            relays.faulty[-1].needs_auth_to_read = relays.faulty[-1].needs_auth_to_write = True
        if "localrelay" in world:
            nostr_sdk.nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
            local = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").build()
            await local.run()
            stack.callback(local.shutdown)
            relays.local = str(await local.url())
        yield relays
