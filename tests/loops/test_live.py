"""Live text: shown to whoever watches at this moment, kept for nobody."""

import asyncio

from core.loops.live import WAITING_MAX, Live, WorkDelta


def piece(number):
    return WorkDelta(1, number, "x")


async def test_everybody_who_watches_a_job_sees_its_pieces_and_no_other_jobs():
    live = Live()

    with live.watch("job_1") as one, live.watch("job_1") as two, live.watch("job_2") as other:
        live.publish("job_1", piece(0))

        assert await one.next() == piece(0)
        assert await two.next() == piece(0)
        assert list(other.pending()) == []


async def test_a_piece_that_nobody_watches_is_kept_for_nobody():
    live = Live()
    live.publish("job_1", piece(0))

    with live.watch("job_1") as watcher:
        assert list(watcher.pending()) == []
    live.publish("job_1", piece(1))

    assert list(watcher.pending()) == []
    assert not live._watchers


async def test_a_watcher_that_is_too_slow_loses_the_oldest_pieces():
    live = Live()

    with live.watch("job_1") as watcher:
        for number in range(WAITING_MAX + 2):
            live.publish("job_1", piece(number))

        kept = list(watcher.pending())

    assert kept[0] == piece(2)
    assert kept[-1] == piece(WAITING_MAX + 1)
    assert len(kept) == WAITING_MAX


async def test_who_gives_up_waiting_loses_no_piece():
    live = Live()

    with live.watch("job_1") as watcher:
        waiting = asyncio.ensure_future(watcher.next())
        await asyncio.sleep(0)
        live.publish("job_1", piece(0))
        waiting.cancel()
        await asyncio.wait([waiting])

        assert list(watcher.pending()) == [piece(0)]
