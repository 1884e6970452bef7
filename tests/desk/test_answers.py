"""Kept answers: one request under one key has one answer, byte for byte, and one effect."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidTag

from core.books import processes, settings
from core.books.idempotency import KeyReused, KeyRunning, Receipt
from core.books.processes import ALIVE_MS
from core.desk.answers import Answer, AnswerBook, Fresh, KeptAnswer
from core.desk.job_desk import JobOrder
from core.store.bulletin import Bulletin
from tests.conftest import Database
from tests.fakes import FakeStore
from tests.hand_clock import HandClock
from tests.world import ALICE, REQUEST, World, opened

KEY = bytes(32)
PRINT, OTHER_PRINT = b"POST /jobs {}", b'POST /jobs {"request": "x"}'
ANSWER = Answer(201, {"Location": "/jobs/1", "Date": "Tue"}, b'{"a": "\xc3\xa4\\n"}\n\nrest')
DAY_S = 86_400


@dataclass
class Book:
    """The answer book of one process, and a clock moved by hand."""

    answers: AnswerBook
    store: object
    bulletin: Bulletin
    clock: HandClock

    async def claim(self, *, principal="alice", key="k1", fingerprint=PRINT):
        return await self.answers.claim(principal, key, fingerprint)

    async def answer(self, claimed, answer=ANSWER):
        """Do something once, and keep its answer in the same transaction."""
        await self.store.write(self._effect, KeptAnswer(claimed.receipt, lambda _: answer))

    async def _effect(self, tx, keep):
        await settings.put(tx, "effect", "done")
        await self.answers.keep(tx, keep, None, self.clock.now_ms())

    async def successor(self, *, key=KEY, process_id="second"):
        """The answer book of another process on the same database."""
        await self.store.write(processes.arrive, process_id, self.clock.now_ms())
        answers = AnswerBook(self.store, self.bulletin, self.clock, key=key, process_id=process_id)
        return Book(answers, self.store, self.bulletin, self.clock)


@pytest.fixture
async def book(database: Database) -> AsyncIterator[Book]:
    bulletin, clock = Bulletin(), HandClock()
    store = await database.open(bulletin=bulletin)
    first = Book(None, store, bulletin, clock)
    yield await first.successor(process_id="first")
    await store.aclose()


async def test_a_new_request_may_work(book):
    claimed = await book.claim()

    assert claimed == Fresh(Receipt("alice", "k1", PRINT, "first"))


async def test_the_same_request_again_gets_the_answer_byte_for_byte(book):
    await book.answer(await book.claim())

    assert await book.claim() == ANSWER
    assert await book.claim() == ANSWER


@pytest.mark.parametrize("body", [b"", b"\n", b"\x00\xff", b"x" * 100_000], ids=len)
async def test_any_body_is_kept_as_it_is(book, body):
    answer = Answer(200, {}, body)
    await book.answer(await book.claim(), answer)

    assert await book.claim() == answer


async def test_another_request_under_the_same_key_is_told_so(book):
    await book.answer(await book.claim())

    assert await book.claim(fingerprint=OTHER_PRINT) == KeyReused()
    assert await book.claim() == ANSWER


async def test_while_the_first_request_runs_the_same_one_is_told_to_wait(book):
    await book.claim()

    assert await book.claim() == KeyRunning()
    assert await book.claim(fingerprint=OTHER_PRINT) == KeyReused()


async def test_of_many_at_once_one_may_work(book):
    claims = await asyncio.gather(*(book.claim() for _ in range(20)))

    assert sum(isinstance(claimed, Fresh) for claimed in claims) == 1
    assert claims.count(KeyRunning()) == 19


async def test_keys_are_the_principals_own(book):
    await book.answer(await book.claim())

    assert isinstance(await book.claim(principal="bob"), Fresh)
    assert isinstance(await book.claim(key="k2"), Fresh)


async def test_what_is_kept_for_one_principal_opens_for_no_other(book):
    """Somebody who can write into the database still reads nothing of another's."""
    await book.answer(await book.claim())
    await book.store.write(_give_to_bob)

    with pytest.raises(InvalidTag):
        await book.claim(principal="bob")


async def _give_to_bob(tx):
    await tx.run("UPDATE idempotency_keys SET principal = 'bob'")


async def test_the_database_holds_no_readable_answer(book):
    await book.answer(await book.claim(), Answer(201, {}, b"jobToken: secret"))

    kept = await book.store.read(_kept)

    assert b"secret" not in kept


async def _kept(tx):
    row = await tx.one("SELECT answer FROM idempotency_keys")
    return bytes(row["answer"])


async def test_a_key_that_was_released_is_free_for_any_request(book):
    claimed = await book.claim()

    await book.answers.release(claimed.receipt)

    assert isinstance(await book.claim(fingerprint=OTHER_PRINT), Fresh)


async def test_a_release_after_the_answer_takes_nothing_back(book):
    claimed = await book.claim()
    await book.answer(claimed)

    await book.answers.release(claimed.receipt)

    assert await book.claim() == ANSWER


