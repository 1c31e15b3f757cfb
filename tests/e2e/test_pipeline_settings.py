"""Each kind, and what steers it, from Submit to the file, with the books after it."""

from __future__ import annotations

import pytest

from authority.v1 import generation_service_pb2 as messages
from generating import state
from generations.styles import styles

MONEY, COUNT = ("acme", "usd-day"), ("acme", "count-day")


@pytest.fixture
async def spent(stubs):
    """A function that returns the money and the count that were committed; nothing is held."""

    async def read():
        assert await stubs.differences() == []
        balance = await stubs.balance("acme")
        assert (balance[MONEY][0], balance[COUNT][0]) == (0, 0)
        return balance[MONEY][1], balance[COUNT][1]

    return read


@pytest.mark.parametrize(
    ("kind", "unit", "fields", "media_type"),
    [
        (
            messages.KIND_CHAT,
            "MESSAGES",
            {"model": "gpt-4o-mini", "settings": messages.Settings(max_tokens=60, temperature=0)},
            "text/plain; charset=utf-8",
        ),
        (
            messages.KIND_CHAT,
            "MESSAGES",
            {"model": "sandbox-chat", "count": 2, "settings": messages.Settings(system="Hm.")},
            "text/plain; charset=utf-8",
        ),
        (
            messages.KIND_VIDEO,
            "VIDEOS",
            {"model": "sandbox-video", "settings": messages.Settings(seconds=1, style="anime")},
            "video/mp4",
        ),
        (
            messages.KIND_IMAGE,
            "IMAGES",
            {"model": "sandbox-image", "count": 2, "settings": messages.Settings(seed=7)},
            "image/png",
        ),
    ],
)
async def test_each_kind_pays_money_and_its_own_count(
    generations, stubs, worker, spent, kind, unit, fields, media_type
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    await stubs.set_budget("acme", 10, unit=unit, name="count-day")
    made = await generations.make(kind=kind, prompt="Three rivers.", **fields)
    assert state(made) == "SUCCEEDED", made
    count = fields.get("count", 1)
    assert [artifact.media_type for artifact in made.artifacts] == [media_type] * count
    assert made.cost > 0
    assert await spent() == (made.cost, count)
    # The same again, with all that steers it, is served and costs nothing.
    again = await generations.make(kind=kind, prompt="Three rivers.", **fields)
    assert (again.cached, again.cost, again.saved) == ("exact", 0, made.cost)
    other = await generations.make(kind=kind, prompt="three rivers", **fields)
    letter_only = kind == messages.KIND_CHAT or fields["settings"].HasField("seed")
    assert other.cached == ("" if letter_only else "normalised")


async def test_a_style_and_an_image_made_before_reach_the_provider(
    generations, stubs, worker, emulator
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    settings = messages.Settings(style="photo", negative_prompt="fog")
    first = await generations.make(prompt="a fox", model="gpt-image-2", settings=settings)
    assert (state(first), first.prompt) == ("SUCCEEDED", "a fox")
    given = messages.Settings(references=[first.artifacts[0].artifact_id])
    second = await generations.make(
        prompt="in snow", model="gpt-image-2", settings=given, parent_id=first.generation_id
    )
    assert (state(second), second.parent_id) == ("SUCCEEDED", first.generation_id)
    made, edited = await emulator.calls(provider="openai", step="submit")
    photo = styles()["photo"]
    assert made.prompt == f"a fox, {photo.suffix}\nAvoid: fog, {photo.negative_prompt}"
    assert (edited.path.rpartition("/")[2], edited.prompt) == ("edits", "in snow")
    # What the reference cost is in the bill, and the hold had room for it.
    assert first.cost == made.billed_micros
    assert second.cost == edited.billed_micros > 0
