"""The wiring of the operator's desk, beside a running core or, for one command, without one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from core.app import Core, open_payer, open_store, open_wallet
from core.app_desk import refund_terms
from core.config import Config
from core.data_folder import known_secret, own_folder
from core.desk.admin_desk import AdminDesk
from core.desk.operator_desk import OperatorDesk
from core.store.bulletin import Bulletin
from core.values.clock import Clock
from core.values.keys import SECRET_BYTES


@asynccontextmanager
async def open_operator_desk(config: Config, *, clock: Clock) -> AsyncIterator[OperatorDesk]:
    """The desk on books that no server of this machine owns; nothing else runs meanwhile.

    Raises FolderInUse where one does, and as `core.app.open_core`.
    """
    async with AsyncExitStack() as stack:
        if config.database.is_sqlite:
            stack.enter_context(own_folder(config.server.data_dir))
        store = await open_store(config, Bulletin(), clock)
        stack.push_async_callback(store.aclose)
        secret = known_secret(config.server.data_dir, config.server.secret.get_secret_value())
        wallet = open_wallet(config, secret or bytes(SECRET_BYTES), clock)  # it makes no invoice
        stack.push_async_callback(wallet.aclose)
        payer = open_payer(config, wallet, clock)
        if payer is not None:
            stack.push_async_callback(payer.aclose)
        yield OperatorDesk(
            store=store,
            wallet=wallet,
            payer=payer,
            clock=clock,
            fee_rule=refund_terms(config).fee_rule,
        )


def admin_desk(core: Core) -> AdminDesk:
    """The operator's desk in a chat, beside a running core."""
    return AdminDesk(
        store=core.store,
        clock=core.desk.clock,
        operator=core.operator,
        watchdog=core.watchdog,
        health=core.desk.health,
    )
