"""Bodies: how large, of which kind, in which encoding; and the order in which that is asked."""

import gzip
import json
import zlib

import pytest

from tests.api.wire import wire_to

JSON = {"Content-Type": "application/json"}
ORDER = json.dumps({"request": "Sort these names: Zoe, Adam"}).encode()


async def chunks(*pieces: bytes):
    for piece in pieces:
        yield piece


def padded(size: int) -> bytes:
    return ORDER + b" " * (size - len(ORDER))


async def test_a_body_of_exactly_the_limit_is_read(shop):
    assert (await shop.post("/jobs", data=padded(65_536), headers=JSON)).status == 201


@pytest.mark.parametrize("headers", [JSON, {"Content-Type": "text/plain"}], ids=["json", "text"])
async def test_one_byte_more_is_a_413_before_anything_else(shop, headers):
    answer = await shop.post("/jobs", data=padded(65_537), headers=headers)

    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_a_body_without_a_length_is_counted_as_it_comes(shop):
    fits = await shop.post("/jobs", data=chunks(ORDER, b" " * 60_000), headers=JSON)
    too_large = await shop.post("/jobs", data=chunks(ORDER, b" " * 65_536), headers=JSON)

    assert (fits.status, too_large.status) == (201, 413)


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(shop):
    async with wire_to(shop.port) as wire:
        await wire.send("POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n")

        assert "413" in await wire.head()


async def test_a_large_body_is_refused_on_a_get_too(shop):
    assert (await shop.get("/info", data=b" " * 65_537)).status == 413


@pytest.mark.parametrize("squeeze", [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_counted_as_what_it_becomes(shop, squeeze):
    encoding, compress = squeeze
    headers = {**JSON, "Content-Encoding": encoding}

    small = await shop.post("/jobs", data=compress(ORDER), headers=headers)
    bomb = await shop.post("/jobs", data=compress(padded(50_000_000)), headers=headers)
    broken = await shop.post("/jobs", data=b"\xff" * 100, headers=headers)

    assert (small.status, bomb.status, broken.status) == (201, 413, 400)
    assert broken.code == "invalid_request"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonl", "multipart/form-data"],
)
async def test_only_json_is_read(shop, content_type):
    answer = await shop.post("/jobs", data=ORDER, headers={"Content-Type": content_type})

    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 201),
        ('application/json; charset="UTF-8"', 201),
        ("APPLICATION/JSON", 201),
        ("application/json; charset=utf-16", 400),
        ("application/json; charset=latin-1", 400),
        ("application/json; charset=nonsense", 400),
    ],
)
async def test_json_is_utf_8_and_nothing_else(shop, content_type, status):
    answer = await shop.post("/jobs", data=ORDER, headers={"Content-Type": content_type})

    assert answer.status == status


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{", 415),
        ({"X-Api-Key": "bad", **JSON}, b"{", 401),
        (JSON, b"", 401),
    ],
)
async def test_each_check_has_its_place(shop, headers, body, status):
    job = await shop.order()

    for path in (f"/jobs/{job['jobId']}/cancel", "/jobs/nonsense/cancel"):
        assert (await shop.post(path, data=body, headers=headers)).status == status


async def test_an_absent_job_is_said_before_a_wrong_body(shop):
    token = (await shop.order())["jobToken"]

    answer = await shop.post(
        "/jobs/nonsense/cancel", data=b"{", headers={"X-Api-Key": token, **JSON}
    )

    assert answer.status == 404


@pytest.mark.parametrize("expectation", ["100-continue", "a miracle"])
async def test_an_expectation_is_met_or_ignored(shop, expectation):
    async with wire_to(shop.port) as wire:
        await wire.send(
            "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Expect: {expectation}\r\nContent-Length: {len(ORDER)}\r\n\r\n"
        )
        if expectation == "100-continue":
            assert "100 Continue" in await wire.head()
        await wire.send(ORDER.decode())

        assert "201 Created" in await wire.head()


async def test_a_broken_chunk_is_a_400(shop):
    async with wire_to(shop.port) as wire:
        await wire.send(
            "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"
        )

        assert "400 Bad Request" in await wire.head()
