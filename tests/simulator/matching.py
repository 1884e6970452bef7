"""Whether what a person saw is what a story says."""

import re
from collections.abc import Callable, Mapping

from core.values import bolt11
from core.values.bolt11 import Bolt11Error
from tests.simulator.seat import NoSuchButton, NotPayable, Seen, button
from tests.simulator.story_steps import ButtonIs, Expect, Text


def misfit(
    expect: Expect, seen: Seen, fill: Callable[[str], str], words: Mapping[str, str]
) -> str | None:
    """Why the sight does not fit the line; None where it does."""

    def filled(text: str) -> str:
        for name, value in words.items():
            text = text.replace(f"{{{name}}}", value)
        return fill(text)

    reasons = [
        *_form(expect, seen),
        *(reason for text in expect.texts if (reason := _text(text, seen.text, filled))),
        *(reason for one in expect.buttons if (reason := _button(one, seen, filled))),
        *_invoice(expect, seen, filled),
    ]
    return reasons[0] if reasons else None


def _form(expect: Expect, seen: Seen) -> list[str]:
    reasons = []
    if expect.form not in (None, seen.form):
        reasons.append(f"it is a {seen.form}, not a {expect.form}")
    if expect.file and seen.file and not re.search(expect.file, seen.file[0]):
        reasons.append(f"the file is called {seen.file[0]}")
    if expect.has_no_buttons and seen.buttons:
        reasons.append(f"it has buttons: {[one['text'] for one in seen.buttons]}")
    if expect.is_reply and seen.reply_to is None:
        reasons.append("it is no reply")
    if expect.entity is not None and expect.entity not in seen.entities:
        reasons.append(f"its entities are {sorted(seen.entities)}")
    return reasons


def _text(said: Text, text: str, fill: Callable[[str], str]) -> str | None:
    wanted = fill(said.text)
    match said.kind:
        case "whole":
            return None if text == wanted else f"it is not {wanted!r}"
        case "part":
            return None if wanted in text else f"it does not say {wanted!r}"
        case "absent":
            return f"it says {wanted!r}" if wanted in text else None
        case "pattern":
            return None if re.search(wanted, text) else f"it does not match /{wanted}/"


def _button(wanted: ButtonIs, seen: Seen, fill: Callable[[str], str]) -> str | None:
    try:
        found = button(fill(wanted.label), seen)
    except NoSuchButton as fault:
        return str(fault)
    target = str(found.get("url") or (found.get("copy_text") or {}).get("text", ""))
    if wanted.target is not None and fill(wanted.target) not in target:
        return f'"{wanted.label}" leads to {target or "nowhere"}'
    return None


def _invoice(expect: Expect, seen: Seen, fill: Callable[[str], str]) -> list[str]:
    if expect.invoice_sats is None:
        return []
    try:
        invoice = bolt11.decode(seen.invoice())
    except (NotPayable, Bolt11Error) as fault:
        return [f"there is no invoice to pay: {fault}"]
    if invoice.amount != expect.invoice_sats * 1000:
        return [f"the invoice is over {invoice.amount} msat"]
    if expect.memo is not None and fill(expect.memo) not in (invoice.description or ""):
        return [f"the wallet says: {invoice.description}"]
    return []
