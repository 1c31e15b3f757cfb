"""Generations in batches, watched, listed by what they are, liked, shown and made anew."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import httpx
import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authorities import new_key
from authority.rpc.generation_servicer import SUBMISSIONS_MAX
from authority.v1 import generation_service_pb2 as messages
from generating import insert_artifact, state
from refusals import Refusal, refused
from support import eventually

SUBMIT = messages.SubmitGenerationRequest


@pytest.fixture(autouse=True)
async def acme(stubs):
    """An account."""
    await stubs.account("acme")


def call(generations, method, request):
    """Call a method by its name."""
    return getattr(generations.stub, method)(request, metadata=generations.metadata)


def request(prompt="a lighthouse", **fields):
    return SUBMIT(**{"idempotency_key": new_key(), "account": "acme", "prompt": prompt} | fields)


async def listed(generations, **fields):
    """Return the ids of the generations of acme, the latest first."""
    answer = await call(
        generations, "ListGenerations", messages.ListGenerationsRequest(account="acme", **fields)
    )
    return [generation.generation_id for generation in answer.generations]


async def change(ledger_url, generation_id, **columns):
    """Change a generation as a worker would."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        sets = ", ".join(f"{name} = %({name})s" for name in columns)
        await connection.execute(
            f"UPDATE generation SET {sets} WHERE generation_id = %(id)s",
            {**columns, "id": generation_id},
        )


async def test_each_of_a_batch_has_its_own_answer(generations):
    first = request("one")
    batch = messages.BatchSubmitGenerationsRequest(
        requests=[first, request(""), request("three", account="nobody"), request("four"), first]
    )
    answer = await call(generations, "BatchSubmitGenerations", batch)
    taken, empty, nobody, fourth, again = answer.results
    assert taken.response.generation.prompt == "one"
    assert Refusal(empty.error).fields == ["prompt"]
    assert Refusal(nobody.error).reason == "NOT_FOUND"
    assert fourth.response.generation.prompt == "four"
    same = again.response.generation.generation_id == taken.response.generation.generation_id
    assert same
    assert {taken.response.replayed, again.response.replayed} == {True, False}


async def test_a_thousand_at_once_are_a_thousand(generations):
    batch = messages.BatchSubmitGenerationsRequest(
        requests=[request(f"picture {number}") for number in range(SUBMISSIONS_MAX)]
    )
    answer = await call(generations, "BatchSubmitGenerations", batch)
    ids = {result.response.generation.generation_id for result in answer.results}
    assert len(ids) == SUBMISSIONS_MAX
    assert "" not in ids
    again = await call(generations, "BatchSubmitGenerations", batch)
    assert {result.response.generation.generation_id for result in again.results} == ids
    assert all(result.response.replayed for result in again.results)


@pytest.mark.parametrize("count", [0, SUBMISSIONS_MAX + 1])
async def test_a_batch_of_a_wrong_size_is_refused_as_a_whole(generations, count):
    batch = messages.BatchSubmitGenerationsRequest(requests=[request()] * count)
    refusal = await refused(call(generations, "BatchSubmitGenerations", batch))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ["requests"])


async def test_who_watches_sees_each_change_and_the_end(generations, ledger_url):
    made = (await generations.submit()).generation
    watched = call(
        generations,
        "WatchGeneration",
        messages.WatchGenerationRequest(generation_id=made.generation_id),
    )
    seen = []

    async def follow():
        async for shown in watched:
            generation = shown.generation
            percent = generation.progress_percent if generation.HasField("progress_percent") else 0
            seen.append((state(generation), generation.stage, percent))

    following = asyncio.create_task(follow())
    await eventually(lambda: seen == [("QUEUED", "", 0)])
    for count, columns in enumerate(
        (
            {"state": "RUNNING"},
            {"stage": "drawing", "progress_percent": 40},
            {"state": "SUCCEEDED", "end_time": datetime.now(UTC)},  # noqa: TID251
        ),
        start=2,
    ):
        await change(ledger_url, made.generation_id, **columns)
        await eventually(lambda count=count: len(seen) == count)
    await asyncio.wait_for(following, 10)
    assert seen[1:] == [
        ("RUNNING", "", 0),
        ("RUNNING", "drawing", 40),
        ("SUCCEEDED", "drawing", 40),
    ]


async def test_watching_outlives_postgres(generations, core, ledger_url):
    made = (await generations.submit()).generation
    watched = call(
        generations,
        "WatchGeneration",
        messages.WatchGenerationRequest(generation_id=made.generation_id),
    )
    assert state((await watched.read()).generation) == "QUEUED"
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await change(ledger_url, made.generation_id, state="RUNNING")
    assert state((await asyncio.wait_for(watched.read(), 15)).generation) == "RUNNING"


async def test_what_nobody_has_submitted_can_not_be_watched(generations):
    unknown = messages.WatchGenerationRequest(generation_id=f"acme/{new_key()}")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(generations, "WatchGeneration", unknown).read()
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_generations_are_listed_by_what_they_are(generations, ledger_url):
    image = (await generations.submit()).generation
    chat = (await generations.submit(kind=messages.KIND_CHAT)).generation
    child = (await generations.submit(parent_id=image.generation_id)).generation
    await change(
        ledger_url,
        image.generation_id,
        state="SUCCEEDED",
        model="gpt-image-2",
        end_time=datetime(2026, 1, 1, tzinfo=UTC),
        favourite=True,
    )
    await change(ledger_url, chat.generation_id, create_time=datetime(2026, 1, 1, tzinfo=UTC))
    only = {name.generation_id: name for name in (image, chat, child)}
    assert await listed(generations) == sorted(only, reverse=True)
    for fields, expected in (
        ({"kind": messages.KIND_CHAT}, chat),
        ({"state": messages.GENERATION_STATE_SUCCEEDED}, image),
        ({"model": "gpt-image-2"}, image),
        ({"favourites_only": True}, image),
        ({"parent_id": image.generation_id}, child),
        ({"end_time": datetime(2026, 1, 2, tzinfo=UTC)}, chat),
    ):
        assert await listed(generations, **fields) == [expected.generation_id]
    since = await listed(generations, start_time=datetime(2026, 1, 2, tzinfo=UTC))
    assert chat.generation_id not in since


