"""The whole list of an LNbits wallet: what came in and what went out, page by page.

Read newest change first, back to a time: what changes meanwhile moves to the front, so a later page
may repeat a payment and misses none but those of this very moment, which the next reading has.
"""

from collections.abc import Sequence

from core.values.errors import WalletUnavailable
from core.wallets.lnbits_http import LnbitsHttp
from core.wallets.lnbits_rows import read_rows
from core.wallets.port import Movement, Unknown

_PATH = "/api/v1/payments"
_PAGE_ROWS = 1_000  # the most that LNbits gives at once


async def list_movements(http: LnbitsHttp, since_ms: int) -> Sequence[Movement]:
    """Settled payments whose last change is not before this, oldest first.

    Raises WalletUnavailable where a page does not come.
    """
    found: dict[tuple[str, str], Movement] = {}
    offset = 0
    while True:
        query = {
            "status": "success",
            "sortby": "updated_at",
            "direction": "desc",
            "offset": str(offset),
            "limit": str(_PAGE_ROWS),
        }
        rows = read_rows(await http.get(_PATH, query))
        if isinstance(rows, Unknown):
            raise WalletUnavailable(rows.reason)
        for row in rows:
            moved = row.movement()
            if moved is not None and moved.at_ms >= since_ms:
                found.setdefault((moved.direction, moved.payment_hash), moved)
        if len(rows) < _PAGE_ROWS or rows[-1].updated_at_ms < since_ms:
            return sorted(found.values(), key=lambda moved: moved.at_ms)
        offset += len(rows)
