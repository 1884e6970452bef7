"""Links over HTTP: two balances become one after a yes on both sides."""

from dataclasses import dataclass
from typing import Any, Final

from api import session_models as models
from api.route import AnyRoute, Auth, Call, Reply, Route, answer
from core.desk.answers import Answer
from core.desk.link_desk import LinkDesk, LinkView, MadeLink
from core.desk.session_desk import ME
from core.values.clock import rfc3339

_TAG: Final = "Sessions"
_OWN: Final = ("not_found", "forbidden", "database_unavailable")


@dataclass(frozen=True, slots=True)
class LinkRoutes:
    """The routes that make, take, show and confirm links."""

    desk: LinkDesk

    def table(self) -> list[AnyRoute]:
        """All of them."""
        return [
            Route(
                method="POST",
                path="/sessions/{sessionId}/links",
                handler=self.make,
                summary="Get a code that joins another balance to this one",
                tag=_TAG,
                auth=Auth.NEEDED,
                is_keyed=True,
                replies=(Reply(201, "The code, shown this once.", models.LinkMade),),
                problems=("wrong_state", *_OWN),
            ),
            Route(
                method="POST",
                path="/links",
                handler=self.take,
                summary="Give a code: join this token's balance to the other one",
                tag=_TAG,
                auth=Auth.NEEDED,
                body=models.LinkCode,
                is_keyed=True,
                replies=(Reply(202, "The other side is asked.", models.LinkTaken),),
                problems=_OWN,
            ),
            Route(
                method="GET",
                path="/sessions/{sessionId}/links/{linkId}",
                handler=self.show,
                summary="Read a link that this session has made or taken",
                tag=_TAG,
                auth=Auth.NEEDED,
                replies=(Reply(200, "The link, and who is on its other side.", models.Link),),
                problems=_OWN,
            ),
            Route(
                method="POST",
                path="/sessions/{sessionId}/links/{linkId}/confirm",
                handler=self.confirm,
                summary="Join the balance of whoever has given this session's code",
                tag=_TAG,
                auth=Auth.NEEDED,
                is_keyed=True,
                replies=(Reply(200, "Joined; again the same.", models.Link),),
                problems=("wrong_state", *_OWN),
            ),
        ]

    async def make(self, call: Call[None, None]) -> Answer:
        """Make a code."""
        session_id, bearer = _session(call), call.needed_bearer
        await self.desk.check(session_id, bearer)
        call.body()
        return _made(await self.desk.make(session_id, bearer, keep=call.keep(_made)))

    async def take(self, call: Call[models.LinkCode, None]) -> Answer:
        """Take a code."""
        bearer = call.needed_bearer
        await self.desk.check(ME, bearer)
        code = call.body().code
        return _taken(await self.desk.take(bearer, code, keep=call.keep(_taken)))

    async def show(self, call: Call[None, None]) -> Answer:
        """Show a link."""
        link_id = call.path_id("linkId", "lnk")
        return _shown(await self.desk.show(_session(call), call.needed_bearer, link_id))

    async def confirm(self, call: Call[None, None]) -> Answer:
        """Join."""
        session_id, bearer = _session(call), call.needed_bearer
        link_id = call.path_id("linkId", "lnk")
        await self.desk.check(session_id, bearer, link_id)
        call.body()
        view = await self.desk.confirm(session_id, bearer, link_id, keep=call.keep(_shown))
        return _shown(view)


def _session(call: Call[Any, Any]) -> str:
    """The session in the path, or `me`; the desk compares it with the credential's own."""
    return call.request.match_info["sessionId"]


def _made(made: MadeLink) -> Answer:
    body = models.LinkMade(
        link_id=made.link_id, code=made.code, expires_at=rfc3339(made.expires_at_ms)
    )
    return answer(body, 201)


def _taken(link_id: str) -> Answer:
    return answer(models.LinkTaken(link_id=link_id), 202)


def _shown(view: LinkView) -> Answer:
    body = models.Link(
        link_id=view.link_id,
        state=view.state,
        other=None if view.other is None else view.other.name,
        other_balance_msat=None if view.other is None else view.other.balance,
    )
    return answer(body)
