"""The front desk: one desk for each thing that is sold, and what serves them all."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from core.agents.port import Agent, AgentFault, Delta, Message, Model, Usage
from core.books import allowances, credentials
from core.books.allowances import Allowance
from core.books.credentials import Bearer
from core.desk.answers import AnswerBook
from core.desk.ask_desk import AskDesk
from core.desk.job_desk import JobDesk
from core.desk.link_desk import LinkDesk
from core.desk.mail_desk import MailDesk
from core.desk.meter import Meter
from core.desk.pay_desk import PayDesk
from core.desk.payout_desk import PayoutDesk
from core.desk.people_desk import PeopleDesk
from core.desk.relay_desk import RelayDesk
from core.desk.session_desk import SessionDesk
from core.desk.session_job_desk import SessionJobDesk
from core.desk.talk_desk import TalkDesk
from core.desk.till import Till
from core.gate import Gate, Health
from core.store.port import Store
from core.values import pricing
from core.values.clock import Clock
from core.values.errors import InvalidRequest, ModelUnavailable, Unauthorized
from core.values.tokens import JOB_HASH, TokenCache
from core.wallets.port import Wallet

DEMO_OUTPUT_TOKENS = 512
DEMO_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The only way in."""

    jobs: JobDesk
    sessions: SessionDesk
    session_jobs: SessionJobDesk
    payouts: PayoutDesk
    links: LinkDesk
    people: PeopleDesk
    talk: TalkDesk
    mail: MailDesk
    meter: Meter
    asks: AskDesk
    relay: RelayDesk
    till: Till
    answers: AnswerBook
    pay_pages: PayDesk
    health: Health
    gate: Gate
    store: Store
    wallet: Wallet
    agent: Agent
    clock: Clock
    tokens: TokenCache
    models: Mapping[str, Model]  # the first is the default
    demo_allowance: Allowance

    @property
    def model(self) -> Model:
        """The default model."""
        return next(iter(self.models.values()))

    def verify(self, presented: str, preimage: bytes | None = None) -> Bearer:
        """The bearer of a token that is signed by us and not expired. Raises Unauthorized."""
        token = self.tokens.verify(presented)
        if token.caveats.is_expired(self.clock.now_ms() // 1000):
            raise Unauthorized("The credential has expired.")
        return Bearer(token, preimage)

    async def identify(self, presented: str, preimage: bytes | None = None) -> Bearer:
        """As `verify`; a session's token is known, not revoked, and proven where that is needed.

        A job's token stands for no payment, so a preimage says nothing. Raises Unauthorized.
        """
        bearer = self.verify(presented, preimage)
        if bearer.token.payment_hash != JOB_HASH:
            await self.store.read(credentials.standing, bearer)
        return bearer

    async def demo(self, request: str, *, client: str) -> str:
        """A free answer, counted.

        Raises InvalidRequest, RateLimited, ModelUnavailable, ShuttingDown.
        """
        self.gate.check()
        if pricing.estimated_tokens(request) > self.model.context_tokens:
            raise InvalidRequest("The request is too long for the model.", pointer="/request")
        now_ms = self.clock.now_ms()
        await self.store.write(allowances.use_or_refuse, self.demo_allowance, client, now_ms)
        try:
            async with asyncio.timeout(DEMO_TIMEOUT_S):
                return await self._demo_answer(request)
        except (AgentFault, TimeoutError) as fault:
            raise ModelUnavailable(f"demo: {fault}") from fault

    def pay_url(self, payment_hash: str) -> str | None:
        """The address of an invoice's page, or None where the public has no way to us."""
        return self.pay_pages.links.url_of(payment_hash)

    def hint_payment(self, payment_hash: str) -> None:
        """Somebody says that this was paid: have the wallet looked at early."""
        self.wallet.watch([payment_hash])

    async def _demo_answer(self, request: str) -> str:
        pieces: list[str] = []
        stream = self.agent.stream(
            self.model, [Message("user", request)], max_output_tokens=DEMO_OUTPUT_TOKENS
        )
        async for piece in stream:
            match piece:
                case Delta():
                    pieces.append(piece.text)
                case Usage():
                    pass
                case _:
                    assert_never(piece)
        return "".join(pieces)
