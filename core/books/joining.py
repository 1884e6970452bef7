"""Joining: two balances become one, and a channel leaves a balance.

One transaction moves the taker's money and points everything of the taker's at the survivor; the
taker's id stands for the survivor from then on. What is paid stays on the account where it was
booked, so that no entry of the ledger changes.

This is the one place besides their own files that writes to whom a row belongs.
"""

from core.books import credentials, freezes, inbox, ledger, links, people, refunds, sessions, talks
from core.books.ledger import Leg, Transfer
from core.books.links import Link
from core.books.people import Contact, place_of
from core.books.requests import free_code
from core.store.port import Tx
from core.values.errors import WrongState
from core.values.mail import Peer
from core.values.money import Msat


async def join(tx: Tx, link: Link, now_ms: int) -> bool:
    """Join the taker's session to the maker's; False where the link has ended before.

    Raises WrongState, before anything is written.
    """
    if link.state != "taken":
        return False
    await _check(tx, link)
    if not await links.join(tx, link):
        return False
    taker_id, maker_id = link.taker_id, link.maker_id
    assert taker_id is not None, "a link was taken by somebody"
    await _move_money(tx, link, taker_id, now_ms)
    await _move_rows(tx, taker_id, maker_id)
    await _move_budgets(tx, taker_id, maker_id)
    await _move_codes(tx, taker_id, maker_id)
    await _move_person(tx, taker_id, maker_id)
    await links.void_of(tx, taker_id)
    await sessions.join(tx, taker_id, maker_id)
    tx.announce(inbox.MAIL)
    return True


async def keeper(tx: Tx, session_id: str, leaving: Peer) -> Contact | None:
    """Where else the person of a session is found, seen last; None where nowhere in a chat."""
    contacts = await people.contacts(tx, session_id)
    return next((contact for contact in contacts if contact.peer != leaving), None)


async def is_alone(tx: Tx, session_id: str, leaving: Peer) -> bool:
    """Whether nobody could spend the balance any more, if this channel left it."""
    if await keeper(tx, session_id, leaving) is not None:
        return False
    return not await credentials.has_root_beside(tx, session_id, people.CHAT_LABEL)


async def part(tx: Tx, leaving: Contact, to: Contact | None, now_ms: int) -> None:
    """Let a channel begin anew, with nothing; all that there was stays with the session.

    What was asked for there is answered at `to`.
    """
    session_id, peer = leaving.session_id, leaving.peer
    old = await people.person(tx, session_id)
    fresh_id = await people.open_fresh(tx, old.lang, now_ms)
    await people.block(tx, fresh_id, int(old.is_blocked))
    where = "WHERE session_id = :old AND channel = :channel AND realm = :realm AND uid = :uid"
    sides = {"old": session_id, **place_of(peer)}
    await tx.run(f"UPDATE peers SET session_id = :fresh {where}", **sides, fresh=fresh_id)
    await tx.run(
        f"UPDATE inbox SET session_id = :fresh {where} AND state = 'new'", **sides, fresh=fresh_id
    )
    await talks.close(tx, peer)
    if to is None:
        await _forget_person(tx, session_id)
        return
    there = {f"new_{name}": value for name, value in place_of(to.peer).items()}
    for table in ("requests", "bills"):
        await tx.run(
            f"UPDATE {table} SET channel = :new_channel, realm = :new_realm, uid = :new_uid"
            f" {where}",
            **sides,
            **there,
        )


async def _check(tx: Tx, link: Link) -> None:
    """Raise WrongState where the two cannot be joined now."""
    assert link.taker_id is not None, "a link was taken by somebody"
    for session_id in (link.maker_id, link.taker_id):
        if await sessions.state(tx, session_id) in {"closed", "ended"}:
            raise WrongState("A closed session cannot be joined.")
        await freezes.check(tx, session_id)
    taker = await ledger.account(tx, link.taker_id)
    assert taker is not None, "a session has an account"
    if taker.held:
        raise WrongState("A request is running on the other side; try again when it has ended.")
    if any(refund.is_live for refund in await refunds.of_account(tx, link.taker_id)):
        raise WrongState("A withdrawal of the other side is on its way; try again afterwards.")


async def _move_money(tx: Tx, link: Link, taker_id: str, now_ms: int) -> None:
    account = await ledger.account(tx, taker_id)
    assert account is not None, "a session has an account"
    if not account.balance:
        return
    await ledger.transfer(
        tx,
        Transfer(f"join:{link.link_id}", "transfer", link.link_id, now_ms),
        [Leg(taker_id, Msat(-account.balance)), Leg(link.maker_id, account.balance)],
    )


