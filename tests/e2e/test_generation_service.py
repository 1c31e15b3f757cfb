"""GenerationService over a socket: taking generations in and showing them. No worker runs."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import grpc
import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from redis.asyncio import Redis

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import generation_service_pb2 as messages
from generating import insert_artifact, insert_generation, read_generation, state
from generations.artifacts import ArtifactStore
from generations.queue import job_id, queue_name

SECRET = "a very secret lighthouse"


@pytest.fixture(autouse=True)
async def account(stubs):
    await stubs.account("acme")


def reason(error):
    """Return the code, the reason and the metadata of a failed call, and the fields it names."""
    info, fields = error_details_pb2.ErrorInfo(), []
    for detail in rpc_status.from_call(error.value).details:
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            fields = [violation.field for violation in request.field_violations]
        detail.Unpack(info)
    return error.value.code().name, info.reason, dict(info.metadata), fields


async def test_a_generation_is_taken_in_once_per_key(generations, authority_settings):
    key = new_key()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(generations.submit(key=key)) for _ in range(20)]
    responses = [call.result() for call in calls]
    assert len({response.generation.generation_id for response in responses}) == 1
    assert [response.replayed for response in responses].count(False) == 1
    generation = await generations.get(responses[0].generation.generation_id)
    assert (state(generation), generation.account, generation.prompt, generation.count) == (
        "QUEUED",
        "acme",
        "a lighthouse",
        1,
    )
    assert (generation.size, generation.quality) == ("1024x1024", "premium")
    async with Redis.from_url(authority_settings.redis_url.get_secret_value()) as redis:
        assert await redis.zrange(queue_name("image"), 0, -1) == [
            job_id(generation.generation_id, 0).encode()
        ]


async def test_the_defaults_are_part_of_the_request(generations):
    key = new_key()
    await generations.submit(key=key)
    again = await generations.submit(
        key=key, size="1024x1024", quality="premium", count=1, kind=messages.KIND_IMAGE
    )
    assert again.replayed


async def test_a_key_used_for_another_request_is_refused(generations, stubs):
    await stubs.account("acme/alice")
    key = new_key()
    await generations.submit(key=key)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.submit("acme/alice", key=key, prompt="a windmill", count=2)
    code, why, metadata, _ = reason(error)
    assert (code, why) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
    assert metadata["fields"] == "account, prompt, count"


async def test_a_replay_is_answered_after_its_model_was_retired(generations, core):
    key = new_key()
    fields = {"model": "gpt-image-1.5", "quality": "high"}
    first = await generations.submit(key=key, **fields)
    core.hot.clock.offset_ms += 30 * 86_400_000
    again = await generations.submit(key=key, **fields)
    assert again.replayed
    assert again.generation.generation_id == first.generation.generation_id
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.submit(**fields)
    code, why, metadata, _ = reason(error)
    assert (code, why) == ("INVALID_ARGUMENT", "MODEL_RETIRED")
    assert metadata["substitute"] == "gpt-image-2"


@pytest.mark.parametrize(
    ("fields", "why", "wrong"),
    [
        ({"account": "nobody"}, "NOT_FOUND", []),
        ({"account": "Not An Account"}, "INVALID_FIELD", ["account"]),
        ({"prompt": " "}, "INVALID_FIELD", ["prompt"]),
        ({"prompt": "x" * 32_001}, "INVALID_FIELD", ["prompt"]),
        ({"prompt": "a\0b"}, "INVALID_FIELD", ["prompt"]),
        ({"size": "1x1"}, "INVALID_FIELD", ["size"]),
        ({"count": 11}, "INVALID_FIELD", ["count"]),
        ({"count": -1}, "INVALID_FIELD", ["count"]),
        ({"kind": 77}, "INVALID_FIELD", ["kind"]),
        ({"model": "dall-e-3"}, "MODEL_RETIRED", []),
        ({"model": "gpt-image-2.6-flare"}, "UNPRICED", []),
        ({"model": "no-such-model"}, "INVALID_FIELD", ["model"]),
        ({"priority": 9}, "INVALID_FIELD", ["priority"]),
        ({"expire_after": Duration()}, "INVALID_FIELD", ["expire_after"]),
        ({"expire_after": Duration(seconds=2_592_001)}, "INVALID_FIELD", ["expire_after"]),
        ({"expire_after": Duration(seconds=-5)}, "INVALID_FIELD", ["expire_after"]),
        ({"parent_id": "acme"}, "INVALID_FIELD", ["parent_id"]),
        ({"parent_id": f"globex/{new_key()}"}, "INVALID_FIELD", ["parent_id"]),
        ({"kind": 2, "size": "1024x1024"}, "INVALID_FIELD", ["size"]),
        (
            {"kind": 2, "settings": messages.Settings(messages=[messages.ChatMessage()])},
            "INVALID_FIELD",
            ["settings.messages[0].role", "settings.messages[0].content"],
        ),
        (
            {
                "key": "k" * 129,
                "count": 11,
                "settings": messages.Settings(seed=-1, steps=0, style="x", seconds=-3),
            },
            "INVALID_FIELD",
            [
                *("idempotency_key", "count", "settings.seconds", "settings.style"),
                *("settings.seed", "settings.steps"),
            ],
        ),
        (
            {"key": "k" * 129, "account": "", "prompt": "", "quality": "best"},
            "INVALID_FIELD",
            ["idempotency_key", "account", "prompt", "quality"],
        ),
    ],
)
async def test_what_is_wrong_is_named_at_once(generations, fields, why, wrong):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.submit(**fields)
    assert (reason(error)[1], reason(error)[3]) == (why, wrong)


async def test_batch_get_keeps_the_order_and_names_what_is_missing(generations):
    ids = [(await generations.submit()).generation.generation_id for _ in range(3)]
    asked = [ids[2], ids[0], ids[2]]
    request = messages.BatchGetGenerationsRequest(generation_ids=asked)
    response = await generations.stub.BatchGetGenerations(request, metadata=generations.metadata)
    assert [found.generation_id for found in response.generations] == asked
    missing = f"acme/{new_key()}"
    request = messages.BatchGetGenerationsRequest(generation_ids=[ids[0], missing])
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.stub.BatchGetGenerations(request, metadata=generations.metadata)
    assert reason(error)[1:3] == (
        "NOT_FOUND",
        {"resource_type": "generation", "resource_name": missing},
    )
    request = messages.BatchGetGenerationsRequest(generation_ids=["acme/x", *ids])
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.stub.BatchGetGenerations(request, metadata=generations.metadata)
    assert reason(error)[3] == ["generation_ids[0]"]


async def test_list_pages_through_an_account_the_latest_first(generations, stubs):
    await stubs.account("acme/alice")
    made = [(await generations.submit()).generation.generation_id for _ in range(5)]
    await generations.submit("acme/alice")
    listed, token = [], ""
    while True:
        request = messages.ListGenerationsRequest(account="acme", page_size=2, page_token=token)
        page = await generations.stub.ListGenerations(request, metadata=generations.metadata)
        listed += [found.generation_id for found in page.generations]
        token = page.next_page_token
        if not token:
            break
    assert listed == made[::-1]


async def test_artifacts_come_in_pieces(generations, authority_settings, ledger_url):
    made = (await generations.submit()).generation
    content = bytes(range(256)) * 3000
    store = ArtifactStore(authority_settings.artifacts)
    stored = await store.put(
        "acme", made.generation_id, 0, content, "image/png", made.create_time.ToDatetime()
    )
    artifact_id = f"{made.generation_id}/0"
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO artifact VALUES (%s, %s, 0, %s, 'image/png', %s, %s)",
            [artifact_id, made.generation_id, stored.path, stored.size_bytes, stored.sha256],
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await generations.download(artifact_id)
        assert reason(error)[1] == "NOT_FOUND", "it is not made before it is paid"
        await connection.execute("UPDATE generation SET state = 'SUCCEEDED', end_time = now()")
    (artifact,) = (await generations.get(made.generation_id)).artifacts
    assert (artifact.size_bytes, artifact.sha256) == (stored.size_bytes, stored.sha256)
    received, longest = await generations.download(artifact.artifact_id)
    assert received == content
    assert longest <= 256 * 1024
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.download("../etc/passwd")
    assert reason(error)[3] == ["artifact_id"]


async def test_the_catalogue_is_listed(generations):
    for kind in (messages.KIND_UNSPECIFIED, messages.KIND_IMAGE):
        request = messages.ListModelsRequest(kind=kind)
        listed = await generations.stub.ListModels(request, metadata=generations.metadata)
        models = {model.model: model for model in listed.models}
        assert models["dall-e-3"].status == "retired"
        assert "makes no real generation" in models["sandbox-image"].note
        one = {messages.KIND_IMAGE}
        every = {messages.KIND_IMAGE, messages.KIND_CHAT, messages.KIND_VIDEO}
        assert {model.kind for model in listed.models} == (one if kind else every)
        assert list(models["fal-ai/flux/dev"].settings) == ["output_format", "seed", "steps"]
        assert list(models["fal-ai/flux/dev"].output_formats) == ["jpeg", "png"]


async def test_the_styles_are_listed(generations):
    request = messages.ListStylesRequest()
    listed = await generations.stub.ListStyles(request, metadata=generations.metadata)
    photo = next(style for style in listed.styles if style.name == "photo")
    assert photo.suffix.startswith("photograph")
    assert photo.negative_prompt
    assert photo.note == "A photograph."


async def test_chat_is_taken_in_with_all_that_steers_it(generations):
    said = [
        messages.ChatMessage(role=messages.ROLE_USER, content="Hello."),
        messages.ChatMessage(role=messages.ROLE_ASSISTANT, content="Good day."),
    ]
    settings = messages.Settings(system="Be brief.", messages=said, temperature=0.7, seed=0)
    response = await generations.submit(kind=messages.KIND_CHAT, settings=settings)
    settings.max_tokens = 1024
    for taken in (response.generation, await generations.get(response.generation.generation_id)):
        assert (taken.kind, taken.size, taken.quality) == (messages.KIND_CHAT, "", "premium")
        assert taken.settings == settings
        assert taken.priority == messages.PRIORITY_NORMAL
        assert not taken.HasField("deadline_time")


async def test_a_video_is_taken_in_with_order_and_deadline(generations, ledger_url):
    key = new_key()
    fields = {
        "kind": messages.KIND_VIDEO,
        "settings": messages.Settings(seed=2**31 - 1, style="cinematic"),
        "priority": messages.PRIORITY_BATCH,
        "expire_after": Duration(seconds=600, nanos=5_000_000),
    }
    first = (await generations.submit(key=key, **fields)).generation
    assert (first.size, first.settings.seconds, first.priority) == ("720p", 5, 3)
    left = first.deadline_time.ToDatetime() - first.create_time.ToDatetime()
    assert left == timedelta(seconds=600, milliseconds=5)
    again = await generations.submit(key=key, **fields)
    assert again.replayed
    assert again.generation == first
    row = await read_generation(ledger_url, first.generation_id, "priority", "settings")
    assert row == ("BATCH", {"seed": 2**31 - 1, "style": "cinematic", "seconds": 5})


async def test_another_steering_is_another_request(generations):
    parent = (await generations.submit()).generation.generation_id
    key = new_key()
    await generations.submit(key=key)
    changed = {
        "settings": messages.Settings(seed=1),
        "priority": messages.PRIORITY_HIGH,
        "expire_after": Duration(seconds=60),
        "parent_id": parent,
    }
    for count in range(1, len(changed) + 1):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await generations.submit(key=key, **dict(list(changed.items())[:count]))
        code, why, metadata, _ = reason(error)
        assert (code, why) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
        assert metadata["fields"] == ", ".join(list(changed)[:count])


async def test_an_image_row_of_before_is_replayed(generations, ledger_url):
    # As migration 0009 has left it: no settings, normal, no deadline.
    generation_id = await insert_generation(ledger_url, "an old lighthouse")
    again = await generations.submit(key=generation_id, prompt="an old lighthouse")
    assert again.replayed
    assert again.generation.generation_id == generation_id


async def test_images_given_must_be_there(generations, stubs, authority_settings, ledger_url):
    await stubs.account("globex")
    made = await insert_artifact(ledger_url, authority_settings.artifacts)
    settings = messages.Settings(references=[made], mask=made)
    response = await generations.submit(settings=settings, model="gpt-image-2")
    assert response.generation.settings == settings
    parent_id = made.rpartition("/")[0]
    child = await generations.submit(parent_id=parent_id)
    assert child.generation.parent_id == parent_id
    unfinished = f"{response.generation.generation_id}/0"
    missing = f"acme/{new_key()}"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.submit(
            settings=messages.Settings(references=[made, unfinished], mask=f"{missing}/0"),
            parent_id=missing,
        )
    assert reason(error)[3] == ["settings.references[1]", "settings.mask", "parent_id"]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generations.submit(
            "globex", settings=messages.Settings(references=[made]), parent_id=parent_id
        )
    assert reason(error)[3] == ["parent_id", "settings.references[0]"]


async def test_a_model_that_ends_soon_is_warned_of(generations):
    response = await generations.submit(model="gpt-image-1.5")
    assert response.warning.startswith("The model 'gpt-image-1.5' ends on 2026-12-01.")
    assert not (await generations.submit()).warning


async def test_no_prompt_and_no_pickle_is_in_redis(generations, authority_settings):
    await generations.submit(prompt=SECRET)
    async with Redis.from_url(authority_settings.redis_url.get_secret_value()) as redis:
        keys = await redis.keys("arq:*")
        assert keys
        for key in keys:
            value = await redis.get(key)
            assert SECRET.encode() not in value
            assert json.loads(value)["a"]


async def test_status_counts_what_is_open(generations, stubs):
    await generations.submit()
    status = await stubs.admin.GetStatus(admin.GetStatusRequest(), metadata=stubs.metadata)
    assert (status.queued_count, status.running_count, list(status.workers)) == (1, 0, [])