async def test_a_release_goes_through_though_its_caller_is_cancelled(book):
    claimed = await book.claim()
    slow = FakeStore(book.store)
    answers = AnswerBook(slow, book.bulletin, book.clock, key=KEY, process_id="first")
    release = asyncio.create_task(answers.release(claimed.receipt))
    await slow.begun.reaches(1)
    release.cancel()
    await asyncio.wait([release])
    await slow.done.reaches(1)

    assert isinstance(await book.claim(), Fresh)


async def test_an_effect_that_fails_keeps_no_answer(book):
    claimed = await book.claim()

    with pytest.raises(ZeroDivisionError):
        await book.store.write(
            _fail_after, book.answers, KeptAnswer(claimed.receipt, lambda _: ANSWER)
        )

    assert await book.claim() == KeyRunning()
    await book.answers.release(claimed.receipt)
    assert isinstance(await book.claim(), Fresh)


async def _fail_after(tx, answers, keep):
    await answers.keep(tx, keep, None, 0)
    raise ZeroDivisionError


async def test_an_answer_is_kept_across_a_restart(book):
    await book.answer(await book.claim())

    second = await book.successor()

    assert await second.claim() == ANSWER


async def test_a_key_whose_process_is_silent_is_free_again(book):
    await book.claim()
    book.clock.advance(ALIVE_MS / 1000 - 0.001)
    second = await book.successor()
    assert await second.claim() == KeyRunning()

    book.clock.advance(0.001)

    assert isinstance(await second.claim(), Fresh)


async def test_who_lost_his_key_can_keep_no_answer_and_no_effect(book):
    lost = await book.claim()
    book.clock.advance(ALIVE_MS / 1000)
    second = await book.successor()
    await second.answer(await second.claim(), Answer(200, {}, b"the second's"))

    with pytest.raises(AssertionError, match="by the holder of the receipt"):
        await book.answer(lost, Answer(200, {}, b"the first's"))
    await book.answers.release(lost.receipt)

    assert await second.claim() == Answer(200, {}, b"the second's")


async def test_an_answer_is_kept_for_a_day(book):
    await book.answer(await book.claim())

    book.clock.advance(DAY_S - 1)
    assert await book.claim() == ANSWER
    book.clock.advance(1)

    assert isinstance(await book.claim(), Fresh)


async def test_who_waits_in_turn_gets_the_answer_of_the_first(book):
    claimed = await book.claim()
    waiting = asyncio.create_task(
        book.answers.claim_in_turn("alice", "k1", PRINT, still_there=lambda: True)
    )
    await asyncio.sleep(0)

    await book.answer(claimed)

    async with asyncio.timeout(30):
        assert await waiting == ANSWER


async def test_who_waits_in_turn_works_himself_when_the_first_had_no_effect(book):
    claimed = await book.claim()
    waiting = asyncio.create_task(
        book.answers.claim_in_turn("alice", "k1", PRINT, still_there=lambda: True)
    )
    await asyncio.sleep(0)

    await book.answers.release(claimed.receipt)

    async with asyncio.timeout(30):
        assert isinstance(await waiting, Fresh)


# The whole desk


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with opened(database) as world:
        yield world


async def test_an_order_under_a_key_opens_one_job(world):
    answers = world.core.desk.answers
    claimed = await answers.claim(ALICE, "k1", PRINT)
    keep = KeptAnswer(claimed.receipt, lambda order: Answer(201, {}, order.job.job_id.encode()))

    first = await world.jobs.request_job(JobOrder(REQUEST), client=ALICE, keep=keep)

    again = await answers.claim(ALICE, "k1", PRINT)
    assert again == Answer(201, {}, first.job.job_id.encode())


async def test_a_cancel_under_a_key_is_answered_the_same_again(world):
    answers = world.core.desk.answers
    job, token = await world.order()
    claimed = await answers.claim("token", "k1", PRINT)
    keep = KeptAnswer(claimed.receipt, lambda seen: Answer(200, {}, str(seen.version).encode()))

    await world.jobs.cancel_job(job.job_id, token, keep=keep)

    assert await answers.claim("token", "k1", PRINT) == Answer(200, {}, b"2")


async def test_an_order_that_is_refused_leaves_its_key_to_be_released(database):
    async with opened(database, LIMITS__OPEN_INVOICES_PER_CLIENT="1") as world:
        await world.order()
        answers = world.core.desk.answers
        claimed = await answers.claim(ALICE, "k1", PRINT)
        keep = KeptAnswer(claimed.receipt, lambda _: ANSWER)

        with pytest.raises(Exception, match="open"):
            await world.jobs.request_job(JobOrder(REQUEST), client=ALICE, keep=keep)
        await answers.release(claimed.receipt)

        assert isinstance(await answers.claim(ALICE, "k1", PRINT), Fresh)


async def test_a_key_is_free_after_a_restart_in_the_middle_of_its_request(sqlite_database):
    async with opened(sqlite_database) as world:
        await world.core.desk.answers.claim(ALICE, "k1", PRINT)

    async with opened(sqlite_database, clock=world.clock, wallet=world.wallet) as world:
        assert isinstance(await world.core.desk.answers.claim(ALICE, "k1", PRINT), Fresh)
