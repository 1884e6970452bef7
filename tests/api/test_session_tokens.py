"""Tokens over HTTP: each weaker than the one that asked for it, and revoked with all its kin."""

import base64

import pytest

from core.values.caveats import read_caveats
from core.values.tokens import from_text, to_bearer, to_l402
from tests.api.account import (
    ABSENT_TOKEN,
    ALL_RIGHTS,
    SORT,
    Account,
    account,
    all_but,
    shop_on,
)

__all__ = ["account", "shop_on"]


async def listed(account):
    """What the account's token reaches, by id."""
    return {token["tokenId"]: token for [token] in await account.pages("/sessions/me/tokens", 1)}


async def revoked(account, token_id):
    return await account.delete(f"/sessions/me/tokens/{token_id}")


async def opens(account):
    """Whether the account's token is let in at all."""
    answer = await account.get("/sessions/me/ledger")
    assert answer.status in {200, 401, 403}
    return answer.status != 401


# Asking for one


async def test_a_token_is_shown_once_and_known_by_its_id(account):
    answer = await account.post("/sessions/me/tokens", {"label": "my editor"})
    token_id = answer.json["tokenId"]

    assert answer.status == 201
    assert set(answer.json) == {"tokenId", "macaroon"}
    assert answer.json["macaroon"] == to_bearer(from_text(answer.json["macaroon"]))
    assert (await listed(account))[token_id] == {
        "tokenId": token_id,
        "label": "my editor",
        "caveats": ["rights=read,spend"],
    }


async def test_without_rights_it_may_read_and_spend(account):
    child, _ = await account.child()

    reading = await child.get("/sessions/me")
    spending = await child.post("/sessions/me/jobs", {"request": SORT})
    others = [
        await child.post("/sessions/me/topup", {"amountSats": 100}),
        await child.post("/sessions/me/tokens", {"label": "x"}),
        await child.get("/sessions/me/tokens"),
        await child.delete("/sessions/me"),
    ]

    assert (reading.status, spending.status) == (200, 201)
    assert [(answer.status, answer.code) for answer in others] == [(403, "forbidden")] * 4


async def test_all_limits_stand_in_the_token_in_their_order(account):
    child, token_id = await account.child(
        budgetMsat=5_000,
        maxRequestMsat=4_000,
        expiresAt="2100-01-01T01:00:00.900+01:00",
        models=["offline", "other"],
        rights=["manage", "read"],
    )

    [expiry, budget, *others] = (await listed(account))[token_id]["caveats"]

    assert expiry == "expires_at=4102444800"
    assert budget.startswith("budget_msat=5000;id=")
    assert others == ["max_request_msat=4000", "models=offline,other", "rights=read,manage"]
    assert list(await listed(child)) == [token_id]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/label"),
        ({"label": ""}, "/label"),
        ({"label": "x" * 101}, "/label"),
        ({"label": "x", "budgetMsat": -1}, "/budgetMsat"),
        ({"label": "x", "budgetMsat": 1.0}, "/budgetMsat"),
        ({"label": "x", "budgetMsat": 2**53 + 1}, "/budgetMsat"),
        ({"label": "x", "maxRequestMsat": "1"}, "/maxRequestMsat"),
        ({"label": "x", "models": []}, "/models"),
        ({"label": "x", "models": "offline"}, "/models"),
        ({"label": "x", "models": ["a b"]}, "/models/0"),
        ({"label": "x", "models": ["a,b"]}, "/models/0"),
        ({"label": "x", "models": [""]}, "/models/0"),
        ({"label": "x", "rights": []}, "/rights"),
        ({"label": "x", "rights": ["all"]}, "/rights/0"),
        ({"label": "x", "parent": "tok_"}, "/parent"),
    ],
)
async def test_a_wrong_field_is_a_400_that_points_at_it(account, fields, pointer):
    answer = await account.post("/sessions/me/tokens", fields)

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


NO_TIMES = [
    "tomorrow",
    "2100-01-01",
    "2100-01-01T00:00:00",
    "2100-01-01 00:00:00Z",
    "2100-01-01T00:00Z",
    "2100-W01-1T00:00:00Z",
    "21000101T000000Z",
    "2100-13-01T00:00:00Z",
    "2100-02-30T00:00:00Z",
    "2100-01-01T24:00:00Z",
    "2100-01-01T00:00:00Z\n",
    "2100-01-01T00:00:00+1:00",
    "2100-01-01T00:00:00.Z",
    "\u0662100-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31T23:59:59Z",
    4102444800,
    "",
]


async def test_a_time_that_is_none_is_a_400(account):
    answers = {
        expires_at: await account.post(
            "/sessions/me/tokens", {"label": "x", "expiresAt": expires_at}
        )
        for expires_at in NO_TIMES
    }

    assert {text for text, answer in answers.items() if answer.status != 400} == set()
    assert {answer.json["errors"][0]["pointer"] for answer in answers.values()} == {"/expiresAt"}


