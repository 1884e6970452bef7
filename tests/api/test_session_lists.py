"""A session's lists: page by page, nothing lost and nothing twice."""

import base64
from itertools import pairwise

import pytest

from tests.api.account import Account, account, credited, shop_on

__all__ = ["account", "shop_on"]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_the_account_adds_up_page_by_page(shop_on, limit):
    account = await Account.filled(shop_on)
    for _ in range(5):
        await account.worked()
    topped_up = await account.post("/sessions/me/topup", {"amountSats": 100})
    balance_msat = (await account.session())["balanceMsat"] + 100_000
    await shop_on.pay(topped_up.json["topupInvoice"])
    await credited(account, balance_msat)

    pages = await account.pages("/sessions/me/ledger", limit)

    entries = [entry for page in pages for entry in page]
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert [entry["kind"] for entry in entries] == ["topup", *["charge"] * 10, "deposit"]
    assert len({entry["entryId"] for entry in entries}) == 12
    assert sum(entry["amountMsat"] for entry in entries) == balance_msat
    for newer, older in pairwise(entries):
        assert newer["balanceMsat"] == older["balanceMsat"] + newer["amountMsat"]
        assert newer["at"] >= older["at"]
    assert entries[0]["balanceMsat"] == balance_msat


async def test_jobs_are_listed_page_by_page_newest_first(shop_on):
    account = await Account.filled(shop_on)
    ordered = [(await account.order())["jobId"] for _ in range(7)]

    pages = await account.pages("/sessions/me/jobs", 3)

    assert [len(page) for page in pages] == [3, 3, 1]
    listed = [job for page in pages for job in page]
    assert sorted(job["jobId"] for job in listed) == sorted(ordered)
    times = [job["createdAt"] for job in listed]
    assert times == sorted(times, reverse=True)


async def test_what_comes_meanwhile_moves_no_page(shop_on):
    account = await Account.filled(shop_on)
    for _ in range(4):
        await account.order()
    paths = ["/sessions/me/jobs", "/sessions/me/ledger"]
    before = [(await account.pages(path, 100))[0] for path in paths]
    firsts = [await account.get(f"{path}?limit=2") for path in paths]

    await account.order()

    for path, known, first in zip(paths, before, firsts, strict=True):
        rest = await account.get(f"{path}?limit=100&cursor={first.json['nextCursor']}")
        names = ["jobId" if "jobId" in item else "entryId" for item in known]
        shown = first.json["items"] + rest.json["items"]
        assert [item[name] for item, name in zip(shown, names, strict=True)] == [
            item[name] for item, name in zip(known, names, strict=True)
        ]


def cursor(text):
    return base64.urlsafe_b64encode(text.encode("latin-1")).decode().rstrip("=")


NO_PAGES = [
    "limit=0",
    "limit=101",
    "limit=-1",
    "limit=1.0",
    "limit=1e1",
    "limit=",
    "limit=1&limit=2",
    "cursor=",
    "cursor=!",
    "cursor=A",
    "cursor=%00",
    f"cursor={cursor('x')}",
    f"cursor={cursor('-1')}",
    f"cursor={cursor('1' * 30)}",
    f"cursor={cursor('1 ' + chr(0))}",
    f"cursor={cursor('1 x')}",
    f"cursor={cursor('1 job_')}",
    f"cursor={cursor(chr(0xB2))}",
]


@pytest.mark.parametrize("name", ["ledger", "jobs", "tokens"])
async def test_a_page_that_cannot_be_meant_is_a_400(shop_on, name):
    account = await Account.filled(shop_on)

    answers = {query: await account.get(f"/sessions/me/{name}?{query}") for query in NO_PAGES}

    assert {query for query, answer in answers.items() if answer.status != 400} == set()
    assert {answer.code for answer in answers.values()} == {"invalid_request"}


async def test_a_cursor_of_another_list_is_none(account):
    await account.worked()
    await account.worked()
    await account.child()
    names = ["ledger", "jobs", "tokens"]
    answers = [await account.get(f"/sessions/me/{name}?limit=1") for name in names]
    cursors = [answer.json["nextCursor"] for answer in answers]

    for name in names:
        for other, given in zip(names, cursors, strict=True):
            answer = await account.get(f"/sessions/me/{name}?limit=1&cursor={given}")
            assert answer.status == (200 if name == other else 400)
