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
