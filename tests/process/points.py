"""The points of a job's way at which the program is killed, each reached by watching from outside.

`approach` leads a customer's job to the point, or close to it. Where the point is a transaction
that must not commit, `cross` takes the last step while another process holds the lock for writing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.process.customer import Customer
from tests.process.gate import Gate, Held
from tests.process.server import Reply
from tests.process.world import World, rows
from tests.simulator.model import Fault

_ORDER = b"POST /api/v1/payments"
_CALL = b"POST /v1/chat/completions"
_EVALUATION = b"estimated_output_tokens"
_WORK = b"stream_options"


@dataclass(eq=False)
class Visit:
    """One customer on the way to one point, and what still runs for her there."""

    world: World
    customer: Customer
    held: Held | None = None
    calls: list[asyncio.Task[Any]] = field(default_factory=list)

    def ask(self, call: Awaitable[Any]) -> None:
        """Send something whose answer the kill may cut off."""
        self.calls.append(asyncio.ensure_future(call))

    async def hold(self, held: Held) -> None:
        """Wait until this has come to its gate."""
        self.held = held
        await held.reached()

    async def settle(self) -> None:
        """After the kill: every call was answered or cut off, and nothing else."""
        if self.held is not None:
            self.held.cut()
        outcomes = await asyncio.gather(*self.calls, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, aiohttp.ClientError):
                raise outcome


@dataclass(frozen=True, slots=True)
class Point:
    """`after` is looked at once the program runs again; `end` is how the job ends then."""

    name: str
    approach: Callable[[Visit], Awaitable[None]]
    cross: Callable[[Visit], Awaitable[None]] | None = None
    while_down: Callable[[Visit], Awaitable[None]] | None = None
    after: Callable[[Visit], Awaitable[None]] | None = None
    end: str = "complete"


# The order


async def _invoice_is_made(visit: Visit) -> None:
    held = visit.world.wallet_gate.hold_answer(_ORDER, b'"eval"')
    visit.ask(visit.customer.order())
    await visit.hold(held)


async def _row_is_written(visit: Visit) -> None:
    held = visit.world.front.hold_answer(b"POST /jobs ", visit.customer.key.encode())
    visit.ask(visit.customer.order(url=visit.world.front.url))
    await visit.hold(held)


async def _there_is_one_job(visit: Visit) -> None:
    await visit.customer.order()
    request = visit.customer.request
    found = await rows(
        visit.world.database,
        "SELECT job_id FROM jobs WHERE request = :request",
        request=request,
    )
    assert [row["job_id"] for row in found] == [visit.customer.job_id]


# Payments


async def _evaluation_is_ordered(visit: Visit) -> None:
    await visit.customer.order()


async def _payment_is_seen(visit: Visit) -> None:
    lists = len(visit.world.lnbits.calls_of("list"))
    state = (await visit.customer.look())["state"]
    await visit.customer.pay_for(state)
    await visit.world.lnbits.wait_for_calls("list", lists + 1)
    await visit.world.program.settle_down()


async def _is_quoted(visit: Visit) -> None:
    await visit.customer.be_quoted()


async def _pay_fee(visit: Visit) -> None:
    assert visit.customer.opened is not None
    await visit.customer.pay(visit.customer.opened.json()["evalInvoice"]["paymentHash"])


async def _pay_work(visit: Visit) -> None:
    await visit.customer.pay(visit.customer.job["workInvoice"]["paymentHash"])


# The evaluation


async def _evaluation_is_due(visit: Visit) -> None:
    await _hold_evaluation(visit, visit.world.model_gate.hold_request)


async def _evaluation_runs(visit: Visit) -> None:
    visit.world.model.judge(Fault.hang())
    calls = len(visit.world.model.calls)
    await visit.customer.order()
    await visit.customer.pay_for("awaiting_eval_payment")
    await visit.world.model.called(calls + 1)


async def _verdict_is_given(visit: Visit) -> None:
    await _hold_evaluation(visit, visit.world.model_gate.hold_answer)


async def _hold_evaluation(visit: Visit, hold: Callable[..., Held]) -> None:
    held = hold(_CALL, _EVALUATION, visit.customer.request.encode())
    await visit.customer.order()
    await visit.customer.pay_for("awaiting_eval_payment")
    await visit.hold(held)


async def _answer_arrives(visit: Visit) -> None:
    assert visit.held is not None
    visit.held.let_go()
    await visit.held.passed()
    await visit.world.program.settle_down()


async def _verdict_is_kept(visit: Visit) -> None:
    await _hold_work_invoice(visit, visit.world.wallet_gate.hold_request)
    (job,) = await rows(
        visit.world.database,
        "SELECT price_sats FROM jobs WHERE job_id = :job_id",
        job_id=visit.customer.job_id,
    )
    assert job["price_sats"] is not None


async def _work_invoice_is_made(visit: Visit) -> None:
    await _hold_work_invoice(visit, visit.world.wallet_gate.hold_answer)


async def _hold_work_invoice(visit: Visit, hold: Callable[..., Held]) -> None:
    await visit.customer.order()
    held = hold(_ORDER, b'"work"', visit.customer.job_id.encode())
    await visit.customer.pay_for("awaiting_eval_payment")
    await visit.hold(held)


# The work


async def _work_is_due(visit: Visit) -> None:
    await _hold_work(visit, visit.world.model_gate.hold_request)


async def _stream_has_not_begun(visit: Visit) -> None:
    visit.world.model.script(Fault.hang())
    await _start_work(visit)


async def _stream_is_in_the_middle(visit: Visit) -> None:
    visit.world.model.script(Fault.stall(after=2))
    await _start_work(visit)
    await visit.world.model.calls[-1].sent(2)


async def _start_work(visit: Visit) -> None:
    await visit.customer.be_quoted()
    calls = len(visit.world.model.calls)
    await visit.customer.pay_for("awaiting_work_payment")
    await visit.world.model.called(calls + 1)


async def _stream_is_at_its_end(visit: Visit) -> None:
    await _hold_work(visit, visit.world.model_gate.hold_answer, at=b"[DONE]")


async def _hold_work(visit: Visit, hold: Callable[..., Held], **at: bytes) -> None:
    await visit.customer.be_quoted()
    held = hold(_CALL, _WORK, visit.customer.request.encode(), **at)
    await visit.customer.pay_for("awaiting_work_payment")
    await visit.hold(held)


# The result


async def _result_is_kept(visit: Visit) -> None:
    await visit.customer.be_quoted()
    job_id, front = visit.customer.job_id, visit.world.front
    end = b'"state":"complete"'
    held = front.hold_answer(f"GET /jobs/{job_id}/events".encode(), at=end)
    visit.ask(_follow(visit.customer, front))
    await visit.customer.pay_for("awaiting_work_payment")
    await visit.hold(held)


async def _follow(customer: Customer, front: Gate) -> None:
    async with customer.program.events(customer.job_id, url=front.url) as events:
        async for event in events:
            if event.name == "job":
                customer.remember(event.data)


async def _the_rest_is_delivered(visit: Visit) -> None:
    customer = visit.customer
    seen = customer.job["version"]
    assert customer.job["state"] != "complete"
    async with customer.program.events(customer.job_id, after=seen) as events:
        rest = [event async for event in events if event.name == "job"]
    assert [event.id for event in rest] == list(range(seen + 1, seen + 1 + len(rest)))
    assert rest[-1].data["state"] == "complete"


async def _is_cancelled(visit: Visit) -> None:
    await visit.customer.be_quoted()
    path = f"/jobs/{visit.customer.job_id}/cancel"
    held = visit.world.front.hold_answer(b"POST", path.encode())
    visit.ask(_cancel(visit, path))
    await visit.hold(held)


async def _cancel(visit: Visit, path: str) -> Reply:
    return await visit.world.program.ask(
        "POST", path, headers=visit.customer.credential, url=visit.world.front.url
    )


async def _is_complete(visit: Visit) -> None:
    await visit.customer.see_it_through()


PHASES = {
    "order": (
        Point("eval invoice made, no row", _invoice_is_made, after=_there_is_one_job),
        Point("row written, no reply", _row_is_written, after=_there_is_one_job),
        Point("fee seen, not credited", _evaluation_is_ordered, cross=_payment_is_seen),
        Point("fee paid while down", _evaluation_is_ordered, while_down=_pay_fee),
    ),
    "evaluation": (
        Point("fee credited, no evaluation", _evaluation_is_due),
        Point("evaluation runs", _evaluation_runs),
        Point("verdict given, not read", _verdict_is_given),
        Point("verdict read, not kept", _verdict_is_given, cross=_answer_arrives),
        Point("verdict kept, no work invoice", _verdict_is_kept),
        Point("work invoice made, not kept", _work_invoice_is_made),
    ),
    "quote": (
        Point("quoted and idle", _is_quoted),
        Point("work paid while down", _is_quoted, while_down=_pay_work),
        Point("work payment seen, not credited", _is_quoted, cross=_payment_is_seen),
        Point("cancelled, no reply", _is_cancelled, end="failed"),
        Point("work credited, not called", _work_is_due),
    ),
    "work": (
        Point("stream not begun", _stream_has_not_begun),
        Point("stream in the middle", _stream_is_in_the_middle),
        Point("stream at its end", _stream_is_at_its_end),
        Point("result read, not kept", _stream_is_at_its_end, cross=_answer_arrives),
        Point("result kept, not delivered", _result_is_kept, after=_the_rest_is_delivered),
        Point("complete", _is_complete),
    ),
}
POINTS = tuple(point for points in PHASES.values() for point in points)
