"""Fixtures for the tests with real programs, which are slower and run by themselves."""

from collections.abc import Iterator

import pytest

from tests.real.lnbits_server import VERSIONS, RealLnbits, real_lnbits


@pytest.fixture(scope="session", params=VERSIONS)
def lnbits(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealLnbits]:
    """One LNbits of each version for all tests of this process."""
    folder = tmp_path_factory.mktemp(f"lnbits-{request.param}")
    with real_lnbits(request.param, folder) as server:
        yield server
