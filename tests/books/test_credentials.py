"""Credentials: which tokens open a session, and what dies with one that is revoked."""

import asyncio
from dataclasses import replace

import pytest

from core.books import credentials, sessions
from core.books.credentials import Bearer
from core.values.caveats import read_caveats
from core.values.errors import NotFound, Unauthorized, WrongState
from core.values.tokens import Identifier, Token, new_token_id
from tests.books.paid_jobs import NOW_MS
from tests.books.paid_sessions import SessionBooks, name_of, narrowed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def books(shared_store):
    return SessionBooks(shared_store)


async def opens(books, bearer):
    """Whether this bearer's token opens a session."""
    try:
        await books.session_of(bearer)
    except Unauthorized:
        return False
    return True


async def names(books, bearer):
    """The public ids of the tokens that this one reaches."""
    return {token.name for token in await books.store.read(credentials.reach, bearer)}


async def revoke_within(books, bearer, name):
    within = await books.store.read(credentials.reach, bearer)
    await books.store.write(credentials.revoke, credentials.named(within, name), NOW_MS)


# What a revocation kills


async def test_revoking_kills_every_copy_and_child(books):
    root = await books.fill()
    parent = await books.child(root, "max_request_msat=100000")
    child = await books.child(parent, "rights=read,spend")
    grandchild = await books.child(child)
    copies = [narrowed(token, "rights=read") for token in (parent, child, grandchild)]

    await books.revoke(parent)

    for bearer in (parent, child, grandchild, *copies):
        assert not await opens(books, bearer)


async def test_revoking_spares_parent_and_siblings(books):
    root = await books.fill()
    parent = await books.child(root)
    child, sibling, cousin = [
        await books.child(parent),
        await books.child(parent),
        await books.child(root),
    ]

    await books.revoke(child)

    for bearer in (root, parent, sibling, cousin):
        assert await opens(books, bearer)


async def test_a_child_of_a_copy_dies_with_the_token_that_was_copied(books):
    root = await books.fill()
    parent = await books.child(root)
    child = await books.child(narrowed(parent, "max_request_msat=1000"))

    await books.revoke(parent)

    assert not await opens(books, child)


async def test_what_was_revoked_is_known_no_more(books):
    root = await books.fill()
    child = await books.child(root)

    await books.revoke(child)

    assert not await books.store.read(credentials.is_known, child.token.token_id)
    assert await books.store.read(credentials.is_known, root.token.token_id)
    assert await names(books, root) == {name_of(root)}


async def test_a_token_that_was_never_handed_out_opens_nothing(books):
    root = await books.fill()
    forged = Identifier(root.token.payment_hash, new_token_id())

    assert not await opens(books, Bearer(Token(forged, read_caveats(()), b"")))


async def test_a_token_is_revoked_once(books):
    root = await books.fill()
    child = await books.child(root)
    await books.revoke(child)

    with pytest.raises(NotFound):
        await revoke_within(books, root, name_of(child))


async def test_a_token_may_revoke_itself(books):
    root = await books.fill()
    child = await books.child(root)

    await revoke_within(books, child, name_of(child))

    assert not await opens(books, child)


# The last root


async def test_the_last_root_of_a_session_cannot_be_revoked(books):
    root = await books.fill()
    await books.child(root)

    with pytest.raises(WrongState):
        await revoke_within(books, root, name_of(root))

    assert await opens(books, root)


async def test_of_two_roots_one_may_go(books):
    root = await books.fill()
    second = await books.second_root(root)

    await revoke_within(books, root, name_of(root))

    with pytest.raises(WrongState):
        await revoke_within(books, second, name_of(second))
    assert not await opens(books, root)
    assert await opens(books, second)


async def test_of_two_roots_that_go_at_once_one_stays(books):
    root = await books.fill()
    second = await books.second_root(root)

    outcomes = await asyncio.gather(
        revoke_within(books, root, name_of(root)),
        revoke_within(books, second, name_of(second)),
        return_exceptions=True,
    )

    assert sorted(type(outcome) for outcome in outcomes if outcome) == [WrongState]
    assert await opens(books, root) != await opens(books, second)


async def test_roots_do_not_reach_one_another(books):
    root = await books.fill()
    second = await books.second_root(root)

    with pytest.raises(NotFound):
        await revoke_within(books, root, name_of(second))


# Who reaches whom


async def test_a_token_reaches_itself_and_what_stems_from_it(books):
    root = await books.fill()
    parent = await books.child(root)
    child = await books.child(parent)
    sibling = await books.child(root)

    reached = {token: await names(books, token) for token in (root, parent, child, sibling)}

    assert reached == {
        root: {name_of(token) for token in (root, parent, child, sibling)},
        parent: {name_of(parent), name_of(child)},
        child: {name_of(child)},
        sibling: {name_of(sibling)},
    }