@pytest.mark.parametrize(
    "expires_at",
    ["2100-01-01T00:00:00Z", "2099-12-31t19:00:00.123456-05:00", "2100-01-01T00:00:00.9999999z"],
)
async def test_a_time_may_be_written_as_rfc_3339_allows(account, expires_at):
    _, token_id = await account.child(expiresAt=expires_at)

    assert (await listed(account))[token_id]["caveats"][0] == "expires_at=4102444800"


async def test_the_last_moment_that_can_be_written_is_taken(account):
    child, _ = await account.child(expiresAt="9999-12-31T23:59:59-23:59")

    assert await opens(child)


async def test_a_token_that_has_expired_opens_nothing(account):
    child, token_id = await account.child(expiresAt="2020-01-01T00:00:00Z")

    assert not await opens(child)
    assert token_id in await listed(account)


async def test_there_is_an_end_to_caveats_and_nothing_is_made_beyond(account):
    child = account
    for _ in range(32):
        child, _ = await child.child(rights=list(ALL_RIGHTS), maxRequestMsat=10**6, label="x")
        if len((await child.pages("/sessions/me/tokens", 1))[0][0]["caveats"]) == 32:
            break
    before = len(await listed(account))

    answer = await child.post("/sessions/me/tokens", {"label": "one too many"})

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert len(await listed(account)) == before


# Never wider


async def test_a_token_cannot_make_a_wider_one(account):
    child, _ = await account.child(
        budgetMsat=50_000,
        maxRequestMsat=40_000,
        expiresAt="2100-01-01T00:00:00Z",
        models=["offline"],
        rights=["read", "manage"],
    )

    wider, token_id = await child.child(
        budgetMsat=10**9,
        maxRequestMsat=10**9,
        expiresAt="2200-01-01T00:00:00Z",
        models=["offline", "other"],
        rights=list(ALL_RIGHTS),
    )

    allowed = read_caveats((await listed(child))[token_id]["caveats"])
    assert allowed.rights == {"read", "manage"}
    assert (allowed.max_request_msat, allowed.expires_at_s) == (40_000, 4_102_444_800)
    assert allowed.models == {"offline"}
    assert sorted(budget.limit for budget in allowed.budgets) == [50_000, 10**9]
    assert (await wider.post("/sessions/me/jobs", {"request": SORT})).status == 403


async def test_a_copy_cannot_make_a_wider_one_either(account):
    copy = account.narrowed("rights=read,manage", "max_request_msat=5")

    wider, token_id = await copy.child(rights=list(ALL_RIGHTS))

    assert (await listed(copy))[token_id]["caveats"][:2] == [
        "rights=read,manage",
        "max_request_msat=5",
    ]
    assert (await wider.post("/sessions/me/topup", {"amountSats": 100})).status == 403


async def test_ten_tokens_made_by_one_with_a_budget_share_it(shop_on):
    account = await Account.filled(shop_on)
    parent, _ = await account.child(budgetMsat=5 * 21_000, rights=["read", "spend", "manage"])
    children = [(await parent.child())[0] for _ in range(10)]

    answers = [await child.post("/sessions/me/jobs", {"request": SORT}) for child in children]

    assert [answer.status for answer in answers] == [201] * 5 + [429] * 5
    assert (await account.post("/sessions/me/jobs", {"request": SORT})).status == 201


async def test_two_tokens_with_budgets_of_their_own_do_not(account):
    children = [(await account.child(budgetMsat=21_000))[0] for _ in range(2)]

    answers = [await child.post("/sessions/me/jobs", {"request": SORT}) for child in children]

    assert [answer.status for answer in answers] == [201, 201]


# A second root


async def test_a_token_without_limits_can_make_another_without(account):
    second, token_id = await account.child(rights=list(ALL_RIGHTS), label="spare")

    assert (await listed(second))[token_id]["caveats"] == []
    assert set(await listed(second)) == {token_id}
    assert token_id not in await listed(account)


@pytest.mark.parametrize(
    "limit",
    [
        {"budgetMsat": 10**9},
        {"maxRequestMsat": 10**9},
        {"expiresAt": "2100-01-01T00:00:00Z"},
        {"models": ["offline"]},
        {"rights": [right for right in ALL_RIGHTS if right != "withdraw"]},
    ],
)
async def test_with_any_limit_it_is_a_child(account, limit):
    _, token_id = await account.child(**{"rights": list(ALL_RIGHTS), **limit})

    assert (await listed(account))[token_id]["caveats"] != []


async def test_a_token_with_a_limit_makes_no_root(account):
    child, _ = await account.child(rights=list(ALL_RIGHTS), maxRequestMsat=10**9)
    copy = account.narrowed("rights=" + ",".join(ALL_RIGHTS))

    for parent in (child, copy):
        _, token_id = await parent.child(rights=list(ALL_RIGHTS))
        assert token_id in await listed(account)


