"""A worker dies at each step of serving from the cache; each hit is one hit, and costs nothing."""

from __future__ import annotations

import asyncio
import signal

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from generating import state
from pipelines import Fate
from support import eventually

PROMPT = "a small red sofa beside the window"
GUARDED = {"deepest": {"image": "guarded"}, "sample_ppm": 0}
OPENAI = {"model": "gpt-image-2", "quality": "high"}

pytestmark = pytest.mark.usefixtures("funded")


@pytest.fixture
async def rows(ledger_url):
    """A function that runs a statement and returns its rows."""
    async with await psycopg.AsyncConnection.connect(
        ledger_url, autocommit=True, row_factory=dict_row
    ) as connection:

        async def run(statement, *parameters):
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
async def guarded(rows, funded):
    """Lets acme be served by all stages."""
    await rows("INSERT INTO cache_policy VALUES ('acme', 'acme', %s)", Jsonb(GUARDED))


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("stage", "prompt"),
    [("exact", PROMPT), ("signature", "a small red couch beside the window")],
)
async def test_a_death_at_any_step_of_a_hit_serves_it_once(
    generations, run, rows, emulator, spent, stage, prompt
):
    made = (await generations.submit(prompt=PROMPT, **OPENAI)).generation
    await run(made.generation_id)
    made = await generations.get(made.generation_id)
    whole = Fate()
    served = (await generations.submit(prompt=prompt, **OPENAI)).generation
    await run(served.generation_id, whole)
    assert {"find_policy", "lead_or_follow", "find_by_hashes", "find_hit", "finish"} <= set(
        whole.steps
    )
    for number, name in enumerate(whole.steps, start=1):
        for moment in ("before", "after", "reply"):
            served = (await generations.submit(prompt=prompt, **OPENAI)).generation
            await run(served.generation_id, Fate(number, moment))
            served = await generations.get(served.generation_id)
            where = f"{moment} {name}"
            assert (state(served), served.cached, served.cost) == ("SUCCEEDED", stage, 0), where
            (hit,) = await rows(
                "SELECT * FROM cache_hit WHERE generation_id = %s", served.generation_id
            )
            assert (hit["source_generation_id"], hit["saved_micros"]) == (
                made.generation_id,
                made.cost,
            ), where
            (artifact,) = served.artifacts
            assert (await generations.download(artifact.artifact_id))[0]
    assert len(await emulator.calls(provider="openai")) == 1
    assert await spent() == made.cost


@pytest.mark.usefixtures("guarded")
async def test_a_death_while_filling_keeps_what_was_paid(generations, run, rows, emulator, spent):
    whole = Fate()
    made = (await generations.submit(prompt="whole", **OPENAI)).generation
    await run(made.generation_id, whole)
    last = len(whole.steps)
    committed_at = whole.steps.index("commit") + 1
    for number in range(committed_at, last + 1):
        for moment in ("before", "after"):
            prompt = f"{moment} {number}"
            made = (await generations.submit(prompt=prompt, **OPENAI)).generation
            await run(made.generation_id, Fate(number, moment))
            made = await generations.get(made.generation_id)
            assert state(made) == "SUCCEEDED", (prompt, whole.steps[number - 1])
            (entry,) = await rows(
                "SELECT * FROM cache_entry WHERE generation_id = %s", made.generation_id
            )
            assert (entry["cost_micros"], entry["embedder"] != "") == (made.cost, True)
    calls = await emulator.calls(provider="openai")
    assert len(calls) == 1 + 2 * (last + 1 - committed_at)
    assert await spent() == sum(call.billed_micros for call in calls)


