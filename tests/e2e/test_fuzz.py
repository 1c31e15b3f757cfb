"""Whatever is sent to whatever method, the authority answers well and its books balance.

`make fuzz` sends far more, from any seed.
"""

from __future__ import annotations

import psycopg
import pytest

from fuzzing.run import Fuzz, add_given_up, add_hits, logged_faults
from generating import insert_artifact, insert_generation

_MORE_MAX = 3


async def insert_failures(ledger_url, count):
    """Add generations that may be retried; return their ids."""
    made = [await insert_generation(ledger_url) for _ in range(count)]
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE generation SET state = 'FAILED', end_time = now()"
            " WHERE generation_id = ANY(%s)",
            [made],
        )
    return made


@pytest.fixture
async def process(make_authority_process, ledger_url, redis_url, monkeypatch):
    """An authority as a process of its own, with a web port to show artifacts by."""
    monkeypatch.setenv("AUTHORITY_WEB_PORT", "0")
    return await make_authority_process(ledger_url, redis_url)


async def test_no_request_is_a_fault_and_every_refusal_says_why(process, ledger_url):
    stubs = await process.start()
    fuzz = Fuzz(stubs, seed=20_261_121)
    fuzz.names.add("artifact_id", await insert_artifact(ledger_url, process.artifacts))
    for generation_id in await insert_failures(ledger_url, 20):
        fuzz.names.add("generation_id", generation_id)
    await add_hits(fuzz.names, ledger_url)
    await add_given_up(fuzz.names, ledger_url)
    tally = await fuzz.send(4_000, at_once=32)
    assert tally.problems == {}
    assert tally.by_kind.total() == 4_000
    for _ in range(_MORE_MAX):
        # By chance all that were valid came after another that took away what they were about.
        if tally.never_done():
            await fuzz.send(1_000, at_once=32)
    assert tally.never_done() == []
    assert tally.problems == {}
    assert await stubs.differences() == []
    assert logged_faults(process.log_file.read_text()) == []
