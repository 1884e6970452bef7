"""The people of the simulated Bot API over HTTP, for a hand and for other programs.

Loopback only; everything takes and gives JSON:

    POST /sim/write      {"person", "text", "lang"?}
    POST /sim/edit       {"person", "message_id", "text"}
    POST /sim/press      {"person", "message_id", "label"}     anyone may press anything they see
    POST /sim/block, unblock, deactivate                       {"person"}
    POST /sim/forward    {"person", "text"}
    POST /sim/album      {"person", "count", "caption"?}
    POST /sim/file       {"person", "name", "text", "caption"?}
    POST /sim/voice, video, sticker, ...                       {"person", "caption"?}
    POST /sim/join       {"person", "group"}                   the bot is added to a new group
    GET  /sim/events?after=N                                   what was seen in all chats
    GET  /sim/calls, /sim/findings
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.simulator.bot_api_chats import Message
from tests.simulator.bot_api_people import TelegramPerson

if TYPE_CHECKING:
    from tests.simulator.bot_api import SimulatedBotApi

Act = Callable[[TelegramPerson, dict[str, Any]], object]


def _message(person: TelegramPerson, body: dict[str, Any]) -> Message:
    return next(
        message
        for (_, number), message in person.chats.messages.items()
        if number == body["message_id"]
    )


_ACTS: Final[dict[str, Act]] = {
    "write": lambda person, body: person.write(body["text"]).id,
    "edit": lambda person, body: person.edit(_message(person, body), body["text"]),
    "press": lambda person, body: person.press(body["label"], on=_message(person, body)),
    "block": lambda person, _: person.block(),
    "unblock": lambda person, _: person.unblock(),
    "deactivate": lambda person, _: person.deactivate(),
    "forward": lambda person, body: person.forward(body["text"]).id,
    "album": lambda person, body: [
        message.id for message in person.send_album(body["count"], caption=body.get("caption", ""))
    ],
    "file": lambda person, body: (
        person.send_file(body["name"], body["text"].encode(), caption=body.get("caption", "")).id
    ),
    "photo": lambda person, body: person.send_photo(caption=body.get("caption", "")).id,
}


def routes(sim: "SimulatedBotApi") -> web.Application:
    """The application below /sim."""

    async def act(request: web.Request) -> web.Response:
        body, name = await request.json(), request.match_info["act"]
        person = sim.person(body["person"], lang=body.get("lang", "en"))
        if name == "join":
            group = sim.group(body["group"])
            person.add_bot_to(group)
            return web.json_response(group.id)
        if name in _ACTS:
            return web.json_response(_ACTS[name](person, body))
        return web.json_response(person.send(name, caption=body.get("caption", "")).id)

    async def events(request: web.Request) -> web.Response:
        after = int(request.query.get("after", "-1"))
        rows = [
            {
                "number": event.number,
                "at_s": event.at_s,
                "kind": event.kind,
                "chat_id": event.chat_id,
                "message_id": event.message.id if event.message else None,
                "text": event.text,
                "has_photo": event.photo is not None,
                "buttons": list(event.buttons),
            }
            for event in sim.chats.events[after + 1 :]
        ]
        return web.json_response(rows)

    async def calls(_request: web.Request) -> web.Response:
        rows = [asdict(call) | {"files": sorted(call.files)} for call in sim.calls]
        return web.json_response(rows)

    async def findings(_request: web.Request) -> web.Response:
        return web.json_response(sim.findings)

    app = web.Application()
    reads: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
        "events": events,
        "calls": calls,
        "findings": findings,
    }
    for name, handler in reads.items():
        app.router.add_get(f"/{name}", handler)
    app.router.add_post("/{act}", act)
    return app