async def _move_rows(tx: Tx, taker_id: str, maker_id: str) -> None:
    """What names its session or account, and nothing else of it."""
    for table in ("credentials", "jobs", "peers"):
        await tx.run(
            f"UPDATE {table} SET session_id = :maker_id WHERE session_id = :taker_id",
            taker_id=taker_id,
            maker_id=maker_id,
        )
    for table in ("refunds", "payouts"):
        await tx.run(
            f"UPDATE {table} SET account_id = :maker_id WHERE account_id = :taker_id",
            taker_id=taker_id,
            maker_id=maker_id,
        )
    await tx.run(
        "UPDATE invoices SET account_id = :maker_id"
        " WHERE account_id = :taker_id AND state <> 'paid'",
        taker_id=taker_id,
        maker_id=maker_id,
    )
    await _move_behind(tx, "inbox", "state = 'new'", taker_id, maker_id)
    await _move_behind(tx, "turns", "number > 0", taker_id, maker_id)


async def _move_behind(tx: Tx, table: str, which: str, taker_id: str, maker_id: str) -> None:
    """Numbered rows follow those that the survivor has."""
    await tx.run(
        f"UPDATE {table} SET session_id = :maker_id, number = number +"
        f" (SELECT COALESCE(MAX(m.number), 0) FROM {table} m WHERE m.session_id = :maker_id)"
        f" WHERE session_id = :taker_id AND {which}",
        taker_id=taker_id,
        maker_id=maker_id,
    )


async def _move_budgets(tx: Tx, taker_id: str, maker_id: str) -> None:
    """Counters go along; one that both have counts what both have used."""
    await tx.run(
        "INSERT INTO budgets (session_id, budget_id, used_msat, held_msat)"
        " SELECT CAST(:maker_id AS TEXT), t.budget_id, t.used_msat, t.held_msat FROM budgets t"
        " WHERE t.session_id = :taker_id"
        " ON CONFLICT (session_id, budget_id) DO UPDATE SET"
        " used_msat = budgets.used_msat + excluded.used_msat,"
        " held_msat = budgets.held_msat + excluded.held_msat",
        taker_id=taker_id,
        maker_id=maker_id,
    )
    await tx.run("DELETE FROM budgets WHERE session_id = :taker_id", taker_id=taker_id)
    await tx.run(
        "UPDATE budget_holds SET session_id = :maker_id WHERE session_id = :taker_id",
        taker_id=taker_id,
        maker_id=maker_id,
    )


async def _move_codes(tx: Tx, taker_id: str, maker_id: str) -> None:
    """Requests, their invoices and reminders; a code that both have used is another one now."""
    both = await tx.all(
        "SELECT t.code FROM requests t JOIN requests m ON m.code = t.code"
        " WHERE t.session_id = :taker_id AND m.session_id = :maker_id",
        taker_id=taker_id,
        maker_id=maker_id,
    )
    for row in both:
        await _rename(tx, taker_id, row["code"], await _code_free_for(tx, taker_id, maker_id))
    for table in ("requests", "bills", "reminders"):
        await tx.run(
            f"UPDATE {table} SET session_id = :maker_id WHERE session_id = :taker_id",
            taker_id=taker_id,
            maker_id=maker_id,
        )


async def _rename(tx: Tx, session_id: str, code: str, new_code: str) -> None:
    for table, column in (("requests", "code"), ("bills", "ref"), ("reminders", "ref")):
        await tx.run(
            f"UPDATE {table} SET {column} = :new_code"
            f" WHERE session_id = :session_id AND {column} = :code",
            session_id=session_id,
            code=code,
            new_code=new_code,
        )


async def _code_free_for(tx: Tx, taker_id: str, maker_id: str) -> str:
    while True:
        code = await free_code(tx, taker_id)
        taken = await tx.one(
            "SELECT 1 AS one FROM requests WHERE session_id = :maker_id AND code = :code",
            maker_id=maker_id,
            code=code,
        )
        if taken is None:
            return code


async def _move_person(tx: Tx, taker_id: str, maker_id: str) -> None:
    """The survivor is who the maker was in a chat; a maker without one is who the taker was."""
    await tx.run(
        "UPDATE people SET is_blocked = 1 WHERE session_id = :maker_id AND EXISTS"
        " (SELECT 1 FROM people t WHERE t.session_id = :taker_id AND t.is_blocked = 1)",
        taker_id=taker_id,
        maker_id=maker_id,
    )
    await tx.run(
        "UPDATE people SET session_id = :maker_id, busy_until_ms = 0"
        " WHERE session_id = :taker_id AND NOT EXISTS"
        " (SELECT 1 FROM people m WHERE m.session_id = :maker_id)",
        taker_id=taker_id,
        maker_id=maker_id,
    )
    await tx.run("DELETE FROM people WHERE session_id = :taker_id", taker_id=taker_id)


async def _forget_person(tx: Tx, session_id: str) -> None:
    """Nobody reads in a chat any more what there is to tell."""
    await tx.run("DELETE FROM people WHERE session_id = :session_id", session_id=session_id)
    await tx.run("DELETE FROM reminders WHERE session_id = :session_id", session_id=session_id)
    await tx.run(
        "UPDATE inbox SET state = 'done', body = ''"
        " WHERE session_id = :session_id AND state = 'new'",
        session_id=session_id,
    )
