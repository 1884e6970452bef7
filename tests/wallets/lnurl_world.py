"""Whoever asks receivers for invoices, and what surrounds them, for the tests of LNURL-pay."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from core.values.destinations import ToAddress, parse
from core.values.errors import InvalidRequest
from core.values.money import Msat, from_sats
from core.wallets.lnurl import Resolver
from tests.hand_clock import HandClock
from tests.simulator.receiver import Canary, SimulatedReceiver

PRICE = from_sats(21)


@dataclass
class ScriptedNames:
    """Answers each look-up with the next of the given answers, the last one for ever."""

    answers: list[Sequence[str]]
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def addresses_of(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if not answer:
            raise OSError("no such name")
        return answer

    def close(self) -> None:
        """Nobody waits."""


@dataclass(frozen=True)
class World:
    """A receiver that may be called, a canary that must not be, and whoever asks."""

    receiver: SimulatedReceiver
    canary: Canary
    clock: HandClock

    async def ask(
        self,
        text: str,
        amount: Msat = PRICE,
        *,
        names: ScriptedNames | None = None,
        tls: ssl.SSLContext | None = None,
        listed: Sequence[str] = (),
    ) -> str:
        hosts = (self.receiver.host, *listed)
        resolver = Resolver(
            network="regtest",
            insecure_hosts=hosts,
            clock=self.clock,
            names=names,
            tls=tls,
            timeout_s=0.5,
        )
        try:
            address = parse(text, insecure_hosts=hosts)
            assert isinstance(address, ToAddress)
            return (await resolver.invoice_of(address, amount)).text
        finally:
            resolver.close()

    async def refused(self, text: str, amount: Msat = PRICE, **how: object) -> str:
        """The sentence of the refusal, after which nobody has knocked at the canary."""
        with pytest.raises(InvalidRequest) as caught:
            await self.ask(text, amount, **how)
        assert caught.value.pointer == "/to"
        assert self.canary.knocks == 0
        return caught.value.detail


@asynccontextmanager
async def lnurl_world(tls: ssl.SSLContext | None = None) -> AsyncIterator[World]:
    clock = HandClock()
    async with SimulatedReceiver(now_ms=clock.now_ms, tls=tls) as receiver, Canary() as canary:
        yield World(receiver, canary, clock)
