"""The door for Telegram, which brings what people write to the bot. It is answered once stored."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from api import models
from api.route import AnyRoute, Call, Reply, Route, answer
from core.desk.answers import Answer
from core.values.errors import InvalidRequest, NotFound, Unauthorized

SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  # its name only


@dataclass(frozen=True, slots=True)
class TelegramHook:
    """What Telegram has to know, and who takes what it brings: `take` returns once it is stored."""

    path_secret: str = field(repr=False)
    header_secret: str = field(repr=False)
    take: Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TelegramHookRoutes:
    """Telegram's webhook; served only where the settings ask for it."""

    hook: TelegramHook

    def table(self) -> list[AnyRoute]:
        """The one route."""
        return [
            Route(
                method="POST",
                path="/hooks/telegram/{secret}",
                handler=self.hear,
                summary="Telegram's webhook: somebody wrote to the bot",
                tag="Operation",
                body=models.Anything,
                request_headers={SECRET_HEADER: "The secret that Telegram was told."},
                replies=(Reply(200, "It is stored.", models.Accepted),),
                problems=("not_found", "unauthorized", "database_unavailable"),
            )
        ]

    async def hear(self, call: Call[models.Anything, None]) -> Answer:
        """Take an update in. Both secrets have to be right."""
        if not _is_same(call.request.match_info["secret"], self.hook.path_secret):
            raise NotFound
        if not _is_same(call.request.headers.get(SECRET_HEADER, ""), self.hook.header_secret):
            raise Unauthorized("This is for Telegram.")
        await self.hook.take(_update_in(call.raw_body))
        return answer(models.Accepted(accepted=True))


def _is_same(told: str, secret: str) -> bool:
    return hmac.compare_digest(told.encode(errors="replace"), secret.encode())


def _update_in(raw_body: bytes) -> Mapping[str, Any]:
    """An update, however odd the texts in it are: one that is refused would come for ever."""
    try:
        update = json.loads(raw_body)
    except (ValueError, RecursionError):
        raise InvalidRequest("This is no JSON.") from None
    if not isinstance(update, dict):
        raise InvalidRequest("An update is an object.")
    return update
