"""Generations through the Python client, with real workers: watched, stopped, retried, repeated."""

from __future__ import annotations

import asyncio
import signal

import httpx
import psycopg
import pytest

from authorities import TOKEN
from clients import (
    Generation,
    GenerationClient,
    GenerationState,
    GenerationStateError,
    InvalidRequest,
    NotFound,
    Submission,
    Visibility,
)
from generating import insert_artifact, insert_generation

MODEL = {"model": "gpt-image-2", "quality": "high"}


@pytest.fixture
async def client(authority_address):
    """A client of the running authority."""
    async with GenerationClient(authority_address, token=TOKEN, timeout=10) as made:
        yield made


async def states(client, generation_id):
    """Return the states that a watch shows, to the end."""
    seen = []
    async for shown in client.watch(generation_id):
        if not seen or seen[-1] != shown.state:
            seen.append(shown.state.value)
    return seen


@pytest.mark.usefixtures("funded", "worker")
async def test_a_batch_is_made_and_each_is_seen_to_its_end(client, spent):
    wanted = [Submission("acme", f"a fox {number}", **MODEL) for number in range(20)]
    wanted.append(Submission("nobody", "a fox", **MODEL))
    wanted.append(Submission("acme", "", **MODEL))
    *taken, nobody, empty = await client.submit_batch(wanted)
    assert isinstance(nobody, NotFound)
    assert isinstance(empty, InvalidRequest)
    again = await client.submit_batch(wanted)
    ids = [item.generation_id for item in taken if isinstance(item, Generation)]
    assert len(set(ids)) == 20
    assert [item.generation_id for item in again[:20] if isinstance(item, Generation)] == ids
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        watches = [group.create_task(states(client, name)) for name in ids]
    assert {watch.result()[-1] for watch in watches} == {"SUCCEEDED"}
    ended = await client.batch_get(ids)
    assert await spent() == sum(item.cost for item in ended) > 0


@pytest.mark.usefixtures("funded", "worker")
async def test_it_is_cancelled_retried_and_made_anew(client, emulator, spent):
    await emulator.order("openai", "refused")
    failed = await client.submit("acme", "a fox", seed=None, **MODEL)
    assert (await states(client, failed.generation_id))[-1] == "FAILED"
    assert (await client.retry(failed.generation_id)).state is GenerationState.QUEUED
    assert (await states(client, failed.generation_id))[-1] == "SUCCEEDED"
    with pytest.raises(GenerationStateError, match="SUCCEEDED"):
        await client.retry(failed.generation_id)
    made = await client.cancel(failed.generation_id)
    assert made.state is GenerationState.SUCCEEDED
    child = await client.regenerate(made)
    (child,) = await client.wait([child.generation_id], timeout=30)
    assert (child.prompt, child.model, child.cached) == ("a fox", made.model, "")
    assert await spent() == made.cost + child.cost
    listed = client.list_generations("acme", parent_id=made.generation_id)
    assert [item async for item in listed] == [child]


async def test_a_watch_goes_on_through_a_kill_and_a_restart(
    make_authority_process, ledger_url, redis_url
):
    process = await make_authority_process(ledger_url, redis_url)
    await process.start()
    generation_id = await insert_generation(ledger_url)
    async with GenerationClient(process.address, token=TOKEN) as client:
        watched = client.watch(generation_id)
        assert (await anext(watched)).state is GenerationState.QUEUED
        following = asyncio.create_task(anext(watched))
        await process.send(signal.SIGKILL)
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as rows:
            await rows.execute("UPDATE generation SET state = 'RUNNING'")
        await process.start()
        assert (await asyncio.wait_for(following, 20)).state is GenerationState.RUNNING
        await watched.aclose()


async def test_what_is_liked_and_shown_has_a_url_that_does_not_end(
    start_authority, authority_settings, ledger_url
):
    settings = authority_settings.model_copy(update={"web_port": 0})
    process, _ = await start_authority(settings)
    artifact_id = await insert_artifact(ledger_url, authority_settings.artifacts)
    generation_id = artifact_id.removesuffix("/0")
    async with GenerationClient(f"127.0.0.1:{process.port}", token=TOKEN) as client:
        assert (await client.artifact_url(artifact_id)).expire_time is not None
        liked = await client.update(generation_id, favourite=True, visibility=Visibility.PUBLIC)
        assert (liked.favourite, liked.visibility) == (True, Visibility.PUBLIC)
        public = await client.artifact_url(liked.artifacts[0])
        assert public.expire_time is None
        async with httpx.AsyncClient() as browser:
            assert (await browser.get(public.url)).content == b"an image"
        (listed,) = [item async for item in client.list_generations("acme", favourites_only=True)]
        assert listed == liked
        plain = await client.update(generation_id, favourite=False)
        assert (plain.favourite, plain.visibility) == (False, Visibility.PUBLIC)
