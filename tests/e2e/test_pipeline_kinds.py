"""Chat, video and edits through the whole product: what is charged is what would be billed."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image

from authority.v1 import generation_service_pb2 as messages
from generating import state

CHATS = [
    ("openai", "gpt-4o-mini"),
    ("groq", "openai/gpt-oss-20b"),
    ("novita", "meta-llama/llama-3.1-8b-instruct"),
]
CHAT, VIDEO = messages.KIND_CHAT, messages.KIND_VIDEO

pytestmark = pytest.mark.usefixtures("funded")


@pytest.fixture
async def worker(make_worker, emulator):
    """A worker that has every provider."""
    made = make_worker(**emulator.environment)
    await made.start()
    return made


@pytest.mark.usefixtures("worker")
async def test_each_chat_is_answered_and_charged_as_it_is_billed(generations, emulator, spent):
    total = 0
    for provider, model in CHATS:
        prompt = f"What is a fox, {provider}?"
        settings = messages.Settings(system="Be brief.", max_tokens=200)
        made = await generations.make(prompt=prompt, kind=CHAT, model=model, settings=settings)
        assert (state(made), made.provider, made.model) == ("SUCCEEDED", provider, model)
        [artifact] = made.artifacts
        content, _ = await generations.download(artifact.artifact_id)
        assert prompt in content.decode()
        [call] = await emulator.calls(provider=provider, prompt=prompt)
        assert made.cost == call.billed_micros > 0
        total += made.cost
    assert await spent() == total


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("model", [model for _, model in CHATS])
async def test_a_chat_that_is_cut_short_is_paid_for_flagged_and_asked_again(
    generations, emulator, spent, attempts, model
):
    provider = next(provider for provider, known in CHATS if known == model)
    await emulator.order(provider, "drop", step="stream")
    made = await generations.make(prompt="What is a fox?", kind=CHAT, model=model)
    assert (state(made), made.provider, made.attempt_count) == ("SUCCEEDED", provider, 2)
    cut, whole = await attempts(made.generation_id)
    assert (cut["error_reason"], cut["presumed_spent"]) == ("timeout_unknown", True)
    assert (whole["state"], whole["presumed_spent"]) == ("COMMITTED", False)
    first, second = await emulator.calls(provider=provider)
    assert cut["charged_micros"] >= first.billed_micros > 0
    assert whole["charged_micros"] == second.billed_micros
    assert await spent() == cut["charged_micros"] + whole["charged_micros"]


@pytest.mark.usefixtures("worker")
async def test_an_answer_whose_usage_was_lost_is_kept_and_flagged(
    generations, emulator, spent, attempts
):
    await emulator.order("groq", "drop", step="usage")
    made = await generations.make(prompt="What is a fox?", kind=CHAT, model=CHATS[1][1])
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 1)
    [attempt] = await attempts(made.generation_id)
    assert attempt["presumed_spent"]
    [call] = await emulator.calls(provider="groq")
    assert await spent() == made.cost >= call.billed_micros > 0


@pytest.mark.usefixtures("worker")
async def test_an_answer_that_was_filtered_is_charged_and_fails(generations, emulator, spent):
    await emulator.order("openai", "refused", step="stream")
    made = await generations.make(prompt="What is a fox?", kind=CHAT, model=CHATS[0][1])
    assert (state(made), made.error_reason) == ("FAILED", "content_refused")
    [call] = await emulator.calls(provider="openai")
    assert await spent() == call.billed_micros > 0


@pytest.mark.usefixtures("worker")
async def test_a_picture_that_was_made_is_edited(generations, emulator, spent):
    first = await generations.make(prompt="a fox", model="gpt-image-2", quality="low")
    settings = messages.Settings(references=[first.artifacts[0].artifact_id], output_format="webp")
    second = await generations.make(
        prompt="the fox at night", model="gpt-image-2", quality="low", settings=settings
    )
    assert state(second) == "SUCCEEDED", second
    content, _ = await generations.download(second.artifacts[0].artifact_id)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "WEBP"
    made, edited = await emulator.calls(provider="openai")
    assert (made.path, edited.path) == ("/openai/v1/images/generations", "/openai/v1/images/edits")
    assert await spent() == first.cost + second.cost
    assert second.cost == edited.billed_micros > made.billed_micros


@pytest.mark.usefixtures("worker")
async def test_the_sandbox_makes_chat_and_video(generations, spent):
    chat = await generations.make(prompt="What is a fox?", kind=CHAT, model="sandbox-chat")
    assert state(chat) == "SUCCEEDED", chat
    content, _ = await generations.download(chat.artifacts[0].artifact_id)
    assert "SANDBOX" in content.decode()
    video = await generations.make(
        prompt="a fox that runs",
        kind=VIDEO,
        model="sandbox-video",
        size="480p",
        settings=messages.Settings(seconds=2),
    )
    assert state(video) == "SUCCEEDED", video
    content, _ = await generations.download(video.artifacts[0].artifact_id)
    with av.open(io.BytesIO(content)) as played:
        assert played.duration == 2_000_000
    assert video.cost == 2 * 50_000
    assert await spent() == chat.cost + video.cost
