"""The desk for links: joining two balances after a yes on both sides, and parting again.

Both sides prove who they are by their own token or their own chat. What a chat's answer changes is
one transaction with the closing of the mail that it answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.books import inbox, joining, ledger, links, people, sessions
from core.books.credentials import Bearer
from core.books.inbox import Event, Mail
from core.books.links import Link, LinkState
from core.books.people import Contact
from core.desk import people_reply
from core.desk.answers import AnswerBook, Keep
from core.desk.people_reply import Reply
from core.desk.person_view import View
from core.desk.session_desk import ME, own
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.errors import Forbidden, NotFound, WrongState
from core.values.link_codes import LinkCodes, new_code
from core.values.mail import Peer
from core.values.money import Msat
from core.values.names import all_called

NO_SUCH_CODE = "This code is wrong or too old."

News = Literal["taken", "joined"]  # what a person is told of a link
Outcome = Literal["joined", "not now", "over"]


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A fresh code, shown this once."""

    link_id: str
    code: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Side:
    """Somebody that a balance is to be joined with: a session, and where it is found in a chat."""

    session_id: str
    contacts: tuple[Contact, ...]
    balance: Msat

    @property
    def name(self) -> str:
        """Who it is, in full."""
        people = [(contact.peer, contact.name) for contact in self.contacts]
        return all_called(people, self.session_id)


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link as one side sees it; `other` is nobody while the code was not given."""

    link_id: str
    state: LinkState
    place: Peer
    other: Side | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDesk:
    """Makes codes, takes them, and joins."""

    store: Store
    clock: Clock
    answers: AnswerBook
    codes: LinkCodes

    async def check(self, session_id: str, bearer: Bearer, link_id: str | None = None) -> None:
        """Raise Unauthorized, NotFound or Forbidden where this token may join nothing here."""
        await self.store.read(self._check, session_id, bearer, link_id)

    async def make(
        self, session_id: str, bearer: Bearer, *, keep: Keep[MadeLink] | None = None
    ) -> MadeLink:
        """A code for this session; the one before is void. Raises as `check`, and WrongState."""
        return await self.store.write(self._make, session_id, bearer, keep)

    async def take(self, bearer: Bearer, code: str, *, keep: Keep[str] | None = None) -> str:
        """The taker's yes to a code; the link's id. Raises as `check`, NotFound, RateLimited."""
        link_id = await self.store.write(self._take, bearer, code, keep)
        if link_id is None:  # raised out here, so that the wrong code counts
            raise NotFound(NO_SUCH_CODE)
        return link_id

    async def show(self, session_id: str, bearer: Bearer, link_id: str) -> LinkView:
        """The link as this side sees it. Raises as `check`."""
        return await self.store.read(self._show, session_id, bearer, link_id)

    async def confirm(
        self, session_id: str, bearer: Bearer, link_id: str, *, keep: Keep[LinkView] | None = None
    ) -> LinkView:
        """The maker's yes; again is no change. Raises as `check`, and WrongState."""
        return await self.store.write(self._confirm, session_id, bearer, link_id, keep)

    # In a chat

    async def make_in_chat(
        self, mail: Mail, peer: Peer, *, reply: Callable[[MadeLink], Reply]
    ) -> None:
        """A code for the person who wrote this mail there."""
        await self.store.write(self._make_in_chat, mail, peer, reply)

    async def find(self, session_id: str, code: str) -> LinkView | None:
        """The open link of a code, as a taker sees it; None, and counted, for a wrong one.

        Raises RateLimited.
        """
        return await self.store.write(self._find, session_id, code)

    async def take_in_chat(
        self, mail: Mail, link_id: str, *, reply: Callable[[LinkView | None], Reply]
    ) -> None:
        """The taker's yes; `reply` gets None where the link is over."""
        await self.store.write(self._take_in_chat, mail, link_id, reply)

    async def confirm_in_chat(
        self, mail: Mail, link_id: str, *, reply: Callable[[Outcome, Side], Reply]
    ) -> None:
        """The maker's yes; `reply` gets what it came to, and the maker's side as it is then."""
        await self.store.write(self._confirm_in_chat, mail, link_id, reply)

    async def refuse_in_chat(
        self, mail: Mail, link_id: str, *, reply: Callable[[LinkView | None], Reply]
    ) -> None:
        """The maker's no; `reply` gets the link, or None where it is over."""
        await self.store.write(self._refuse_in_chat, mail, link_id, reply)

    async def seen_by(self, session_id: str, link_id: str) -> LinkView | None:
        """The link as this side sees it; None where it has no such link."""
        return await self.store.read(self._seen_by, session_id, link_id)

    async def part(
        self, mail: Mail, view: View, *, reply: Callable[[Contact | None], Reply]
    ) -> bool:
        """Let the channel of this mail begin anew; False where it is joined with no other.

        `reply` gets where the balance stays, if that is a chat.
        """
        return await self.store.write(self._part, mail, view, reply)

    async def _check(
        self, tx: Tx, session_id: str, bearer: Bearer, link_id: str | None = None
    ) -> str:
        own_id = await own(tx, session_id, bearer, "read")
        if link_id is not None and await self._seen_by(tx, own_id, link_id) is None:
            raise NotFound
        if bearer.token.caveats.count:
            raise Forbidden("Only a token without any limit may join balances.")
        return own_id

    async def _make(
        self, tx: Tx, session_id: str, bearer: Bearer, keep: Keep[MadeLink] | None
    ) -> MadeLink:
        own_id = await self._check(tx, session_id, bearer)
        if await sessions.state(tx, own_id) == "closed":
            raise WrongState("A closed session cannot be joined.")
        made = await self._new(tx, own_id, links.NOWHERE)
        await self.answers.keep(tx, keep, made, self.clock.now_ms())
        return made

    async def _new(self, tx: Tx, session_id: str, place: Peer) -> MadeLink:
        code = new_code()
        code_hash = self.codes.hash_of(code)
        assert code_hash is not None, "a new code can be read"
        now_ms = self.clock.now_ms()
        link = await links.add(tx, session_id, code_hash, place=place, now_ms=now_ms)
        return MadeLink(link.link_id, code, link.expires_at_ms)

    async def _take(self, tx: Tx, bearer: Bearer, code: str, keep: Keep[str] | None) -> str | None:
        own_id, now_ms = await self._check(tx, ME, bearer), self.clock.now_ms()
        link = await links.find(tx, self.codes.hash_of(code), own_id, now_ms)
        if link is None or not await links.take(tx, link, own_id, now_ms):
            return None
        await _tell(tx, link.maker_id, link.link_id, "taken", now_ms)
        await self.answers.keep(tx, keep, link.link_id, now_ms)
        return link.link_id

    async def _show(self, tx: Tx, session_id: str, bearer: Bearer, link_id: str) -> LinkView:
        own_id = await self._check(tx, session_id, bearer, link_id)
        return await self._shown(tx, link_id, own_id)

    async def _shown(self, tx: Tx, link_id: str, own_id: str) -> LinkView:
        link = await links.get(tx, link_id, self.clock.now_ms())
        assert link is not None, "it was looked at in this transaction"
        return await _view_of(tx, link, own_id)

    async def _confirm(
        self,
        tx: Tx,
        session_id: str,
        bearer: Bearer,
        link_id: str,
        keep: Keep[LinkView] | None,
    ) -> LinkView:
        own_id, now_ms = await self._check(tx, session_id, bearer, link_id), self.clock.now_ms()
        link = await links.made_by(tx, own_id, link_id, now_ms)
        if link is None:
            raise NotFound
        if link.state != "joined":
            if not await joining.join(tx, link, now_ms):
                raise WrongState(f"A link that is {link.state} joins nothing.")
            await _tell(tx, own_id, link_id, "joined", now_ms)
        view = await self._shown(tx, link_id, own_id)
        await self.answers.keep(tx, keep, view, now_ms)
        return view

    async def _make_in_chat(
        self, tx: Tx, mail: Mail, peer: Peer, reply: Callable[[MadeLink], Reply]
    ) -> None:
        if await inbox.done(tx, mail):
            made = await self._new(tx, mail.session_id, peer)
            await people_reply.write(tx, mail.session_id, reply(made), self.clock.now_ms())

    async def _find(self, tx: Tx, session_id: str, code: str) -> LinkView | None:
        now_ms = self.clock.now_ms()
        link = await links.find(tx, self.codes.hash_of(code), session_id, now_ms)
        return None if link is None else await _view_of(tx, link, session_id)

    async def _take_in_chat(
        self, tx: Tx, mail: Mail, link_id: str, reply: Callable[[LinkView | None], Reply]
    ) -> None:
        if not await inbox.done(tx, mail):
            return
        now_ms, view = self.clock.now_ms(), None
        link = await links.get(tx, link_id, now_ms)
        if link is not None and await links.take(tx, link, mail.session_id, now_ms):
            await _tell(tx, link.maker_id, link_id, "taken", now_ms)
            view = await self._seen_by(tx, mail.session_id, link_id)
        await people_reply.write(tx, mail.session_id, reply(view), now_ms)

    async def _confirm_in_chat(
        self, tx: Tx, mail: Mail, link_id: str, reply: Callable[[Outcome, Side], Reply]
    ) -> None:
        if not await inbox.done(tx, mail):
            return
        now_ms = self.clock.now_ms()
        link = await links.made_by(tx, mail.session_id, link_id, now_ms)
        outcome: Outcome = "over"
        try:
            if link is not None and await joining.join(tx, link, now_ms):
                outcome = "joined"
        except WrongState:  # `join` refuses before it writes
            outcome = "not now"
        own_side = await _side(tx, mail.session_id)
        await people_reply.write(tx, mail.session_id, reply(outcome, own_side), now_ms)

    async def _refuse_in_chat(
        self, tx: Tx, mail: Mail, link_id: str, reply: Callable[[LinkView | None], Reply]
    ) -> None:
        if not await inbox.done(tx, mail):
            return
        now_ms, view = self.clock.now_ms(), None
        link = await links.made_by(tx, mail.session_id, link_id, now_ms)
        if link is not None and await links.refuse(tx, link):
            view = await _view_of(tx, link, mail.session_id)
        await people_reply.write(tx, mail.session_id, reply(view), now_ms)

    async def _seen_by(self, tx: Tx, session_id: str, link_id: str) -> LinkView | None:
        link = await links.seen_by(tx, session_id, link_id, self.clock.now_ms())
        return None if link is None else await _view_of(tx, link, session_id)

    async def _part(
        self, tx: Tx, mail: Mail, view: View, reply: Callable[[Contact | None], Reply]
    ) -> bool:
        assert view.contact is not None, "whoever writes is known"
        now_ms = self.clock.now_ms()
        if await joining.is_alone(tx, view.session_id, view.contact.peer):
            return False
        if await inbox.done(tx, mail):
            to = await joining.keeper(tx, view.session_id, view.contact.peer)
            await people_reply.write(tx, mail.session_id, reply(to), now_ms)
            await joining.part(tx, view.contact, to, now_ms)
        return True


async def _view_of(tx: Tx, link: Link, session_id: str) -> LinkView:
    """The link as the maker or the taker sees it, or who could take it."""
    other_id = link.taker_id if session_id == link.maker_id else link.maker_id
    other = None if other_id is None else await _side(tx, other_id)
    return LinkView(link.link_id, link.state, link.place, other)


async def _side(tx: Tx, session_id: str) -> Side:
    account = await ledger.account(tx, session_id)
    assert account is not None, "a session has an account"
    return Side(session_id, tuple(await people.contacts(tx, session_id)), account.balance)


async def _tell(tx: Tx, session_id: str, link_id: str, news: News, now_ms: int) -> None:
    """Let a person in a chat know; no change for a session that is in none."""
    event = Event("link", link_id, kind=news)
    await inbox.tell(tx, session_id, event, key=f"link:{link_id}:{news}", now_ms=now_ms)
