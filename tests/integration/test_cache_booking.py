"""Hits in the ledger: each once, whoever dies on the way and whatever is lost."""

from __future__ import annotations

import asyncio

import pytest

from authorities import TOKEN
from clients import AuthorityClient
from clients.errors import PaymasterError, Unavailable
from generations.catalogue import Catalogue
from look_ups import ALL, COST, LookUps
from support import eventually
from workers.cache.booking import Booker
from workers.cache.embeddings import Skipped, openai_embeddings
from workers.database import make_pool

PROMPT = "a lighthouse at dusk"


class Lossy:
    """A client of the cache's service whose replies get lost, or whose caller dies of them."""

    def __init__(self, client, *errors) -> None:
        self.client = client
        self.errors = list(errors)

    async def book_hits(self, hits, **options):
        outcomes = await self.client.book_hits(hits, **options)
        if self.errors:
            raise self.errors.pop(0)
        return outcomes


class Died(BaseException):
    """What nobody catches, like the kill that it stands for."""


@pytest.fixture
async def pool(ledger_url):
    """A worker's pool."""
    async with make_pool(ledger_url, size_max=4) as pool:
        yield pool


@pytest.fixture
async def hits(stubs, look_ups):
    """A function that serves so many generations of acme from the cache."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    await look_ups.make(PROMPT)

    async def serve(count):
        for _ in range(count):
            claim = await look_ups.claim(PROMPT)
            await look_ups.serve(claim, *(await look_ups.look_for(claim))[1:])

    return serve


@pytest.fixture
def booked(look_ups):
    """A function that returns what the ledger has of hits, and how many are not marked."""

    async def read():
        rows = await look_ups.execute(
            "SELECT request::json ->> 'generation_id' AS generation_id,"
            " (request::json ->> 'saved')::bigint AS saved"
            " FROM operation WHERE kind = 'CACHE_HIT'"
        )
        left = await look_ups.execute("SELECT 1 AS one FROM cache_hit WHERE booked_time IS NULL")
        assert len({row["generation_id"] for row in rows}) == len(rows)
        return len(rows), sum(row["saved"] for row in rows), len(left)

    return read


async def test_every_hit_is_booked_once(stubs, pool, cache, hits, booked):
    booker = Booker(pool, cache)
    assert await booker.run_once() == 0
    await hits(3)
    assert await booked() == (0, 0, 3)
    assert await booker.run_once() == 3
    assert await booker.run_once() == 0
    assert await booked() == (3, 3 * COST, 0)
    reserved, amount, _, _ = (await stubs.balance("acme"))["acme", "usd-day"]
    assert (reserved, amount) == (0, 0)
    assert await stubs.differences() == []


@pytest.mark.parametrize("loss", [Unavailable("the reply was lost"), Died()])
async def test_a_reply_that_is_lost_books_nothing_twice(pool, cache, hits, booked, loss):
    await hits(2)
    with pytest.raises((PaymasterError, Died)):
        await Booker(pool, Lossy(cache, loss)).run_once()
    # The ledger has them, and nobody here knows.
    assert await booked() == (2, 2 * COST, 2)
    assert await Booker(pool, cache).run_once() == 2
    assert await booked() == (2, 2 * COST, 0)


async def test_bookers_at_one_time_book_nothing_twice(pool, cache, hits, booked, monkeypatch):
    monkeypatch.setattr("workers.cache.booking.PAGE", 2)
    await hits(7)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(Booker(pool, cache).run_once()) for _ in range(3)]
    assert sum(task.result() for task in tasks) == 7
    assert await booked() == (7, 7 * COST, 0)


async def test_what_cannot_be_booked_is_in_the_way_of_nothing(
    pool, cache, hits, booked, look_ups, monkeypatch
):
    monkeypatch.setattr("workers.cache.booking.PAGE", 1)
    await hits(3)
    await look_ups.execute(
        "UPDATE cache_hit SET account = 'acme/nobody' WHERE generation_id ="
        " (SELECT generation_id FROM cache_hit ORDER BY create_time LIMIT 1)"
    )
    assert await Booker(pool, cache).run_once() == 2
    assert await booked() == (2, 2 * COST, 1)


async def test_a_booker_at_work_is_woken_and_outlives_an_outage(pool, cache, hits, booked):
    booker = Booker(pool, Lossy(cache, Unavailable("away"), ZeroDivisionError()))
    task = asyncio.create_task(booker.run())
    try:
        await hits(1)

        async def is_booked():
            booker.wake()
            return await booked() == (1, COST, 0)

        await eventually(is_booked)
    finally:
        task.cancel()


@pytest.fixture
async def paid(authority_address, emulator):
    """Embeddings that cost something."""
    async with AuthorityClient(authority_address, token=TOKEN, timeout=10) as authority:
        embeddings = openai_embeddings(
            authority, Catalogue.load(), emulator.openai_key, emulator.openai_base_url
        )
        yield embeddings
        await embeddings.aclose()


async def test_vectors_that_cost_something_are_paid(stubs, look_ups, emulator, paid, committed):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    await look_ups.policy(**ALL)
    world = LookUps(look_ups.url, look_ups.work._pool, look_ups.store, look_ups.artifacts, None)
    world.cache._embeddings = world.cache._cascade._embeddings = paid
    await world.make(PROMPT)
    (call,) = await emulator.calls(provider="openai")
    assert await committed() == call.billed_micros > 0
    stage, _, looked = await world.look("a lighthose at dusk")
    assert stage == "guarded", looked.report.encode()
    assert len(await emulator.calls(provider="openai")) == 2
    # What was embedded for a look-up is kept for what is made then.
    await world.look("a lighthose at dusk")
    calls = await emulator.calls(provider="openai")
    assert len(calls) == 2
    assert await committed() == sum(call.billed_micros for call in calls)
    # Who does not use it does not pay for it.
    await look_ups.policy()
    await world.make("a windmill in spring")
    assert len(await emulator.calls(provider="openai")) == 2
    assert await stubs.differences() == []


async def test_a_vector_that_cannot_be_paid_is_not_asked_for(stubs, emulator, paid):
    await stubs.account("acme")
    await stubs.set_budget("acme", 0)
    with pytest.raises(Skipped, match="embedder_not_paid"):
        await paid.vector("acme", "acme/g", PROMPT)
    assert await emulator.calls(provider="openai") == []
