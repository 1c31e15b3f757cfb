"""Dead letters: what failed for good is kept with all that went wrong, and retried or discarded."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from authority.domain.dead_letters import DeadLetterFilter
from authority.ledger.dead_letters import PostgresDeadLetters
from authority.usecases.dead_letters import discard_dead_letters, retry_dead_letters
from generating import read_generation, state
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}
ALL = DeadLetterFilter()

pytestmark = pytest.mark.usefixtures("funded")


@pytest.fixture
def letters(core):
    """The dead letters of the running authority."""
    return PostgresDeadLetters(core.database)


@pytest.fixture
def retry(letters, core):
    """A function that retries dead letters; it returns their ids."""

    async def retry(**chosen):
        found = DeadLetterFilter(**chosen)
        retried = await retry_dead_letters(letters, core.generations.jobs, found)
        return [generation.generation_id for generation in retried]

    return retry


@pytest.fixture
def bury(ledger_url, generations):
    """A function that submits a generation and makes it a dead letter; it returns the id."""

    async def bury(account="acme", reason="unavailable", age=timedelta(0), attempts=2):
        submitted = await generations.submit(account, **OPENAI)
        generation_id = submitted.generation.generation_id
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
            await connection.execute(
                "UPDATE generation SET state = 'FAILED', error_reason = %s, attempt_count = %s,"
                " dead_time = now() - %s, end_time = now(), crash_count = 3, join_key = 'k'"
                " WHERE generation_id = %s",
                [reason, attempts, age, generation_id],
            )
        return generation_id

    return bury


async def found(letters, **chosen):
    """Return the ids of the dead letters that are meant."""
    return [
        letter.generation.generation_id
        for letter in await letters.find(DeadLetterFilter(**chosen), 100)
    ]


async def test_the_filter_means_what_fits_all_that_is_given(letters, bury, stubs):
    await stubs.account("acme/bob")
    old = await bury(age=timedelta(hours=2))
    bobs = await bury("acme/bob", age=timedelta(minutes=1))
    other = await bury(reason="internal")
    assert await found(letters) == [old, bobs, other]
    assert await found(letters, account="acme") == [old, bobs, other]
    assert await found(letters, account="acme/bob") == [bobs]
    assert await found(letters, error_reason="internal") == [other]
    assert await found(letters, older_than=timedelta(hours=1)) == [old]
    assert await found(letters, kind="video") == []
    assert await found(letters, generation_ids=[bobs, old], kind="image") == [old, bobs]
    assert await found(letters, generation_ids=[]) == []
    assert len(await letters.find(ALL, 2)) == 2


async def test_a_retry_makes_it_wait_anew_with_everything_forgiven(
    letters, retry, bury, ledger_url, generations
):
    one, other = await bury(), await bury()
    assert await retry(generation_ids=[one]) == [one]
    assert await read_generation(
        ledger_url, one, "state", "requeue_number", "forgiven_count", "dead_time", "end_time",
        "error_reason", "crash_count", "join_key",
    ) == ("QUEUED", 1, 2, None, None, "", 0, None)  # fmt: skip
    assert await retry(generation_ids=[one]) == [], "it is one no more"
    assert await found(letters) == [other]


async def test_what_is_discarded_stays_the_failure_that_it_is(letters, bury, retry, ledger_url):
    one, other = await bury(), await bury(reason="internal")
    assert await discard_dead_letters(letters, DeadLetterFilter(error_reason="internal")) == [other]
    assert await found(letters) == [one]
    assert await retry() == [one]
    row = await read_generation(ledger_url, other, "state", "error_reason", "requeue_number")
    assert row == ("FAILED", "internal", 0)


async def test_a_provider_that_stayed_away_is_made_up_for_once_it_is_back(
    letters, retry, generations, worker, emulator, spent
):
    await emulator.order("openai", "drop", step="accept", times=None)
    failed = await generations.make(**OPENAI)
    assert (state(failed), failed.attempt_count) == ("FAILED", 2)
    (letter,) = await letters.find(ALL, 10)
    assert letter.generation.generation_id == failed.generation_id
    records = await letters.attempts(failed.generation_id)
    assert [record.attempt for record in records] == [1, 2]
    for record in records:
        assert (record.error_class, record.provider) == ("TimeoutUnknown", "openai")
        assert record.error_body
        assert emulator.openai_key not in record.error_body
        assert record.settle_time >= record.dispatch_time >= record.create_time

    await emulator.clear()
    assert await retry() == [failed.generation_id]
    made = await eventually(lambda: _succeeded(generations, failed.generation_id), 30)
    assert made.attempt_count == 3
    # What was presumed spent stays in the cost.
    assert await spent() == made.cost > failed.cost > 0
    assert await found(letters) == []


async def _succeeded(generations, generation_id):
    generation = await generations.get(generation_id)
    return generation if state(generation) == "SUCCEEDED" else None


async def test_what_the_requester_has_to_mend_is_no_dead_letter(
    letters, generations, worker, emulator
):
    await emulator.order("openai", "refused")
    assert state(await generations.make(**OPENAI)) == "FAILED"
    assert await found(letters) == []
    await emulator.order("openai", "insufficient_quota")
    failed = await generations.make(**OPENAI)
    assert (failed.error_reason, failed.attempt_count) == ("auth_or_billing", 1)
    assert await found(letters) == [failed.generation_id]
