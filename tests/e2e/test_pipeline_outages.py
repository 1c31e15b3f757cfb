"""Generations while a store or the authority is away: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import signal

import psycopg
import pytest

from generating import state
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}


@pytest.fixture
async def valkey(make_valkey):
    """A Valkey of the test's own, to be killed."""
    return await make_valkey()


@pytest.fixture
def redis_url(valkey):
    """The URL of the test's own Valkey."""
    return valkey.url


@pytest.fixture
async def authority_process(make_authority_process, ledger_url, redis_url):
    """An authority as a process of its own, to be killed."""
    return await make_authority_process(ledger_url, redis_url)


@pytest.fixture
async def stubs(authority_process):
    """The services of that authority."""
    stubs = await authority_process.start()
    await stubs.account("acme")
    await stubs.set_budget("acme", 10_000_000)
    return stubs


@pytest.fixture
def authority_address(authority_process, stubs):
    """Where that authority listens."""
    return f"127.0.0.1:{authority_process.port_file.read_text()}"


async def books(stubs):
    """Return what is held and what was committed, once the books balance."""
    reserved, committed, _, _ = (await stubs.balance("acme"))["acme", "usd-day"]
    assert await stubs.differences() == []
    return reserved, committed


async def test_what_is_submitted_while_valkey_is_away_is_made_when_it_is_back(
    generations, stubs, worker, valkey
):
    await valkey.kill()
    submitted = await generations.submit(**OPENAI)
    assert not submitted.replayed
    await valkey.start()
    made = await generations.ended(submitted.generation.generation_id, 40)
    assert state(made) == "SUCCEEDED"
    assert await books(stubs) == (0, made.cost)


async def test_a_valkey_that_lost_everything_loses_no_generation(
    generations, stubs, worker, valkey, emulator
):
    await emulator.order("openai", "latency", seconds=2, times=None)
    ids = [
        (await generations.submit(prompt=f"picture {number}", **OPENAI)).generation.generation_id
        for number in range(10)
    ]
    await eventually(lambda: emulator.calls(provider="openai"))
    await valkey.kill()
    for file in valkey.directory.glob("appendonlydir/*"):
        file.unlink()
    await valkey.start()
    made = [await generations.ended(generation_id, 40) for generation_id in ids]
    assert {state(generation) for generation in made} == {"SUCCEEDED"}
    assert await books(stubs) == (0, sum(generation.cost for generation in made))
    assert len(await emulator.calls(provider="openai")) == 10


async def test_an_authority_killed_during_the_call_is_paid_when_it_is_back(
    generations, stubs, worker, emulator, authority_process, ledger_url
):
    await emulator.order("openai", "latency", seconds=1)
    generation_id = (await generations.submit(**OPENAI)).generation.generation_id
    await eventually(lambda: emulator.calls(provider="openai"))
    await authority_process.send(signal.SIGKILL)

    async def answered():
        async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
            cursor = await connection.execute("SELECT state FROM generation_attempt")
            return await cursor.fetchone() == ("ANSWERED",)

    await eventually(answered)
    stubs = await authority_process.start()
    made = await generations.ended(generation_id, 40)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 1)
    assert len(await emulator.calls(provider="openai")) == 1
    assert await books(stubs) == (0, made.cost)
