"""The checkup finds what is wrong, says what to do, and leaves everything as it was."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.checkup import Finding, look_at_everything
from core.config import Config, load
from core.values.clock import SystemClock
from tests.simulator.lnbits import SimulatedLnbits


@dataclass(frozen=True)
class ClockThatIsOff(SystemClock):
    """The machine's clock, so many milliseconds ahead."""

    ahead_ms: int

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


def settings(data_dir: Path, **variables: str) -> Config:
    """The development defaults in this folder, with `wallet__kind="..."` and the like."""
    environ = {f"BOLTWORK_{name.upper()}": value for name, value in variables.items()}
    return load(Path("/dev/null"), {"BOLTWORK_SERVER__DATA_DIR": str(data_dir), **environ})


def with_lnbits(lnbits: SimulatedLnbits, data_dir: Path, **variables: str) -> Config:
    wallet = {
        "wallet__kind": "lnbits",
        "wallet__lnbits__url": lnbits.url,
        "wallet__lnbits__invoice_key": lnbits.shop_key,
        "wallet__lnbits__admin_key": "some-admin-key",
    }
    return settings(data_dir, **(wallet | variables))


async def finding(about: str, config: Config, *, ahead_ms: int = 0) -> Finding:
    findings = await look_at_everything(config, clock=ClockThatIsOff(ahead_ms))
    return next(found for found in findings if found.about == about)


async def test_an_empty_folder_is_good_and_stays_empty(tmp_path):
    findings = await look_at_everything(settings(tmp_path), clock=SystemClock())

    assert {found.state for found in findings} == {"good"}
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_written_to_is_a_fault(tmp_path):
    (tmp_path / "file").touch()

    found = await finding("data folder", settings(tmp_path / "file" / "data"))

    assert found.state == "fault"


async def test_a_database_that_is_in_use_is_good(tmp_path, sqlite_database):
    store = await sqlite_database.open()

    found = await finding("database", settings(tmp_path))
    await store.aclose()

    assert found == Finding("database", "good", "healthy, and of this version")


async def test_a_database_of_an_older_version_asks_for_a_backup(tmp_path, sqlite_database):
    store = await sqlite_database.open([])
    await store.aclose()

    found = await finding("database", settings(tmp_path))

    assert found.state == "warning"
    assert "backup" in found.sentence


async def test_a_damaged_database_is_a_fault(tmp_path):
    (tmp_path / "boltwork.db").write_bytes(b"not a database" * 300)

    found = await finding("database", settings(tmp_path))

    assert found.state == "fault"


async def test_a_postgresql_is_looked_at_and_not_changed(tmp_path, postgres_database):
    config = settings(tmp_path, database__url=postgres_database.url)

    before = await finding("database", config)
    await (await postgres_database.open()).aclose()
    after = await finding("database", config)

    assert before == Finding("database", "good", "made at the first start")
    assert after == Finding("database", "good", "healthy, and of this version")


async def test_a_postgresql_that_is_not_there_is_a_fault_without_its_password(tmp_path):
    config = settings(tmp_path, database__url="postgresql://me:hunter22@127.0.0.1:1/db")

    found = await finding("database", config)

    assert found.state == "fault"
    assert "hunter22" not in found.sentence


async def test_a_wallet_that_answers_is_good_and_tells_its_balance(tmp_path):
    async with SimulatedLnbits() as lnbits:
        found = await finding("wallet", with_lnbits(lnbits, tmp_path))

    assert found.state == "good"
    assert "sat" in found.sentence


async def test_a_wallet_without_the_admin_key_is_a_warning(tmp_path):
    async with SimulatedLnbits() as lnbits:
        config = with_lnbits(lnbits, tmp_path, wallet__lnbits__admin_key="")
        found = await finding("wallet", config)

    assert found.state == "warning"
    assert "wallet.lnbits.admin_key" in found.sentence


async def test_a_wrong_key_is_a_fault_that_names_the_setting(tmp_path):
    async with SimulatedLnbits() as lnbits:
        config = with_lnbits(lnbits, tmp_path, wallet__lnbits__invoice_key="wrong")
        found = await finding("wallet", config)

    assert found.state == "fault"
    assert "wallet.lnbits.invoice_key" in found.sentence


@pytest.mark.parametrize("ahead_ms", [-120_000, 120_000])
async def test_a_clock_that_differs_from_the_wallets_is_a_fault(tmp_path, ahead_ms):
    async with SimulatedLnbits() as lnbits:
        config = with_lnbits(lnbits, tmp_path)
        found = await finding("clock", config, ahead_ms=ahead_ms)

    assert found.state == "fault"
    assert ("ahead" if ahead_ms > 0 else "behind") in found.sentence


async def test_a_clock_that_agrees_with_the_wallets_is_good(tmp_path):
    async with SimulatedLnbits() as lnbits:
        found = await finding("clock", with_lnbits(lnbits, tmp_path))

    assert found.state == "good"
    assert lnbits.url in found.sentence
