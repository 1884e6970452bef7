"""A customer of a Boltwork server, over its REST interface and with play money."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from core.values.states import State


class Answered(BaseModel):
    """What the server answers, as far as the customer looks at it."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class Invoice(Answered):
    """A bill of the server."""

    payment_request: str
    payment_hash: str
    amount_sats: int


class Quote(Answered):
    """What the work will cost."""

    price_sats: int
    input_tokens: int
    output_tokens: int


class Refund(Answered):
    """Money that is owed back, or was given back."""

    amount_msat: int
    fee_msat: int


class Job(Answered):
    """A job as it stood at one moment."""

    job_id: str
    state: State
    eval_invoice: Invoice | None
    quote: Quote | None
    work_invoice: Invoice | None
    reason: str | None
    result: str | None
    error_message: str | None
    refunds: list[Refund]


class Opened(Answered):
    """A job that was just ordered."""

    job_id: str


class Refused(Exception):
    """The server refused what was asked of it; the sentence is the server's."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Orders, pays and follows jobs; every call may raise Refused or aiohttp.ClientError."""

    session: aiohttp.ClientSession

    async def order(self, request: str) -> str:
        """Order a piece of work; return the id of its job."""
        answer = await self._post("/jobs", {"request": request})
        return Opened.model_validate(answer).job_id

    async def pay(self, invoice: Invoice) -> None:
        """Pay with play money, which a server takes only where its wallet is the stub."""
        await self._post(f"/dev/stub/pay/{invoice.payment_hash}", {})

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """The job as it is, then every change of it, until it has ended."""
        async with self.session.get(f"/jobs/{job_id}/events") as response:
            await _check(response)
            async for kind, text in _events(response.content):
                if kind == "job":
                    yield Job.model_validate_json(text)

    async def _post(self, path: str, body: dict[str, str]) -> Any:
        async with self.session.post(path, json=body) as response:
            await _check(response)
            return await response.json()


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        problem = await response.json(content_type=None)
        raise Refused(f"{response.status} {problem['title']}: {problem['detail']}")


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[tuple[str, str]]:
    """Kind and data of each event; our servers write the data of an event as one line."""
    fields: dict[str, str] = {}
    async for line in stream:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:  # an empty line ends an event; without data it was a comment
            yield fields["event"], fields["data"]
            fields = {}
