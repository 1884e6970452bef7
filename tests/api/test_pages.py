"""Pages: they say what is for sale, and load nothing from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import api
from api.problems import KINDS

STATIC = Path(api.__file__).parent / "static"
PAGES = ["/", "/docs", "/docs/errors"]


class Loads(HTMLParser):
    """What a page makes a browser fetch, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.fetched += [named[name] for name in ("src", "action") if name in named]
        if "href" in named:
            (self.fetched if tag == "link" else self.links).append(named["href"])


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fetches_only_what_this_server_has(shop, path):
    answer = await shop.get(path)
    page = Loads(answer.body.decode())

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for place in page.fetched + page.links:
        assert place.startswith("data:") or not re.match(r"[a-z]+:|/", place)
        if not place.startswith("data:"):
            # Places are relative, so that pages work below a prefix of a reverse proxy too.
            found = await shop.get(f"/{place}")
            assert found.status in {200, 400}, place  # 400: the demo, asked for nothing


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_a_phone(shop, path):
    assert b'name="viewport" content="width=device-width' in (await shop.get(path)).body


async def test_the_front_page_names_prices_and_says_when_money_is_play_money(open_shop):
    shop = await open_shop(
        PRICING__EVAL_FEE_SATS="33",
        MODELS='[{"id":"fast/one","input_msat_per_1k":500,"output_msat_per_1k":1234567}]',
        OPERATOR__CONTACT="<script>alert(1)</script>",
    )

    page = (await shop.get("/")).body.decode()

    assert "33 sat" in page
    assert "fast/one" in page
    assert "0.5 sat" in page
    assert "1,234.567 sat" in page
    assert "play money" in page
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


async def test_every_code_is_explained_where_problems_point(shop):
    page = (await shop.get("/docs/errors")).body.decode()
    problem = (await shop.get("/nothing")).json

    assert problem["type"] == "/docs/errors#not_found"
    for code in KINDS:
        assert f'id="{code}"' in page


async def test_the_documentation_asks_nobody_to_validate_it(shop):
    script = (await shop.get("/docs/docs.js")).body.decode()

    assert "validatorUrl: null" in script


async def test_only_the_files_of_the_documentation_are_served(shop):
    bundle = await shop.get("/docs/swagger-ui-bundle.js")

    assert bundle.status == 200
    assert bundle.headers["Cache-Control"] == "public, max-age=86400"
    for name in ("LICENSE", "nothing.js", "..%2Fhome.html", "%2e%2e/page.css"):
        assert (await shop.get(f"/docs/{name}")).status == 404


def test_the_licence_travels_with_the_documentation():
    assert "Apache License" in (STATIC / "swagger-ui" / "LICENSE").read_text()
    assert "swagger-ui" in (STATIC / "swagger-ui" / "NOTICE").read_text()


async def test_programs_read_the_same_offer(open_shop):
    shop = await open_shop(PRICING__EVAL_FEE_SATS="33", LIMITS__REQUESTS_PER_MINUTE="0")

    offer = (await shop.get("/info")).json

    assert offer["prices"]["evalFeeSats"] == 33
    assert offer["limits"]["requestsPerMinute"] == 0
    assert offer["models"][0] == {
        "id": "offline",
        "inputMsatPer1k": 1000,
        "outputMsatPer1k": 4000,
        "maxOutputTokens": 4096,
        "contextTokens": 32768,
    }
    assert (offer["isPlayMoney"], offer["network"]) == (True, "regtest")
