"""What a story does with the others: answers of the model, and faults of everybody."""

from collections.abc import Callable, Mapping
from typing import Any

from core.values import bolt11
from tests.simulator.bot_api import Fault, SimulatedBotApi
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault as LnbitsFault
from tests.simulator.model import Answer, SimulatedModel, verdict
from tests.simulator.model import Fault as ModelFault
from tests.simulator.stage import Stage
from tests.simulator.story_steps import ModelDoes, Trouble


def tell_model(model: SimulatedModel, does: ModelDoes) -> None:
    """Put into the model's script what its next call gives."""
    usage: Any = "measured" if does.usage is None else (0, does.usage)
    answers: Mapping[str, Callable[[], Answer]] = {
        "accept": lambda: verdict("accept", estimate=does.sats, summary=does.text),
        "reject": lambda: verdict("reject", reason=does.text),
        "says": lambda: Answer(does.text, usage=usage),
        "slow": lambda: Answer(does.text, pieces=20, every_s=0.1, usage=usage),
        "cut": lambda: ModelFault.cut(text=does.text) if does.text else ModelFault.reset(),
        "hangs": ModelFault.hang,
        "fails": lambda: ModelFault.status(does.sats),
        "long": lambda: Answer(long_text(does.sats), usage=usage),
    }
    answer = answers[does.answer]()
    (model.judge if does.call == "check" else model.script)(answer)


def long_text(size: int) -> str:
    """Paragraphs of so many characters in all, each beginning with its number."""
    paragraphs: list[str] = []
    while (length := sum(len(one) + 2 for one in paragraphs)) < size:
        text = (
            f"{len(paragraphs) + 1}. A paragraph with 😀 and **stars**. " + "So it goes on. " * 20
        )
        paragraphs.append(text[: max(1, min(len(text), size - length))].rstrip())
    return "\n\n".join(paragraphs)


async def make_trouble(stage: Stage, trouble: Trouble, names: Mapping[str, str]) -> None:
    """Let something go wrong at one of the others, or right again."""
    match trouble.where:
        case "telegram":
            await _at_telegram(stage.telegram, trouble)
        case "lnbits":
            await _at_lnbits(stage.lnbits, trouble, names)
        case "relay":
            await _at_relay(stage, trouble)


async def _at_relay(stage: Stage, trouble: Trouble) -> None:
    relay = stage.relays.named(trouble.argument)
    match trouble.call:
        case "down":
            await relay.stop()
        case "up":
            await relay.start()
        case "closes":
            await relay.close_cleanly()
        case "refuses":
            relay.verdict = lambda _: (False, trouble.fault)
        case "heals":
            relay.verdict = lambda _: (True, "")


async def _at_telegram(telegram: SimulatedBotApi, trouble: Trouble) -> None:
    match trouble.call:
        case "down":
            await telegram.go_down()
        case "up":
            await telegram.come_up()
        case "heals":
            telegram.heal()
        case "repeats":
            telegram.chats.repeat_updates(telegram.chats.latest)
        case "without drafts":
            telegram.methods.drafts = "refused"
        case method:
            fault = telegram_fault(trouble.fault, trouble.argument)
            telegram.fail(method, fault, times=trouble.times, text=trouble.text)


async def _at_lnbits(lnbits: SimulatedLnbits, trouble: Trouble, names: Mapping[str, str]) -> None:
    books = lnbits.books
    kind: Any = trouble.fault
    call: Any = trouble.call
    match trouble.call:
        case "down":
            await lnbits.go_down()
        case "up":
            await lnbits.come_up()
        case "heals":
            lnbits.heal()
        case "set":
            setattr(books, kind, type(getattr(books, kind))(trouble.argument))
        case "finish":
            status: Any = trouble.argument
            books.finish(bolt11.decode(names[kind]).payment_hash, status)
        case _ if trouble.times is None:
            lnbits.fail_always(call, LnbitsFault(kind, int(trouble.argument or 0)))
        case _:
            fault = LnbitsFault(kind, int(trouble.argument or 0))
            lnbits.fail(call, fault, times=trouble.times)


def telegram_fault(kind: str, argument: str) -> Fault:
    """A fault as a story names it: `429 7`, `400 "Bad Request: ..."`, `hang 60`, `drop`."""
    if kind == "429":
        return Fault.of_code(429, retry_after=int(argument or 5))
    if kind.isdigit():
        return Fault.of_code(int(kind), argument)
    named: Any = kind
    return Fault(named, seconds=float(argument or 60))
