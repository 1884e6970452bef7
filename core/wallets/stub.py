"""The stub wallet: a wallet for development whose money is play money, and which says so.

It makes real invoices (regtest, signed by a key of its own, readable by every BOLT11 reader) and
`pay` plays the customer who pays them. It refuses nothing. As a wallet it is outside our books: it
keeps a journal of its own in the data folder, so that a process which dies at any moment finds
at its next start what the "outside world" knows, and our books have to catch up with it. Invoices
that are made in the same turn of the loop wait for the disk together.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import structlog

from core.values import bolt11
from core.values.clock import Clock
from core.values.errors import NotFound, WalletUnavailable
from core.values.keys import SECRET_BYTES, derive, parse_secret
from core.values.money import MSAT_PER_SAT, Msat, from_sats
from core.wallets.port import (
    LookUp,
    Movement,
    NotPaid,
    Paid,
    Settlement,
    Unknown,
    WalletInvoice,
)
from core.wallets.stub_journal import StubJournal

log = structlog.get_logger(__name__)

MEMO_PREFIX = "TEST "

_KEY_FILE = "stub-wallet.key"
_ROUND_S = 1.0  # another process on the same folder may take a payment; so look, unasked
_PAGE_ROWS = 500
_DESCRIPTION_BYTES_MAX = 639  # what a BOLT11 description field holds
_FOREIGN_EXPIRY_S = 86_400


class StubWallet:
    """A `core.wallets.port.Wallet` that keeps its promises with play money."""

    def __init__(self, key: bytes, journal: StubJournal, *, clock: Clock) -> None:
        """Use `open`; this takes what it opened. Who pays out shares the `journal`."""
        self.journal = journal
        self._clock = clock
        self._key = key
        self._node_key = derive(key, "node")
        self._foreign_node_key = derive(key, "node of somebody else")
        self._news = asyncio.Event()  # replaced at every piece of news; see `_tell`
        self._fresh: list[dict[str, str | int]] = []  # rows of invoices made in this turn
        self._written: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, data_dir: Path, *, clock: Clock) -> "StubWallet":
        """The wallet that lives in this folder, which exists; made there when it is the first time.

        Raises WalletUnavailable when its files cannot be read or made.
        """
        try:
            key = _key_in(data_dir)
            journal = StubJournal.open(data_dir)
        except (OSError, ValueError, sqlite3.Error) as fault:
            raise WalletUnavailable(f"the stub wallet cannot open its files: {fault}") from fault
        return cls(key, journal, clock=clock)

    async def create_invoice(
        self, amount: Msat, *, memo: str, expiry_s: int, extra: Mapping[str, str]
    ) -> WalletInvoice:
        """An invoice on regtest whose description begins with TEST; a long memo is cut."""
        return await self._make(
            amount, node_key=self._node_key, memo=memo, expiry_s=expiry_s, extra=extra, owner="us"
        )

    async def look_up(self, payment_hash: str) -> LookUp:
        """Paid or NotPaid for an invoice made here, Unknown for every other hash."""
        try:
            row = self._find(payment_hash)
        except WalletUnavailable as fault:
            return Unknown(fault.reason)
        if row is None:
            return Unknown("the stub wallet never made an invoice with this hash")
        if row["number"] is None:
            return NotPaid()
        return Paid(Msat(row["amount_msat"]), row["preimage"])

    async def settlements(self) -> AsyncIterator[Settlement | None]:
        """All payments since the wallet was made, oldest first, then each one as it is made."""
        seen = 0
        while True:
            news = self._news  # taken before the look, so that nothing falls between
            try:
                rows = self._settled_after(seen)
            except WalletUnavailable as fault:
                log.warning("stub wallet is not readable", reason=fault.reason)
                await asyncio.sleep(_ROUND_S)
                continue
            for row in rows:
                seen = row["number"]
                yield _settlement(row)
            if len(rows) == _PAGE_ROWS:
                continue
            yield None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_S):
                    await news.wait()

    async def movements(self, *, since_ms: int) -> Sequence[Movement]:
        """What customers have paid since then, and all that was ever paid out."""
        return self.journal.movements(since_ms)

    def watch(self, payment_hashes: Sequence[str]) -> None:
        """Look for payments now."""
        if payment_hashes:
            self._tell()

    async def balance(self) -> Msat:
        """What customers have paid, less what was paid out."""
        return self.journal.balance()

    async def aclose(self) -> None:
        """Close the journal."""
        self.journal.close()

    async def pay(self, payment_hash: str) -> str:
        """Pay this invoice as a customer would, and return the preimage.

        A second time changes nothing and returns the same; after its expiry it is paid all the
        same. Raises NotFound for a hash that is not of an invoice made here.
        """
        self.journal.run(
            """INSERT INTO settlements (payment_hash, settled_at_ms)
               SELECT payment_hash, :now_ms FROM invoices
               WHERE payment_hash = :payment_hash AND owner = 'us'
               ON CONFLICT DO NOTHING""",
            payment_hash=payment_hash,
            now_ms=self._clock.now_ms(),
        )
        row = self._find(payment_hash)
        if row is None:
            raise NotFound
        self._tell()
        return str(row["preimage"])

    async def foreign_invoice(self, amount_sats: int) -> str:
        """An invoice of somebody else, whom a payout can pay; good for a day."""
        invoice = await self._make(
            from_sats(amount_sats),
            node_key=self._foreign_node_key,
            memo="invoice of somebody else",
            expiry_s=_FOREIGN_EXPIRY_S,
            extra={},
            owner="somebody else",
        )
        return invoice.bolt11

    async def _make(
        self,
        amount: Msat,
        *,
        node_key: bytes,
        memo: str,
        expiry_s: int,
        extra: Mapping[str, str],
        owner: str,
    ) -> WalletInvoice:
        assert amount > 0
        assert amount % MSAT_PER_SAT == 0, "invoices are over whole satoshi"
        name = secrets.token_hex(16)
        preimage = derive(self._key, f"preimage {name}")
        payment_hash = hashlib.sha256(preimage).hexdigest()
        created_at_s = self._clock.now_ms() // 1000
        text = bolt11.encode_and_sign(
            node_key,
            network="regtest",
            amount=amount,
            created_at_s=created_at_s,
            payment_hash=payment_hash,
            payment_secret=derive(self._key, f"payment secret {name}").hex(),
            description=_description(memo),
            expiry_s=expiry_s,
        )
        await self._write_down(
            {
                "payment_hash": payment_hash,
                "owner": owner,
                "bolt11": text,
                "preimage": preimage.hex(),
                "amount_msat": amount,
                "extra": json.dumps(dict(extra)),
            }
        )
        return WalletInvoice(payment_hash, text, amount, (created_at_s + expiry_s) * 1000)

    async def _write_down(self, invoice: dict[str, str | int]) -> None:
        """Return when this invoice is durable; it shares a commit with those of this turn."""
        if self._written is None:
            loop = asyncio.get_running_loop()
            self._written = loop.create_future()
            loop.call_soon(self._commit_turn, self._written)
        self._fresh.append(invoice)
        await asyncio.shield(self._written)  # a caller that leaves must not take the others along

    def _commit_turn(self, written: asyncio.Future[None]) -> None:
        fresh, self._fresh, self._written = self._fresh, [], None
        try:
            self.journal.run_for_each(
                """INSERT INTO invoices
                     (payment_hash, owner, bolt11, preimage, amount_msat, extra)
                   VALUES (:payment_hash, :owner, :bolt11, :preimage, :amount_msat, :extra)""",
                fresh,
            )
        except WalletUnavailable as fault:
            written.set_exception(fault)
        else:
            written.set_result(None)

    def _find(self, payment_hash: str) -> sqlite3.Row | None:
        """Our own invoice with this hash; `number` is that of its payment, or None."""
        rows = self.journal.run(
            """SELECT amount_msat, preimage, number
               FROM invoices LEFT JOIN settlements USING (payment_hash)
               WHERE payment_hash = :payment_hash AND owner = 'us'""",
            payment_hash=payment_hash,
        )
        return rows[0] if rows else None

    def _settled_after(self, number: int) -> list[sqlite3.Row]:
        return self.journal.run(
            """SELECT number, payment_hash, amount_msat, preimage, settled_at_ms, extra
               FROM settlements JOIN invoices USING (payment_hash)
               WHERE number > :number ORDER BY number LIMIT :page_rows""",
            number=number,
            page_rows=_PAGE_ROWS,
        )

    def _tell(self) -> None:
        """Wake all who listen; who comes later waits for the next news."""
        self._news.set()
        self._news = asyncio.Event()


def _settlement(row: sqlite3.Row) -> Settlement:
    return Settlement(
        payment_hash=row["payment_hash"],
        amount=Msat(row["amount_msat"]),
        preimage=row["preimage"],
        settled_at_ms=row["settled_at_ms"],
        extra=json.loads(row["extra"]),
    )


def _description(memo: str) -> str:
    octets = (MEMO_PREFIX + memo).encode()[:_DESCRIPTION_BYTES_MAX]
    return octets.decode(errors="ignore")  # the cut may have gone through a character


def _key_in(data_dir: Path) -> bytes:
    """The key in this folder, made once; a file that is there is whole, whoever died meanwhile."""
    path = data_dir / _KEY_FILE
    if not path.exists():
        _make_key(path)
    return parse_secret(path.read_text("ascii").strip())


def _make_key(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(SECRET_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # another process was first: theirs counts
        os.link(draft, path)
    draft.unlink()
