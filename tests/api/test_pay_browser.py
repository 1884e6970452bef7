"""The pay page in a real browser: Debian's Chromium, the size of a small phone."""

import io
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

PUBLIC = "https://shop.example"
PHONE = {"width": 360, "height": 740}
TURNS_MS = 2_000
CHROMIUM = shutil.which("chromium") or "chromium"  # the name in the message where it is missing


@pytest.fixture
async def shop(open_shop):
    return await open_shop(SERVER__PUBLIC_URL=PUBLIC)


@asynccontextmanager
async def phone(**options) -> AsyncIterator[Page]:
    """A page of a phone's browser."""
    async with async_playwright() as playwright:
        # --no-sandbox: a container's root has no user namespaces to build the sandbox from.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        context = await browser.new_context(viewport=PHONE, locale="en-GB", **options)
        try:
            yield await context.new_page()
        finally:
            await context.close()
            await browser.close()


def address(shop, invoice):
    return f"http://127.0.0.1:{shop.port}{invoice['payUrl'].removeprefix(PUBLIC)}"


async def is_too_wide(page: Page) -> bool:
    return await page.evaluate("document.documentElement.scrollWidth > innerWidth")


async def test_an_open_page_turns_to_paid_by_itself_and_asks_nobody_else(shop):
    invoice = (await shop.order())["evalInvoice"]
    asked: list[str] = []
    complaints: list[str] = []

    async with phone() as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        async with page.expect_request("**/status?status=open*"):
            await page.goto(address(shop, invoice))
        await expect(page.locator("#left")).to_contain_text(":")
        was_too_wide = await is_too_wide(page)
        await shop.pay(invoice)
        await expect(page.get_by_text("Paid. You can close this page.")).to_be_visible(
            timeout=TURNS_MS
        )

        assert not await page.get_by_role("link", name="Open wallet").is_visible()
        assert await page.title() == "Paid ✓ · Boltwork"
        assert not was_too_wide
        assert not await is_too_wide(page)
    assert complaints == []
    assert {url.split("/")[2] for url in asked if not url.startswith("data:")} == {
        f"127.0.0.1:{shop.port}"
    }


async def test_the_invoice_can_be_copied_and_opened_in_a_wallet(shop):
    invoice = (await shop.order())["evalInvoice"]

    async with phone(permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.goto(address(shop, invoice))
        await page.get_by_role("button", name="Copy invoice").click()

        await expect(page.get_by_role("button", name="Copied ✓")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == invoice["paymentRequest"]
        link = page.get_by_role("link", name="Open wallet")
        assert await link.get_attribute("href") == f"lightning:{invoice['paymentRequest']}"


async def test_without_scripts_and_in_the_dark_a_wallet_reads_the_code_and_the_page_comes_again(
    shop,
):
    invoice = (await shop.order())["evalInvoice"]

    async with phone(java_script_enabled=False, color_scheme="dark") as page:
        await page.goto(address(shop, invoice))
        await expect(page.get_by_role("img", name="Scan with a Lightning wallet")).to_be_visible()
        await expect(page.get_by_text(invoice["paymentRequest"])).to_be_visible()
        await expect(page.get_by_text("Valid until")).to_be_visible()
        assert not await page.get_by_role("button").is_visible()
        picture = Image.open(io.BytesIO(await page.screenshot()))
        (code,) = zxingcpp.read_barcodes(picture)
        assert code.text == f"LIGHTNING:{invoice['paymentRequest'].upper()}"

        await shop.pay(invoice)

        await expect(page.get_by_text("Paid. You can close this page.")).to_be_visible(
            timeout=10_000
        )


async def test_a_page_that_runs_out_says_so_and_still_hears_of_the_payment(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL=PUBLIC, JOBS__INVOICE_EXPIRY_S="1")
    invoice = (await shop.order())["evalInvoice"]

    async with phone() as page:
        await page.goto(address(shop, invoice))
        await expect(page.get_by_text("This invoice ran out")).to_be_visible()

        await shop.pay(invoice)

        await expect(page.get_by_text("Paid. You can close this page.")).to_be_visible(
            timeout=TURNS_MS
        )
