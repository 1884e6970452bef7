"""The operator's desk: what the owner of the server may ask and do.

It answers with documents, as the operator's listener and `boltwork --json` show them. Whatever is
done here is written down with its reason; nothing here sends money by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import structlog

from core.books import actions, cover, decisions, export, freezes, ledger, payouts, settings
from core.books.audit import audit
from core.books.decisions import Unsettled
from core.books.export import Exported
from core.loops.watchdog import PAUSED
from core.store.port import Store, Tx
from core.values.clock import Clock, rfc3339
from core.values.errors import InvalidRequest, NotFound, WalletUnavailable, WrongState
from core.values.ids import is_id
from core.values.terms import FeeRule
from core.wallets.port import Failed, Missing, Payer, Sent, Unproven, Wallet

Document = Mapping[str, Any]

REASON_MAX = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDesk:
    """Checks and exports the books, decides on refunds, pauses and resumes."""

    store: Store
    wallet: Wallet
    payer: Payer | None
    clock: Clock
    fee_rule: FeeRule

    async def check_ledger(self, *, alarms: Sequence[str] = ()) -> Document:
        """Whether the books hold, and whether the wallet covers what customers are owed.

        `alarms` are what a server that runs has found in the wallet's list.
        """
        faults = await self.store.read(audit)
        owed = await self.store.read(cover.owed)
        booked = await self.store.read(ledger.house_balance, ledger.WALLET)
        frozen = await self.store.read(freezes.frozen)
        paused = await self.store.read(settings.get, PAUSED)
        found = [{"rule": fault.rule, "where": fault.where} for fault in faults]
        found += [{"rule": f"frozen: {why}", "where": account} for account, why in frozen.items()]
        found += [{"rule": "wallet and books differ", "where": alarm} for alarm in alarms]
        holds: int | None = None
        try:
            holds = await self.wallet.balance()
        except WalletUnavailable as fault:
            found.append({"rule": "the wallet answers", "where": fault.reason})
        else:
            if holds < owed.to_hold:
                found.append({"rule": _COVERED, "where": f"{holds} of {owed.to_hold} msat"})
        return {
            "isGood": not found,
            "faults": found,
            "owedMsat": owed.total,
            "leavingMsat": owed.leaving,
            "walletMsat": holds,
            "bookedMsat": -booked,
            "paused": paused or None,
        }

    async def export_ledger(self, after: str) -> Document:
        """Some transfers with their legs, those whose ids follow `after`, and where to go on.

        The last page brings what the operator did.
        """
        transfers, last = await self.store.read(export.transfers_after, after)
        lines = [_transfer(moved) for moved in transfers]
        if last is None:
            lines += [_action(done) for done in await self.store.read(actions.listed)]
        return {"items": lines, "nextCursor": last}

    async def list_refunds(self) -> Document:
        """All that is owed back or on its way."""
        found = await self.store.read(decisions.unsettled)
        frozen = await self.store.read(freezes.frozen)
        return {"items": [_unsettled(one, frozen) for one in found]}

    async def retry_refund(self, refund_id: str, reason: str) -> Document:
        """Try or look at a refund now.

        A payout that the wallet has no record of, and whose invoice has expired, is given up: its
        money is owed again. Raises NotFound, WrongState, WalletUnavailable, InvalidRequest.
        """
        _check_reason(reason)
        found = await self.store.read(decisions.find, refund_id)
        payout, now_ms = found.payout, self.clock.now_ms()
        if payout is None or payout.state == "ready":
            outcome = await self.store.write(decisions.look_now, refund_id, reason, now_ms)
            return await self._refund(refund_id, outcome)
        if self.payer is None:
            raise WalletUnavailable("no admin key is configured, so no payout can be asked after")
        match await self.payer.outcome(payout.payment_hash):
            case Sent(fee):
                await self.store.write(payouts.arrived, payout, fee, self.fee_rule, now_ms)
                return await self._refund(refund_id, "it has arrived")
            case Missing() if payout.invoice_expires_at_ms <= now_ms:
                await self.store.write(decisions.give_up, payout, self.fee_rule, reason, now_ms)
                log.warning("payout given up", refund=refund_id, why=reason)
                return await self._refund(refund_id, "it was never sent; its money is owed again")
            case Missing() | Failed():
                outcome = await self.store.write(decisions.look_now, refund_id, reason, now_ms)
                return await self._refund(refund_id, outcome)
            case Unproven(why):
                raise WrongState(f"The wallet does not prove how it ended: {why}")
            case other:
                assert_never(other)

    async def credit_refund(self, refund_id: str, session_id: str, reason: str) -> Document:
        """Give what is due to a session's balance. Raises NotFound, WrongState, InvalidRequest."""
        _check_reason(reason)
        if not is_id("ses", session_id):
            raise NotFound("There is no such session.")
        await self.store.write(decisions.credit, refund_id, session_id, reason, self.clock.now_ms())
        log.info("refund credited", refund=refund_id, session=session_id, why=reason)
        return await self._refund(refund_id, f"credited to {session_id}")

    async def pause(self, reason: str, account_id: str = "") -> Document:
        """Take no money until `resume`, or only freeze one account. Raises InvalidRequest."""
        _check_reason(reason)
        await self.store.write(_pause, account_id, reason, self.clock.now_ms())
        return {"paused": account_id or True, "reason": reason}

    async def resume(self, reason: str, account_id: str = "") -> Document:
        """Go on after `pause`, or free one account. Raises InvalidRequest, WrongState."""
        _check_reason(reason)
        await self.store.write(_resume, account_id, reason, self.clock.now_ms())
        return {"paused": False, "account": account_id or None, "reason": reason}

    async def _refund(self, refund_id: str, outcome: str) -> Document:
        found = await self.store.read(decisions.find, refund_id)
        frozen = await self.store.read(freezes.frozen)
        return {"outcome": outcome, "refund": _unsettled(found, frozen)}