async def test_a_page_token_is_good_for_its_listing_alone(generations):
    for number in range(3):
        await generations.submit(prompt=f"{number}")
    answer = await call(
        generations,
        "ListGenerations",
        messages.ListGenerationsRequest(account="acme", page_size=2),
    )
    other = messages.ListGenerationsRequest(
        account="acme", page_token=answer.next_page_token, favourites_only=True
    )
    assert (await refused(call(generations, "ListGenerations", other))).fields == ["page_token"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": 99}, ["kind"]),
        ({"state": 99}, ["state"]),
        ({"parent_id": "acme"}, ["parent_id"]),
        (
            {
                "start_time": datetime(2026, 1, 2, tzinfo=UTC),
                "end_time": datetime(2026, 1, 1, tzinfo=UTC),
            },
            ["end_time"],
        ),
    ],
)
async def test_a_listing_says_what_is_wrong_with_it(generations, fields, wrong):
    asked = messages.ListGenerationsRequest(account="acme", **fields)
    assert (await refused(call(generations, "ListGenerations", asked))).fields == wrong


async def test_what_is_liked_and_shown_is_what_the_mask_names(generations):
    made = (await generations.submit()).generation

    async def update(*paths, **fields):
        asked = messages.UpdateGenerationRequest(
            generation_id=made.generation_id, update_mask=FieldMask(paths=paths), **fields
        )
        changed = (await call(generations, "UpdateGeneration", asked)).generation
        return changed.favourite, changed.visibility

    assert await update("favourite", favourite=True) == (True, messages.VISIBILITY_PRIVATE)
    public = messages.VISIBILITY_PUBLIC
    assert await update("visibility", visibility=public) == (True, public)
    assert await update("favourite", "visibility", visibility=1) == (False, 1)


@pytest.mark.parametrize(
    ("paths", "fields", "wrong"),
    [
        ([], {"favourite": True}, ["update_mask"]),
        (["prompt"], {}, ["update_mask"]),
        (["visibility"], {}, ["visibility"]),
        (["visibility"], {"visibility": 9}, ["visibility"]),
    ],
)
async def test_an_update_says_what_is_wrong_with_it(generations, paths, fields, wrong):
    made = (await generations.submit()).generation
    asked = messages.UpdateGenerationRequest(
        generation_id=made.generation_id, update_mask=FieldMask(paths=paths), **fields
    )
    assert (await refused(call(generations, "UpdateGeneration", asked))).fields == wrong


async def test_a_child_with_nothing_set_asks_for_what_its_parent_did(generations):
    parent = (
        await generations.submit(
            prompt="a fox", quality="standard", count=2, settings=messages.Settings(seed=7)
        )
    ).generation
    anew = (await generations.submit(prompt="", parent_id=parent.generation_id)).generation
    asked = ("prompt", "kind", "size", "quality", "count", "settings")
    assert [getattr(anew, name) for name in asked] == [getattr(parent, name) for name in asked]
    assert anew.parent_id == parent.generation_id
    assert anew.generation_id != parent.generation_id
    varied = (
        await generations.submit(
            prompt="", parent_id=parent.generation_id, settings=messages.Settings(seed=8)
        )
    ).generation
    assert (varied.prompt, varied.count, varied.settings.seed) == ("a fox", 1, 8)
    orphan = request("", parent_id=f"acme/{new_key()}")
    assert "prompt" in (await refused(call(generations, "SubmitGeneration", orphan))).fields


async def test_an_artifact_in_a_folder_has_a_url_where_there_is_a_web_port(
    start_authority, authority_settings, generations, ledger_url
):
    artifact_id = await insert_artifact(ledger_url, authority_settings.artifacts)
    asked = messages.CreateArtifactUrlRequest(artifact_id=artifact_id)
    refusal = await refused(call(generations, "CreateArtifactUrl", asked))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NO_WEB_ADDRESS")
    settings = authority_settings.model_copy(update={"web_port": 0})
    _, stubs = await start_authority(settings)
    with_web = type(generations)(stubs)
    made = await call(with_web, "CreateArtifactUrl", asked)
    ends = made.expire_time.ToDatetime(UTC) - datetime.now(UTC)  # noqa: TID251
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(made.url)).content == b"an image"
        await change(ledger_url, artifact_id.removesuffix("/0"), visibility="PUBLIC")
        public = await call(with_web, "CreateArtifactUrl", asked)
        assert not public.HasField("expire_time")
        assert (await browser.get(public.url)).content == b"an image"


@pytest.mark.parametrize("seconds", [0, -1, 7 * 86_400 + 1])
async def test_a_url_lasts_for_a_second_to_a_week(generations, seconds):
    asked = messages.CreateArtifactUrlRequest(artifact_id=f"acme/{new_key()}/0")
    asked.ttl.seconds = seconds
    assert (await refused(call(generations, "CreateArtifactUrl", asked))).fields == ["ttl"]
