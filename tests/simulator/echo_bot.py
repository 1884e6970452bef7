"""A small shop in a chat, to try the story runner on: it is asked like the program, as a process.

It knows what the runner has to be able to see: a card with a code in a photo, an edit after the
payment, a press, the time, and a start on what it has left (nothing but a count).
"""

import asyncio
import io
import json
import os
import re
import sys
import time
from pathlib import Path

import aiohttp
import segno
from aiohttp import web
from telegram import Bot, CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from telegram.error import TimedOut
from telegram.request import HTTPXRequest


class Shop:
    def __init__(self, environ: dict[str, str], lnbits: aiohttp.ClientSession, bot: Bot) -> None:
        self.folder = Path(environ["BOLTWORK_SERVER__DATA_DIR"])
        self.lnbits = lnbits
        self.bot = bot
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        offset = 0
        while True:
            try:
                updates = await self.bot.get_updates(offset=offset, timeout=5)
            except TimedOut:  # time has passed
                continue
            for update in updates:
                if update.message and update.message.text:
                    await self.answer(update.message, update.message.text)
                if update.callback_query:
                    await self.pressed(update.callback_query)
                offset = update.update_id + 1

    async def answer(self, message: Message, text: str) -> None:
        if text == "time":
            moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
            await self.bot.send_message(message.chat_id, moment)
        elif text == "count":
            (self.folder / f"asked-{message.message_id}").touch()
            count = len(list(self.folder.glob("asked-*")))
            await self.bot.send_message(message.chat_id, f"You asked {count} times.")
        elif text.startswith("buy"):
            await self.sell(message.chat_id, swindle="cheap" in text)
        else:
            await self.bot.send_message(message.chat_id, f"You said: {text}")

    async def sell(self, chat_id: int, *, swindle: bool) -> None:
        """Show a card; a swindler's picture is not what its caption says."""
        bill = await self.bill(21)
        other = await self.bill(2100) if swindle else bill
        code = io.BytesIO()
        shown = f"LIGHTNING:{other['bolt11'].upper()}"
        segno.make(shown, error="l").save(code, kind="png", scale=4)
        card = await self.bot.send_photo(
            chat_id,
            code.getvalue(),
            caption=f"Card #7F3K: 21 sat\n{bill['bolt11']}",
            reply_markup=InlineKeyboardMarkup(
                [
                    [InlineKeyboardButton("Open wallet", url="https://shop.example.org/pay/1")],
                    [InlineKeyboardButton("Cancel", callback_data="cancel")],
                ]
            ),
        )
        task = asyncio.create_task(self.deliver(card, bill["payment_hash"]))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def bill(self, sats: int) -> dict[str, str]:
        order = {"out": False, "amount": sats, "memo": "card", "expiry": 900}
        async with self.lnbits.post("/api/v1/payments", json=order) as answer:
            made: dict[str, str] = await answer.json()
            return made

    async def deliver(self, card: Message, payment_hash: str) -> None:
        while True:
            async with self.lnbits.get(f"/api/v1/payments/{payment_hash}") as answer:
                if (await answer.json())["paid"]:
                    break
            await asyncio.sleep(0.02)
        await self.bot.edit_message_caption(card.chat_id, card.message_id, caption="Paid 21 sat")
        await self.bot.send_message(card.chat_id, "Here it is.")

    async def pressed(self, query: CallbackQuery) -> None:
        await self.bot.answer_callback_query(query.id, "OK")
        assert query.message is not None
        await self.bot.edit_message_caption(
            query.message.chat.id, query.message.message_id, caption="Cancelled #7F3K"
        )


def patient_request() -> HTTPXRequest:
    """Without time limits: days pass while a call is under way."""
    return HTTPXRequest(
        connection_pool_size=8,
        read_timeout=None,
        write_timeout=None,
        connect_timeout=None,
        pool_timeout=None,
        httpx_kwargs={"verify": False},
    )


async def main(environ: dict[str, str]) -> None:
    async def ready(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    bot = Bot(
        environ["BOLTWORK_TELEGRAM__TOKEN"],
        base_url=f"{environ['BOLTWORK_TELEGRAM__API_BASE']}/bot",
        request=patient_request(),
        get_updates_request=patient_request(),
    )
    key = {"X-Api-Key": environ["BOLTWORK_WALLET__LNBITS__INVOICE_KEY"]}
    lnbits = aiohttp.ClientSession(
        environ["BOLTWORK_WALLET__LNBITS__URL"],
        headers=key,
        timeout=aiohttp.ClientTimeout(total=None),
    )
    async with bot, lnbits:
        sys.stdout.write(json.dumps({"url": url, "operatorUrl": url}) + "\n")
        sys.stdout.flush()
        await Shop(environ, lnbits, bot).run()


if __name__ == "__main__":
    assert re.match(r"\d+:", os.environ["BOLTWORK_TELEGRAM__TOKEN"])
    asyncio.run(main(dict(os.environ)))