async def test_what_joins_is_a_hit_of_what_was_made(generations, run, rows, emulator, spent):
    ids = [
        (await generations.submit(prompt=PROMPT, **OPENAI)).generation.generation_id
        for _ in range(4)
    ]
    # The first leads, and its worker dies before it makes anything.
    await run(ids[0], Fate("begin_attempt", "before"), only_fated=True)

    async def all_follow():
        found = await rows("SELECT 1 AS one FROM generation WHERE leader_id = %s", ids[0])
        return len(found) == 3

    async with asyncio.TaskGroup() as group:
        for follower in ids[1:]:
            group.create_task(run(follower))
        await eventually(all_follow)
        await run(ids[0])
    made = await generations.get(ids[0])
    hits = await rows("SELECT * FROM cache_hit ORDER BY generation_id")
    assert [hit["generation_id"] for hit in hits] == sorted(ids[1:])
    assert {(hit["stage"], hit["source_generation_id"], hit["saved_micros"]) for hit in hits} == {
        ("joined", ids[0], made.cost)
    }
    assert {hit["entry_id"] for hit in hits} == {None}
    assert len(await emulator.calls(provider="openai")) == 1
    assert await spent() == made.cost


@pytest.mark.parametrize("kills", [0, 3])
async def test_workers_book_what_they_serve_though_they_are_killed(
    generations, make_worker, rows, spent, kills
):
    worker = make_worker()
    await worker.start()
    made = await generations.make(prompt=PROMPT, **OPENAI)
    served = []
    for number in range(3):
        served.append(await generations.make(prompt=PROMPT, **OPENAI))
        if number < kills:
            await worker.send(signal.SIGKILL)
            await worker.start()
    assert {found.cached for found in served} == {"exact"}

    async def booked():
        found = await rows(
            "SELECT request::json ->> 'generation_id' AS generation_id,"
            " (request::json ->> 'saved')::bigint AS saved FROM operation WHERE kind = 'CACHE_HIT'"
        )
        assert len({row["generation_id"] for row in found}) == len(found)
        return {row["generation_id"]: row["saved"] for row in found}

    wanted = {found.generation_id: made.cost for found in served}

    async def all_booked():
        return await booked() == wanted

    await eventually(all_booked, 20)
    assert await spent() == made.cost


async def test_an_entry_that_was_accepted_is_served(generations, run, rows, emulator, spent):
    made = (await generations.submit(prompt=PROMPT, **OPENAI)).generation
    await run(made.generation_id)
    (entry,) = await rows("SELECT * FROM cache_entry")
    response = await generations.submit(
        prompt="a red sofa, please, at a window", accept_entry_id=entry["entry_id"], **OPENAI
    )
    await run(response.generation.generation_id)
    served = await generations.get(response.generation.generation_id)
    assert (state(served), served.cached, served.cost) == ("SUCCEEDED", "accepted", 0)
    # One that is gone by then is no obstacle.
    response = await generations.submit(
        prompt="a red sofa at a window", accept_entry_id=entry["entry_id"], **OPENAI
    )
    await rows("DELETE FROM cache_entry")
    await run(response.generation.generation_id)
    served = await generations.get(response.generation.generation_id)
    assert (state(served), served.cached) == ("SUCCEEDED", "")
    assert len(await emulator.calls(provider="openai")) == 2


async def test_what_a_soft_cap_has_made_worse_serves_its_own_kind_alone(
    generations, stubs, run, rows
):
    await stubs.account("acme/capped")
    await stubs.set_budget("acme/capped", 1, enforcement="DOWNGRADE", name="soft")
    lesser = (await generations.submit("acme/capped", PROMPT)).generation
    await run(lesser.generation_id)
    lesser = await generations.get(lesser.generation_id)
    assert lesser.downgraded
    better = (await generations.submit(prompt=PROMPT)).generation
    await run(better.generation_id)
    better = await generations.get(better.generation_id)
    assert (state(better), better.cached, better.downgraded) == ("SUCCEEDED", "", False)
    (entry,) = await rows(
        "SELECT quality_class FROM cache_entry WHERE generation_id = %s", lesser.generation_id
    )
    assert entry["quality_class"] != "premium"


@pytest.mark.parametrize("lost", ["cache_policy", "cache_mismatch", "cache_entry"])
async def test_a_fault_of_the_cache_is_none_of_the_generation(generations, run, rows, spent, lost):
    await rows(f"ALTER TABLE {lost} RENAME TO lost")
    for _ in range(2):
        made = (await generations.submit(prompt=PROMPT, **OPENAI)).generation
        await run(made.generation_id)
        made = await generations.get(made.generation_id)
        assert (state(made), made.attempt_count) == ("SUCCEEDED", 1)
    assert await spent() == 2 * made.cost
