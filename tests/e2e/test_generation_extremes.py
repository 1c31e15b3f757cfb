"""Requests for generations that are as large as gRPC lets them be."""

from __future__ import annotations

import time

import psycopg
import pytest

from authorities import new_key
from authority.v1 import generation_service_pb2 as messages
from generating import insert_artifact
from refusals import refused


@pytest.fixture(autouse=True)
async def acme(stubs):
    """An account."""
    await stubs.account("acme")


@pytest.mark.parametrize(
    ("field", "kind", "given"),
    [
        ("messages", messages.KIND_CHAT, messages.ChatMessage()),
        ("references", messages.KIND_IMAGE, ""),
    ],
)
async def test_masses_of_nothing_keep_nobody_waiting(generations, field, kind, given):
    request = messages.SubmitGenerationRequest(
        idempotency_key=new_key(),
        account="acme",
        prompt="x",
        kind=kind,
        settings=messages.Settings(**{field: [given] * 300_000}),
    )
    before = time.process_time()
    refusal = await refused(
        generations.stub.SubmitGeneration(request, metadata=generations.metadata)
    )
    assert f"settings.{field}" in refusal.fields
    # The authority is in this process. A million took it 13 seconds.
    assert time.process_time() - before < 2


async def test_images_are_read_into_no_more_memory_than_there_is(
    generations, ledger_url, authority_settings
):
    image = await insert_artifact(ledger_url, authority_settings.artifacts)
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute("UPDATE artifact SET size_bytes = 49000000")
    fields = {"model": "gpt-image-2", "settings": messages.Settings(references=[image] * 2)}
    await generations.submit(**fields)
    fields["settings"].references.append(image)
    refusal = await refused(generations.submit(**fields))
    assert refusal.fields == ["settings.references"]
    assert "147000000 bytes" in refusal.message


async def test_a_page_is_no_larger_than_any_client_takes(generations):
    said = [messages.ChatMessage(role=messages.ROLE_USER, content="x" * 32_000)] * 5
    settings = messages.Settings(messages=said)
    made = [
        (await generations.submit(kind=messages.KIND_CHAT, settings=settings)).generation
        for _ in range(30)
    ]
    listed, request = [], messages.ListGenerationsRequest(account="acme")
    while not listed or request.page_token:
        answer = await generations.stub.ListGenerations(request, metadata=generations.metadata)
        assert 0 < answer.ByteSize() < 4 * 1024 * 1024
        listed += answer.generations
        request.page_token = answer.next_page_token
    assert listed == made[::-1]


@pytest.mark.parametrize("size", [99, 100, 101, 250])
async def test_large_pages_are_read_in_parts(generations, size):
    for _ in range(3):
        batch = [
            messages.SubmitGenerationRequest(
                idempotency_key=new_key(), account="acme", prompt="a lighthouse"
            )
            for _ in range(67)
        ]
        await generations.stub.BatchSubmitGenerations(
            messages.BatchSubmitGenerationsRequest(requests=batch), metadata=generations.metadata
        )
    listed = []
    request = messages.ListGenerationsRequest(account="acme", page_size=size)
    while not listed or request.page_token:
        answer = await generations.stub.ListGenerations(request, metadata=generations.metadata)
        listed += [generation.generation_id for generation in answer.generations]
        assert len(answer.generations) == min(size, 201 - len(listed) + len(answer.generations))
        request.page_token = answer.next_page_token
    assert len(set(listed)) == len(listed) == 201
    assert listed == sorted(listed, reverse=True)


@pytest.mark.parametrize(
    "settings",
    [
        '{"of_a_later_version": 1}',
        "[]",
        "null",
        '{"seed": "x"}',
        '{"messages": [{"role": "elf", "content": "x"}]}',
        '{"references": 7}',
    ],
)
async def test_settings_that_can_not_be_read_hide_nothing_else(generations, ledger_url, settings):
    made = (await generations.submit(settings=messages.Settings(seed=7))).generation
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute("UPDATE generation SET settings = %s", [settings])
    shown = await generations.get(made.generation_id)
    assert (shown.prompt, shown.settings) == (made.prompt, messages.Settings())
