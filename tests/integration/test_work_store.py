"""The rows that workers keep: claims that can be lost, attempts and ends."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from generating import insert_generation, read_generation
from generations.models import Kind
from generations.requests import GenerationRequest
from support import eventually
from workers.database import make_pool
from workers.rows import (
    Answer,
    Artifact,
    AttemptState,
    Claim,
    End,
    EndState,
    Failure,
    Option,
    Settlement,
)
from workers.steering import Stop
from workers.store import ClaimLost, WorkStore

LEASE_S = 30.0
OPTIONS = [Option("sandbox", "sandbox-image", "premium", 80_000)]
ARTIFACT = Artifact("acme/a.png", "image/png", 3, "ab" * 32)


@pytest.fixture
async def pool(ledger_url):
    pool = make_pool(ledger_url, size_max=4)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def store(pool):
    return WorkStore(pool)


@pytest.fixture
async def generation_id(ledger_url):
    return await insert_generation(ledger_url)


async def dispatched(store, claim):
    attempt = await store.begin_attempt(claim, OPTIONS)
    return await store.write_dispatch(claim, attempt, option_index=0, reservation_id="acme/r")


async def test_a_claim_gives_the_request_and_keeps_others_out(store, generation_id):
    claim = await store.claim(generation_id, "one", LEASE_S)
    assert isinstance(claim, Claim)
    assert claim.request == GenerationRequest(
        "acme", Kind.IMAGE, "a lighthouse", "", "1024x1024", "premium", 1
    )
    assert "lighthouse" not in repr(claim)
    wait = await store.claim(generation_id, "two", LEASE_S)
    assert wait == pytest.approx(LEASE_S, abs=2)


async def test_an_unknown_or_ended_generation_is_not_claimed(store, generation_id):
    assert await store.claim("acme/unknown", "one", LEASE_S) is None
    claim = await store.claim(generation_id, "one", LEASE_S)
    await store.finish(claim, End(state=EndState.FAILED, error_reason="r", error_message="m"))
    assert await store.claim(generation_id, "one", LEASE_S) is None


async def test_a_worker_that_lost_its_claim_can_write_nothing(store, generation_id):
    zombie = await store.claim(generation_id, "one", 0.01)

    async def other():
        claim = await store.claim(generation_id, "two", LEASE_S)
        return claim if isinstance(claim, Claim) else None

    claim = await eventually(other)
    assert claim.fence > zombie.fence
    attempt = await dispatched(store, claim)
    writes = [
        store.begin_attempt(zombie, OPTIONS),
        store.write_dispatch(zombie, attempt, option_index=0, reservation_id="x"),
        store.write_remote_id(zombie, attempt, "x"),
        store.write_answer(zombie, attempt, Answer(1, 1)),
        store.write_failure(zombie, attempt, Failure("r", "m", None)),
        store.retry(zombie, Settlement(attempt, AttemptState.RELEASED)),
        store.finish(zombie, End(state=EndState.FAILED)),
        store.put_back(zombie, 0, crashed=False),
    ]
    for write in writes:
        with pytest.raises(ClaimLost):
            await write
    assert await store.renew([zombie], LEASE_S) == {generation_id}
    assert await store.renew([claim], LEASE_S) == set()


async def test_an_attempt_left_open_is_found_by_the_next_claim(store, generation_id):
    claim = await store.claim(generation_id, "one", LEASE_S)
    assert claim.open_attempt is None
    attempt = await dispatched(store, claim)
    await store.write_remote_id(claim, attempt, "remote-1")
    await store.put_back(claim, 0, crashed=True)
    again = await store.claim(generation_id, "two", LEASE_S)
    assert again.crash_count == 2
    left = again.open_attempt
    assert (left.state, left.remote_id, left.reservation_id) == ("DISPATCHED", "remote-1", "acme/r")
    assert left.option == OPTIONS[0]
    await store.write_answer(again, left, Answer(70_000, 1, (ARTIFACT,)))
    await store.put_back(again, 0, crashed=False)
    third = await store.claim(generation_id, "two", LEASE_S)
    assert third.crash_count == 1
    assert third.open_attempt.state is AttemptState.ANSWERED
    assert third.open_attempt.actual_micros == 70_000


async def test_a_failure_to_be_retried_waits_its_time(store, ledger_url, generation_id):
    claim = await store.claim(generation_id, "one", LEASE_S)
    attempt = await dispatched(store, claim)
    attempt = await store.write_failure(claim, attempt, Failure("rate_limited", "slow", 60.0))
    assert attempt.failure == Failure("rate_limited", "slow", 60.0)
    wait = await store.retry(claim, Settlement(attempt, AttemptState.RELEASED))
    assert wait == pytest.approx(60, abs=2)
    assert await store.claim(generation_id, "one", LEASE_S) == pytest.approx(60, abs=2)
    assert await read_generation(ledger_url, generation_id, "state", "attempt_count") == (
        "QUEUED",
        1,
    )


async def test_identical_generations_have_one_leader(store, ledger_url, generation_id):
    leader = await store.claim(generation_id, "one", LEASE_S)
    assert await store.lead_or_follow(leader, b"same-key")
    other_id = await insert_generation(ledger_url)
    other = await store.claim(other_id, "two", LEASE_S)
    assert not await store.lead_or_follow(other, b"same-key")
    row = await read_generation(ledger_url, other_id, "state", "leader_id", "lease_owner")
    assert row == ("QUEUED", generation_id, None)
    assert await store.claim(other_id, "two", LEASE_S) == pytest.approx(5, abs=1)
    third = await store.claim(await insert_generation(ledger_url), "two", LEASE_S)
    assert await store.lead_or_follow(third, b"another-key")

    await store.put_back(leader, 0, crashed=False)
    again = await store.claim(generation_id, "one", LEASE_S)
    assert again.leads
    assert not other.leads
    await store.finish(again, End(state=EndState.FAILED))
    released = await store.claim(other_id, "two", LEASE_S)
    assert isinstance(released, Claim)
    assert await store.lead_or_follow(released, b"same-key")


@pytest.mark.parametrize("shared", [True, False])
async def test_what_is_shared_ends_all_that_wait_for_it(store, ledger_url, generation_id, shared):
    leader = await store.claim(generation_id, "one", LEASE_S)
    await store.lead_or_follow(leader, b"same-key")
    other_id = await insert_generation(ledger_url)
    await store.lead_or_follow(await store.claim(other_id, "two", LEASE_S), b"same-key")
    attempt = await dispatched(store, leader)
    await store.write_answer(leader, attempt, Answer(70_000, 1, (ARTIFACT,)))
    end = End(state=EndState.SUCCEEDED, provider="p", model="m", shared=shared)
    await store.finish(leader, end, settled=Settlement(attempt, AttemptState.COMMITTED, 70_000))
    row = await read_generation(
        ledger_url, other_id, "state", "cached", "saved_micros", "cost_micros", "model"
    )
    if shared:
        assert row == ("SUCCEEDED", "joined", 70_000, 0, "m")
    else:
        assert row == ("QUEUED", "", 0, 0, "")


async def test_one_that_waits_is_claimed_for_its_own_deadline(store, ledger_url, generation_id):
    leader = await store.claim(generation_id, "one", LEASE_S)
    await store.lead_or_follow(leader, b"same-key")
    other_id = await insert_generation(ledger_url)
    await store.lead_or_follow(await store.claim(other_id, "two", LEASE_S), b"same-key")
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE generation SET deadline_time = now() WHERE generation_id = %s", [other_id]
        )
    late = await store.claim(other_id, "two", LEASE_S)
    assert late.steering.stop is Stop.DEADLINE


async def test_a_renewal_tells_of_a_cancel_and_waits_for_nobody(store, ledger_url, generation_id):
    claim = await store.claim(generation_id, "one", LEASE_S)
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute("UPDATE generation SET cancel_time = now()")
        async with connection.transaction():
            await connection.execute("SELECT FROM generation FOR UPDATE")
            assert await store.renew([claim], LEASE_S) == set()
    assert claim.steering.stop is Stop.CANCELLED


async def test_progress_is_for_who_has_the_claim(store, ledger_url, generation_id):
    claim = await store.claim(generation_id, "one", LEASE_S)
    await store.write_progress(claim, "drawing", 40)
    row = await read_generation(ledger_url, generation_id, "stage", "progress_percent")
    assert row == ("drawing", 40)
    await store.write_progress(replace(claim, fence=claim.fence - 1), "old", 90)
    assert await read_generation(ledger_url, generation_id, "stage") == ("drawing",)
    await store.put_back(claim, 0, crashed=False)
    assert await read_generation(ledger_url, generation_id, "stage") == ("",)


async def test_the_cost_is_what_all_attempts_were_charged(store, ledger_url, generation_id):
    claim = await store.claim(generation_id, "one", LEASE_S)
    attempt = await dispatched(store, claim)
    attempt = await store.write_answer(claim, attempt, Answer(80_000, 1, presumed_spent=True))
    assert await store.retry(claim, Settlement(attempt, AttemptState.COMMITTED, 80_000)) == 0
    claim = await store.claim(generation_id, "one", LEASE_S)
    assert (claim.paid_count, claim.open_attempt) == (1, None)
    attempt = await dispatched(store, claim)
    await store.write_answer(claim, attempt, Answer(70_000, 1, (ARTIFACT,)))
    end = End(state=EndState.SUCCEEDED, provider="sandbox", model="sandbox-image")
    await store.finish(claim, end, settled=Settlement(attempt, AttemptState.COMMITTED, 70_000))
    row = await read_generation(ledger_url, generation_id, "state", "cost_micros", "lease_owner")
    assert row == ("SUCCEEDED", 150_000, None)
