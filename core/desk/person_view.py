"""A person as the conversation sees it, read in one transaction."""

from dataclasses import dataclass

from core.books import closing, inbox, ledger, people, requests, sessions, talks
from core.books.ledger import Account
from core.books.people import Contact, Person
from core.books.requests import Request
from core.books.talks import Prompt
from core.store.port import Tx
from core.values.mail import Peer
from core.values.money import Msat


@dataclass(frozen=True, slots=True)
class View:
    """What the conversation knows of a person, all from rows; `contact` is who wrote, if any."""

    person: Person
    contacts: tuple[Contact, ...]
    contact: Contact | None
    account: Account
    prompt: Prompt | None
    open_requests: tuple[Request, ...]
    wrote_lately: int  # messages of the last minute
    closes_on: str  # the day on which the service ends, or ""
    now_ms: int

    @property
    def session_id(self) -> str:
        """The session that the person spends."""
        return self.person.session_id

    @property
    def free(self) -> Msat:
        """What can be spent now."""
        return self.account.free

    @property
    def lang(self) -> str:
        """The person's language."""
        return self.person.lang


async def view_of(tx: Tx, session_id: str, peer: Peer | None, now_ms: int) -> View:
    """The person of this session; `peer` is who wrote, if anybody did."""
    session_id = await sessions.survivor(tx, session_id)  # mail in hand may be from before a join
    person = await people.person(tx, session_id)
    contacts = await people.contacts(tx, session_id)
    account = await ledger.account(tx, session_id)
    assert account is not None, "a session has an account"
    return View(
        person=person,
        contacts=tuple(contacts),
        contact=next((contact for contact in contacts if contact.peer == peer), None),
        account=account,
        prompt=None if peer is None else await talks.prompt(tx, peer, now_ms),
        open_requests=tuple(await requests.open_ones(tx, session_id)),
        wrote_lately=await inbox.recent_count(tx, session_id, since_ms=now_ms - 60_000),
        closes_on=await closing.day(tx),
        now_ms=now_ms,
    )