async def test_a_token_of_another_session_is_out_of_reach(books):
    mine, other = await books.fill(), await books.fill()

    with pytest.raises(NotFound):
        await revoke_within(books, mine, name_of(other))


async def test_a_narrowed_copy_reaches_neither_its_parent_nor_its_siblings(books):
    root = await books.fill()
    await books.child(root)
    await books.child(root, "rights=read,spend,manage")
    copy = narrowed(root, "rights=read,spend,manage")

    assert await names(books, copy) == set()


async def test_a_narrowed_copy_reaches_what_was_asked_for_with_it(books):
    root = await books.fill()
    copy = narrowed(root, "max_request_msat=5000")
    narrower = narrowed(copy, "max_request_msat=4000")

    mine = [await books.child(copy), await books.child(copy, "rights=read")]
    mine.append(await books.child(narrower))
    mine.append(await books.child(mine[0]))

    assert await names(books, copy) == {name_of(token) for token in mine}
    assert await names(books, narrower) == {name_of(mine[2])}
    assert await names(books, root) == {name_of(token) for token in (root, *mine)}


async def test_two_copies_narrowed_in_other_ways_do_not_reach_one_another(books):
    root = await books.fill()
    one, other = narrowed(root, "max_request_msat=5000"), narrowed(root, "max_request_msat=6000")
    await books.child(one)

    assert await names(books, other) == set()


async def test_a_child_with_limits_of_its_own_is_no_copy_of_itself(books):
    root = await books.fill()
    child = await books.child(root, "rights=read,spend,manage")

    assert await names(books, child) == {name_of(child)}
    assert await names(books, narrowed(child, "rights=read,spend,manage")) == set()


async def test_a_large_family_is_found_and_revoked_whole(books):
    root = await books.fill()
    head = youngest = await books.child(root)
    for _ in range(30):
        youngest = await books.child(youngest)
        await books.child(youngest)

    assert len(await names(books, head)) == 61
    await books.revoke(head)

    assert not await opens(books, youngest)
    assert await names(books, root) == {name_of(root)}


# Preimages


async def test_a_challenge_opens_nothing_without_its_preimage(books):
    root, preimage = await books.challenged()

    assert not await opens(books, root)
    assert not await opens(books, replace(root, preimage=bytes(32)))
    assert await opens(books, replace(root, preimage=preimage))


async def test_neither_does_a_copy_of_it(books):
    root, preimage = await books.challenged()
    copy = narrowed(root, "rights=read")

    assert not await opens(books, copy)
    assert await opens(books, replace(copy, preimage=preimage))


async def test_a_token_asked_for_with_a_challenge_needs_none(books):
    root, preimage = await books.challenged()

    child = await books.child(replace(root, preimage=preimage))

    assert await opens(books, child)


async def test_where_none_is_needed_a_wrong_one_is_refused_all_the_same(books):
    root = await books.fill()

    assert await opens(books, root)
    assert not await opens(books, replace(root, preimage=bytes(32)))


# Sessions that nobody paid


async def test_a_session_that_has_ended_opens_for_no_token(books):
    session_id, root = await books.wait_for_deposit()
    child = await books.child(root)

    await books.store.write(sessions.end_unpaid, session_id, NOW_MS + 86_400_000)

    assert not await opens(books, root)
    assert not await opens(books, child)


async def test_money_that_still_comes_revives_it_with_all_its_tokens(books):
    session_id, root = await books.wait_for_deposit()
    child = await books.child(root)
    await books.store.write(sessions.end_unpaid, session_id, NOW_MS + 86_400_000)

    await books.pay(session_id, "deposit")

    assert await opens(books, root)
    assert await opens(books, child)
    assert (await books.session(session_id)).state == "active"


async def test_a_session_does_not_end_before_its_time(books):
    session_id, root = await books.wait_for_deposit()

    await books.store.write(sessions.end_unpaid, session_id, NOW_MS + 86_399_999)

    assert await opens(books, root)


async def test_a_wait_is_only_ever_made_longer(books):
    session_id, root = await books.wait_for_deposit()

    await books.store.write(sessions.wait_longer, session_id, NOW_MS + 90_000_000)
    await books.store.write(sessions.wait_longer, session_id, NOW_MS + 60_000)
    await books.store.write(sessions.end_unpaid, session_id, NOW_MS + 86_400_000)

    assert await opens(books, root)
