"""The generation client: waiting for the end, and downloads that are whole or not there."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from authority.v1 import generation_service_pb2 as messages
from authority_script import scripted_authority, status
from clients import (
    Artifact,
    ArtifactDamaged,
    ChatMessage,
    GenerationClient,
    GenerationState,
    InvalidRequest,
    Kind,
    NotFound,
    Priority,
    Role,
    Settings,
    Style,
)
from clients.sync import SyncGenerationClient

CONTENT = b"\x89PNG" * 100_000


@pytest.fixture
async def scripted():
    """An authority that answers from a script."""
    async with scripted_authority() as authority:
        yield authority


@pytest.fixture
async def delays():
    """The delays that the client asked for, which take no time."""
    return []


@pytest.fixture
async def client(scripted, delays):
    """A client with a token."""

    async def at_once(seconds):
        delays.append(seconds)

    async with GenerationClient(scripted.address, token="secret", sleep=at_once) as generations:
        yield generations


def batch(**states):
    """Return the generations of some ids in some states."""
    return messages.BatchGetGenerationsResponse(
        generations=[
            messages.Generation(generation_id=name, state=f"GENERATION_STATE_{state}")
            for name, state in states.items()
        ]
    )


def pieces(content, size=262_144):
    """Return the messages of a download."""
    return [
        messages.DownloadArtifactResponse(chunk=content[start : start + size])
        for start in range(0, len(content), size)
    ]


@pytest.fixture
def artifact():
    """What CONTENT is."""
    return Artifact("acme/1", "image/png", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


async def test_it_waits_until_all_have_ended(scripted, client, delays):
    scripted.script = [
        batch(a="QUEUED", b="RUNNING", c="DENIED"),
        batch(a="RUNNING", b="SUCCEEDED"),
        *[batch(a="RUNNING")] * 8,
        batch(a="FAILED"),
    ]
    ended = await client.wait(["a", "b", "c"], timeout=60)
    assert [item.state for item in ended] == [
        GenerationState.FAILED,
        GenerationState.SUCCEEDED,
        GenerationState.DENIED,
    ]
    asked = [list(request.generation_ids) for request in scripted.requests("BatchGetGenerations")]
    assert asked[:3] == [["a", "b", "c"], ["a", "b"], ["a"]]
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0.05, 0.5)


async def test_many_are_asked_for_in_batches(scripted, client):
    names = [f"g{number}" for number in range(501)]
    scripted.script = [
        batch(**dict.fromkeys(names[:500], "SUCCEEDED")),
        batch(**dict.fromkeys(names[500:], "SUCCEEDED")),
    ]
    assert [item.generation_id for item in await client.wait(names, timeout=60)] == names


async def test_it_waits_no_longer_than_it_may(scripted, client):
    scripted.script = [batch(a="QUEUED", b="SUCCEEDED")]
    with pytest.raises(TimeoutError, match="1 generations"):
        await client.wait(["a", "b"], timeout=0.01)


async def test_a_download_is_whole(scripted, client, artifact, tmp_path):
    scripted.script = [pieces(CONTENT)] * 2
    assert await client.download("acme/1") == CONTENT
    path = tmp_path / "picture.png"
    path.write_bytes(b"older")
    await client.download_to(artifact, path)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    assert all(call.metadata["authorization"] == "Bearer secret" for call in scripted.calls)
    assert all(0 < call.seconds < 61 for call in scripted.calls)


async def test_a_damaged_download_leaves_nothing(scripted, client, artifact, tmp_path):
    scripted.script = [pieces(CONTENT[:-1])]
    with pytest.raises(ArtifactDamaged, match="acme/1"):
        await client.download_to(artifact, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


async def test_a_download_that_fails_leaves_nothing(scripted, client, artifact, tmp_path):
    scripted.script = [status("NOT_FOUND", "NOT_FOUND")]
    with pytest.raises(NotFound):
        await client.download_to(artifact, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


async def test_all_that_steers_is_sent_and_shown(scripted, client):
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    shown = messages.Generation(
        generation_id="acme/1",
        kind="KIND_CHAT",
        state="GENERATION_STATE_QUEUED",
        settings=messages.Settings(
            seed=0,
            max_tokens=9,
            messages=[messages.ChatMessage(role=messages.ROLE_ASSISTANT, content="Hi.")],
        ),
        priority="PRIORITY_HIGH",
        parent_id="acme/0",
        stage="denoising",
        progress_percent=0,
    )
    shown.deadline_time.FromDatetime(moment)
    answer = messages.SubmitGenerationResponse(generation=shown, warning="It ends soon.")
    scripted.script = [answer]
    taken = await client.submit(
        "acme",
        "Well?",
        kind=Kind.CHAT,
        priority=Priority.HIGH,
        expire_after=timedelta(minutes=5),
        parent_id="acme/0",
        seed=0,
        max_tokens=9,
        messages=[ChatMessage(Role.ASSISTANT, "Hi.")],
    )
    (request,) = scripted.requests("SubmitGeneration")
    assert request.settings == shown.settings
    assert (request.kind, request.priority) == (messages.KIND_CHAT, messages.PRIORITY_HIGH)
    assert (request.expire_after.seconds, request.parent_id) == (300, "acme/0")
    assert taken.settings == Settings(
        seed=0, max_tokens=9, messages=(ChatMessage(Role.ASSISTANT, "Hi."),)
    )
    assert (taken.kind, taken.priority, taken.deadline_time) == (Kind.CHAT, Priority.HIGH, moment)
    assert (taken.parent_id, taken.stage, taken.progress_percent) == ("acme/0", "denoising", 0)
    assert taken.warning == "It ends soon."


async def test_what_is_not_set_is_not_sent(scripted, client):
    scripted.script = [messages.SubmitGenerationResponse()]
    taken = await client.submit("acme", "a fox")
    (request,) = scripted.requests("SubmitGeneration")
    assert not request.HasField("settings")
    assert not request.HasField("expire_after")
    assert request.priority == messages.PRIORITY_UNSPECIFIED
    assert (taken.settings, taken.deadline_time, taken.progress_percent) == (Settings(), None, None)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"negative_prompt": "\ud800"}, "settings.negative_prompt"),
        ({"seed": 2**63}, "settings.seed"),
        ({"messages": [ChatMessage(Role.USER, "\ud800")]}, "settings.messages[0].content"),
    ],
)
async def test_a_setting_that_can_not_be_sent_is_named(client, settings, field):
    with pytest.raises(InvalidRequest) as refused:
        await client.submit("acme", "a fox", **settings)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_the_styles_are_listed(scripted, client):
    style = messages.Style(name="photo", suffix="photograph", negative_prompt="drawing", note="A.")
    scripted.script = [messages.ListStylesResponse(styles=[style])]
    assert await client.list_styles() == [Style("photo", "photograph", "drawing", "A.")]


async def test_the_sync_client_does_the_same(scripted, artifact, tmp_path):
    path = tmp_path / "picture.png"

    def work():
        with SyncGenerationClient(scripted.address, sleep=lambda _: None) as client:
            client.download_to(artifact, path)
            first = next(client.download_chunks(artifact))
            assert CONTENT.startswith(first)
            (ended,) = client.wait(["a"], timeout=60)
            return ended.state

    scripted.script = [*[pieces(CONTENT)] * 2, batch(a="RUNNING"), batch(a="SUCCEEDED")]
    assert await asyncio.to_thread(work) is GenerationState.SUCCEEDED
    assert path.read_bytes() == CONTENT
