"""2,000 slow connections, six times in a row: about 2 minutes."""

from pathlib import Path

from tests.process.server import Program
from tests.process.slow import served_beside

CLOSED_S = 30
WAVES = 6


async def test_slow_connections_are_closed_while_others_are_served(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        for _ in range(WAVES):
            served_s, closed_s = await served_beside(program, each=400)

            assert len(closed_s) == 2_000
            assert max(closed_s) < CLOSED_S
            assert served_s[len(served_s) * 99 // 100] < 0.5
        assert await program.stop() == 0
        assert "Traceback" not in program.log()
