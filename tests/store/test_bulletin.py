"""The bulletin: commits wake those who listen, and nobody else."""

from core.store.bulletin import Bulletin


async def test_news_wakes_those_who_listen_to_the_topic_only():
    bulletin = Bulletin()
    with bulletin.listen("job-1") as one, bulletin.listen("job-2") as two:
        bulletin.post(["job-1", "job-3"])

        assert await one.wait(0)
        assert not await two.wait(0)


async def test_news_that_came_before_the_wait_is_not_missed_and_counts_once():
    bulletin = Bulletin()
    with bulletin.listen("job-1") as news:
        bulletin.post(["job-1"])
        bulletin.post(["job-1"])

        assert await news.wait(0)
        assert not await news.wait(0)


async def test_everybody_is_woken_when_something_may_have_been_missed():
    bulletin = Bulletin()
    with bulletin.listen("job-1") as one, bulletin.listen("job-2") as two:
        bulletin.wake_all()

        assert await one.wait(0)
        assert await two.wait(0)


async def test_who_has_left_is_forgotten():
    bulletin = Bulletin()
    with bulletin.listen("job-1") as news:
        pass

    bulletin.post(["job-1"])
    bulletin.wake_all()

    assert not await news.wait(0)
