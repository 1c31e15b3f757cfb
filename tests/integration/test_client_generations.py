"""The generation client: waiting for the end, and downloads that are whole or not there."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from authority.v1 import generation_service_pb2 as messages
from authority_script import scripted_authority, status, unavailable
from clients import (
    Artifact,
    ArtifactDamaged,
    ChatMessage,
    Generation,
    GenerationClient,
    GenerationState,
    GenerationStateError,
    InvalidRequest,
    Kind,
    NotAllowed,
    NotFound,
    Priority,
    Role,
    Settings,
    Style,
    Submission,
    Visibility,
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


def shown(state, **fields):
    """Return a line of a watch, or of a call that answers a generation."""
    return {"generation": messages.Generation(state=f"GENERATION_STATE_{state}", **fields)}


async def test_each_of_a_batch_has_its_generation_or_its_error(scripted, client):
    taken = messages.SubmitGenerationResult(
        response=messages.SubmitGenerationResponse(**shown("QUEUED"), warning="It ends soon.")
    )
    away = messages.SubmitGenerationResult(error=unavailable())
    nobody = messages.SubmitGenerationResult(error=status("NOT_FOUND", "NOT_FOUND"))
    answer = messages.BatchSubmitGenerationsResponse
    scripted.script = [answer(results=[taken, away, nobody]), answer(results=[taken])]
    wanted = [
        Submission("acme", "one", settings={"seed": 7}),
        Submission("acme", "two", idempotency_key="second"),
        Submission("nobody", "three", idempotency_key="third"),
    ]
    first, second, third = await client.submit_batch(wanted)
    assert isinstance(first, Generation)
    assert isinstance(second, Generation)
    assert first.warning == "It ends soon."
    assert isinstance(third, NotFound)
    assert third.idempotency_key == "third"
    sent, again = scripted.requests("BatchSubmitGenerations")
    assert [request.prompt for request in sent.requests] == ["one", "two", "three"]
    assert sent.requests[0].settings.seed == 7
    assert [request.idempotency_key for request in again.requests] == ["second"]


@pytest.mark.parametrize(
    ("count", "letters", "calls"), [(0, 1, []), (1_001, 1, [1_000, 1]), (3, 300_000, [2, 1])]
)
async def test_a_batch_goes_in_calls_that_the_authority_takes(
    scripted, client, count, letters, calls
):
    taken = messages.SubmitGenerationResult(
        response=messages.SubmitGenerationResponse(**shown("QUEUED"))
    )
    scripted.script = [
        messages.BatchSubmitGenerationsResponse(results=[taken] * size) for size in calls
    ]
    submissions = [Submission("acme", "🦊" * letters) for _ in range(count)]
    assert len(await client.submit_batch(submissions)) == count
    sent = scripted.requests("BatchSubmitGenerations")
    assert [len(request.requests) for request in sent] == calls


async def test_a_batch_that_is_refused_as_a_whole_raises(scripted, client):
    scripted.script = [status("PERMISSION_DENIED", "NOT_ALLOWED")]
    with pytest.raises(NotAllowed):
        await client.submit_batch([Submission("acme", "a fox")])


async def test_one_is_made_anew_by_its_name_alone(scripted, client):
    scripted.script = [
        messages.GetGenerationResponse(
            **shown("SUCCEEDED", generation_id="acme/1", account="acme/alice", prompt="a fox")
        ),
        messages.SubmitGenerationResponse(**shown("QUEUED", parent_id="acme/1")),
    ]
    child = await client.regenerate(await client.get("acme/1"), idempotency_key="again")
    assert child.parent_id == "acme/1"
    (request,) = scripted.requests("SubmitGeneration")
    assert request == messages.SubmitGenerationRequest(
        account="acme/alice", parent_id="acme/1", idempotency_key="again"
    )


async def test_a_watch_shows_each_change_once_and_ends_with_the_end(scripted, client):
    line = messages.WatchGenerationResponse
    scripted.script = [
        [line(**shown("QUEUED")), line(**shown("RUNNING", stage="drawing"))],
        unavailable(),
        [line(**shown("RUNNING", stage="drawing")), line(**shown("SUCCEEDED"))],
    ]
    async with asyncio.timeout(10):
        seen = [item.state.value async for item in client.watch("acme/1")]
    assert seen == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert len(scripted.requests("WatchGeneration")) == 3


async def test_a_watch_of_what_is_not_there_raises(scripted, client):
    scripted.script = [status("NOT_FOUND", "NOT_FOUND")]
    with pytest.raises(NotFound):
        [item async for item in client.watch("acme/1")]


async def test_cancelling_and_retrying_answer_the_generation_and_are_repeated(scripted, client):
    scripted.script = [
        unavailable(),
        messages.CancelGenerationResponse(**shown("CANCELLED")),
        unavailable(),
        messages.RetryGenerationResponse(**shown("QUEUED")),
        status("FAILED_PRECONDITION", "GENERATION_STATE", state="SUCCEEDED"),
    ]
    assert (await client.cancel("acme/1")).state is GenerationState.CANCELLED
    assert (await client.retry("acme/1")).state is GenerationState.QUEUED
    with pytest.raises(GenerationStateError) as refused:
        await client.retry("acme/1")
    assert refused.value.state == "SUCCEEDED"
    assert not refused.value.outcome_unknown


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"favourite": False}, ["favourite"]),
        ({"visibility": Visibility.PUBLIC}, ["visibility"]),
        ({"favourite": True, "visibility": Visibility.PRIVATE}, ["favourite", "visibility"]),
    ],
)
async def test_an_update_sends_what_is_given(scripted, client, changes, paths):
    answer = shown("SUCCEEDED", favourite=True, visibility="VISIBILITY_PUBLIC")
    scripted.script = [messages.UpdateGenerationResponse(**answer)]
    changed = await client.update("acme/1", **changes)
    assert (changed.favourite, changed.visibility) == (True, Visibility.PUBLIC)
    (request,) = scripted.requests("UpdateGeneration")
    assert list(request.update_mask.paths) == paths
    assert request.favourite == changes.get("favourite", False)


async def test_a_url_says_when_it_ends_and_is_not_in_a_log(scripted, client, artifact):
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    ending = messages.CreateArtifactUrlResponse(url="https://shop/secret")
    ending.expire_time.FromDatetime(moment)
    scripted.script = [ending, messages.CreateArtifactUrlResponse(url="https://shop/public")]
    url = await client.artifact_url(artifact, ttl=timedelta(minutes=5))
    assert (url.url, url.expire_time) == ("https://shop/secret", moment)
    assert "secret" not in repr(url)
    assert (await client.artifact_url("acme/1/0")).expire_time is None
    first, second = scripted.requests("CreateArtifactUrl")
    assert (first.ttl.seconds, second.HasField("ttl")) == (300, False)


async def test_what_is_listed_can_be_narrowed(scripted, client):
    gone = messages.Artifact(artifact_id="acme/1/0")
    gone.delete_time.FromDatetime(datetime(2026, 11, 21, tzinfo=UTC))
    page = messages.ListGenerationsResponse
    scripted.script = [
        page(generations=[shown("SUCCEEDED", artifacts=[gone])["generation"]], next_page_token="x"),
        page(generations=[shown("SUCCEEDED")["generation"]]),
    ]
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    found = [
        item
        async for item in client.list_generations(
            "acme",
            kind=Kind.VIDEO,
            state=GenerationState.SUCCEEDED,
            model="sora",
            favourites_only=True,
            parent_id="acme/0",
            start_time=start,
            end_time=end,
        )
    ]
    assert len(found) == 2
    assert found[0].artifacts[0].delete_time == datetime(2026, 11, 21, tzinfo=UTC)
    first, second = scripted.requests("ListGenerations")
    assert (first.kind, first.state) == (messages.KIND_VIDEO, messages.GENERATION_STATE_SUCCEEDED)
    assert (first.model, first.favourites_only, first.parent_id) == ("sora", True, "acme/0")
    assert (first.start_time.ToDatetime(UTC), first.end_time.ToDatetime(UTC)) == (start, end)
    assert (first.page_token, second.page_token) == ("", "x")
    assert second.model == "sora"


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
            assert [item.state for item in client.watch("a")] == ["RUNNING", ended.state]
            return ended.state

    line = messages.WatchGenerationResponse
    watched = [line(**shown("RUNNING")), line(**shown("SUCCEEDED"))]
    scripted.script = [*[pieces(CONTENT)] * 2, batch(a="RUNNING"), batch(a="SUCCEEDED"), watched]
    assert await asyncio.to_thread(work) is GenerationState.SUCCEEDED
    assert path.read_bytes() == CONTENT