# Listing


async def test_tokens_are_listed_page_by_page_newest_first(shop_on):
    account = await Account.filled(shop_on)
    first, first_id = await account.child(rights=["read", "manage"])
    ids = [first_id, (await first.child())[1], (await account.child())[1]]
    ids.append((await first.child())[1])

    pages = await account.pages("/sessions/me/tokens", 2)

    assert [len(page) for page in pages] == [2, 2, 1]
    shown = [token["tokenId"] for page in pages for token in page]
    assert sorted(shown[:-1]) == sorted(ids)
    assert shown[-1] not in ids


async def test_a_token_lists_itself_and_what_stems_from_it(account):
    parent, parent_id = await account.child(rights=["read", "manage"])
    _, sibling_id = await account.child(rights=["read", "manage"])
    _, child_id = await parent.child()

    assert set(await listed(parent)) == {parent_id, child_id}
    assert {parent_id, sibling_id, child_id} < set(await listed(account))


async def test_a_narrowed_copy_reaches_neither_parent_nor_siblings(account):
    rights = ["read", "spend", "manage"]
    sibling, sibling_id = await account.child(rights=rights)
    copy = account.narrowed("rights=read,spend,manage")
    _, child_id = await copy.child()
    whole = next(name for name, token in (await listed(account)).items() if not token["label"])

    answers = [await revoked(copy, name) for name in (whole, sibling_id)]

    assert set(await listed(copy)) == {child_id}
    assert {(answer.status, answer.code) for answer in answers} == {(404, "not_found")}
    assert await opens(account)
    assert await opens(sibling)
    assert (await revoked(copy, child_id)).status == 200


# Revoking


async def test_revoking_kills_every_copy_and_child(shop_on):
    account = await Account.filled(shop_on)
    parent, parent_id = await account.child(rights=["read", "spend", "manage"])
    child, _ = await parent.child()
    copies = [parent.narrowed("rights=read"), child.narrowed("max_request_msat=1")]

    answer = await revoked(account, parent_id)

    assert (answer.status, answer.json) == (200, {"tokenId": parent_id, "revoked": True})
    for dead in (parent, child, *copies):
        assert not await opens(dead)
    assert await opens(account)


async def test_a_revoked_token_is_refused_in_every_spelling_and_coat(account):
    child, token_id = await account.child()
    await revoked(account, token_id)
    raw = from_text(child.token)
    spellings = {to_bearer(raw), to_l402(raw), to_l402(raw).rstrip("=")}
    spellings.add(base64.urlsafe_b64encode(raw).decode())
    preimage = "0" * 64

    for text in spellings:
        for headers in (
            {"Authorization": f"Bearer {text}"},
            {"X-Api-Key": text},
            {"Authorization": f"L402 {text}:{preimage}"},
            {"Authorization": f"LSAT {text}:{preimage}"},
            {"X-Api-Key": f"{text}:{preimage}"},
        ):
            answer = await account.shop.get("/sessions/me", headers=headers)
            assert (answer.status, answer.code) == (401, "unauthorized")


async def test_what_is_out_of_reach_cannot_be_revoked(account):
    other = await Account.filled(account.shop)
    _, foreign_id = await other.child()
    parent, _ = await account.child(rights=["read", "manage"])
    _, sibling_id = await account.child()
    _, gone_id = await account.child()
    await revoked(account, gone_id)

    answers = [
        await revoked(parent, name)
        for name in (foreign_id, sibling_id, gone_id, ABSENT_TOKEN, "nonsense", "%00")
    ]

    assert {(answer.status, answer.code) for answer in answers} == {(404, "not_found")}
    assert len({answer.json["detail"] for answer in answers}) == 1


async def test_revoking_needs_the_right_to_manage(account):
    child, token_id = await account.child()
    weak = account.narrowed(all_but("manage"))

    assert (await revoked(child, token_id)).status == 403
    assert (await revoked(child, ABSENT_TOKEN)).status == 404
    assert (await revoked(weak, token_id)).status == 404
    assert await opens(child)


async def test_of_two_roots_one_may_go(account):
    second, second_id = await account.child(rights=list(ALL_RIGHTS))
    [own_id] = await listed(account)

    first = await revoked(account, own_id)
    last = await revoked(second, second_id)

    assert (first.status, last.status) == (200, 409)
    assert not await opens(account)
    assert await opens(second)


async def test_the_only_root_cannot_be_revoked(account):
    [own_id] = await listed(account)

    answer = await revoked(account, own_id)

    assert (answer.status, answer.code) == (409, "wrong_state")
    assert await opens(account)


async def test_a_token_may_revoke_itself(account):
    child, token_id = await account.child(rights=["manage"])

    assert (await revoked(child, token_id)).status == 200
    assert not await opens(child)