_COVERED = "the wallet holds what customers are owed"


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_MAX:
        raise InvalidRequest(f"A reason has 1 to {REASON_MAX} characters.", pointer="/reason")


async def _pause(tx: Tx, account_id: str, reason: str, now_ms: int) -> None:
    if account_id:
        if await ledger.account(tx, account_id) is None:
            raise NotFound("There is no such account.")
        await freezes.freeze(tx, account_id, reason, now_ms)
        await actions.note(tx, "freeze", subject=account_id, reason=reason, now_ms=now_ms)
        return
    await settings.put(tx, PAUSED, reason)
    await actions.note(tx, "pause", reason=reason, now_ms=now_ms)


async def _resume(tx: Tx, account_id: str, reason: str, now_ms: int) -> None:
    if account_id:
        if not await freezes.thaw(tx, account_id):
            raise WrongState("This account is not frozen.")
        await actions.note(tx, "thaw", subject=account_id, reason=reason, now_ms=now_ms)
        return
    await settings.put(tx, PAUSED, "")
    await actions.note(tx, "resume", reason=reason, now_ms=now_ms)


def _transfer(moved: Exported) -> dict[str, Any]:
    what = moved.what
    return {
        "transferId": what.transfer_id,
        "at": rfc3339(what.at_ms),
        "kind": what.kind,
        "ref": what.ref,
        "reason": what.reason,
        "legs": [{"account": leg.account_id, "amountMsat": leg.amount} for leg in moved.legs],
    }


def _action(done: actions.Done) -> dict[str, Any]:
    return {
        "action": done.action,
        "at": rfc3339(done.at_ms),
        "subject": done.subject,
        "reason": done.reason,
    }


def _unsettled(found: Unsettled, frozen: Mapping[str, str]) -> dict[str, Any]:
    refund, payout = found.refund, found.payout
    return {
        "refundId": refund.refund_id,
        "account": refund.account_id,
        "state": refund.state,
        "owedMsat": refund.debt.total,
        "amountMsat": refund.amount,
        "feeMsat": refund.fee,
        "destination": refund.destination,
        "createdAt": rfc3339(refund.created_at_ms),
        "updatedAt": rfc3339(refund.updated_at_ms),
        "paymentHash": None if payout is None else payout.payment_hash,
        "frozen": frozen.get(refund.account_id),
    }
