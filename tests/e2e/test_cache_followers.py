"""What identical generations get of a leader that was itself served by the cache."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from authorities import TOKEN
from authority.v1 import generation_service_pb2 as messages
from clients import CacheClient
from generating import state
from pipelines import Fate
from support import eventually

MADE = "a small red sofa beside the window"
ASKED = "a small red couch beside the window"
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


async def _followed(rows, leader, count):
    async def all_follow():
        found = await rows("SELECT 1 AS one FROM generation WHERE leader_id = %s", leader)
        return len(found) == count

    await eventually(all_follow)


async def test_who_allows_less_than_its_leader_gets_nothing_near(
    generations, run, rows, stubs, emulator
):
    await stubs.account("acme/strict")
    await rows("INSERT INTO cache_policy VALUES ('acme', 'acme', %s)", Jsonb(GUARDED))
    await rows("INSERT INTO cache_policy VALUES ('acme/strict', 'acme', '{}')")
    made = (await generations.submit(prompt=MADE, **OPENAI)).generation.generation_id
    await run(made)
    leader = (await generations.submit(prompt=ASKED, **OPENAI)).generation.generation_id
    # It leads, and its worker dies before it looks.
    await run(leader, Fate("lead_or_follow", "after"), only_fated=True)
    others = [
        (await generations.submit(account, prompt=ASKED, **OPENAI, **asks)).generation.generation_id
        for account, asks in (
            ("acme", {"reuse": messages.REUSE_EXACT}),
            ("acme/strict", {}),
            ("acme", {}),
        )
    ]
    async with asyncio.TaskGroup() as group:
        for other in others:
            group.create_task(run(other))
        await _followed(rows, leader, len(others))
        await run(leader)
    exact, strict, same = [await generations.get(other) for other in others]
    assert (await generations.get(leader)).cached == "signature"
    assert {state(found) for found in (exact, strict, same)} == {"SUCCEEDED"}
    # Who has said the same of the cache would have got the same.
    assert same.cached == "joined"
    served = {found.cached for found in (exact, strict)}
    # One of the two makes what both of them asked for.
    assert served <= {"", "joined", "exact"}
    assert len(await emulator.calls(provider="openai")) == 2
    hits = await rows("SELECT * FROM cache_hit WHERE generation_id = ANY(%s)", others[:2])
    assert made not in {hit["source_generation_id"] for hit in hits}


async def test_a_report_of_what_has_joined_is_against_the_entry(
    generations, run, rows, authority_address, emulator
):
    await rows("INSERT INTO cache_policy VALUES ('acme', 'acme', %s)", Jsonb(GUARDED))
    made = (await generations.submit(prompt=MADE, **OPENAI)).generation.generation_id
    await run(made)
    leader = (await generations.submit(prompt=ASKED, **OPENAI)).generation.generation_id
    await run(leader, Fate("lead_or_follow", "after"), only_fated=True)
    other = (await generations.submit(prompt=ASKED, **OPENAI)).generation.generation_id
    async with asyncio.TaskGroup() as group:
        group.create_task(run(other))
        await _followed(rows, leader, 1)
        await run(leader)
    async with CacheClient(authority_address, token=TOKEN, timeout=10) as cache:
        report = await cache.report(other, match=False)
    assert (report.hit.stage, report.reversed > 0) == ("joined", True)
    again = (await generations.submit(prompt=ASKED, **OPENAI)).generation.generation_id
    await run(again)
    assert (await generations.get(again)).cached == ""
    assert len(await emulator.calls(provider="openai")) == 2
