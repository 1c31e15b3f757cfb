"""The stages of the cache over Postgres: what each serves, and what may stop it."""

from __future__ import annotations

import asyncio

import pytest

from look_ups import ALL, COST
from similarity.embedders.base import Embedded, EmbedderFailed

PROMPT = "a small red sofa beside the window"
STAGES = [
    ("exact", PROMPT),
    ("normalised", "Please create an image of A SMALL RED SOFA beside the window!"),
    ("signature", "a small red couch beside the window"),
    ("guarded", "a small red sofa beside the windw"),
]
RECIPE = {"dish": ["risotto"], "course": ["main"], "ingredients": ["rice", "saffron", "stock"]}
STRUCTURED = {
    "fields": [
        {"name": "dish", "mode": "required", "weight": 40},
        {"name": "course", "mode": "required", "weight": 20},
        {"name": "ingredients", "mode": "jaccard", "weight": 40, "bound_ppm": 500_000},
    ],
    "threshold_ppm": 800_000,
}
CHAT = {"kind": "chat", "settings": {"temperature": 0.0}}


@pytest.mark.parametrize(("stage", "prompt"), STAGES)
async def test_each_stage_finds_what_the_one_before_does_not(look_ups, stage, prompt):
    await look_ups.policy(**ALL)
    source_id = await look_ups.make(PROMPT)
    found, hit, looked = await look_ups.look(prompt)
    assert (found, hit.candidate.source_id, hit.candidate.cost_micros) == (stage, source_id, COST)
    assert looked.report.tried[-1] == stage
    assert looked.report.skipped == {}
    assert (hit.candidate.score_ppm is not None) == (stage == "guarded")


@pytest.mark.parametrize(("stage", "prompt"), STAGES)
async def test_a_policy_ends_at_its_deepest_stage(look_ups, stage, prompt):
    await look_ups.make(PROMPT)
    found, _, looked = await look_ups.look(prompt)
    assert found == (stage if stage in ("exact", "normalised") else "")
    assert "guarded" not in looked.report.tried
    await look_ups.policy(deepest={"image": "exact"})
    assert (await look_ups.look(prompt))[0] == (stage if stage == "exact" else "")
    await look_ups.policy(enabled=False)
    assert (await look_ups.look(prompt))[0] == ""


@pytest.mark.parametrize(
    ("reuse", "served"),
    [
        ("off", []),
        ("refresh", []),
        ("exact", ["exact"]),
        ("normalised", ["exact", "normalised"]),
        ("guarded", ["exact", "normalised", "signature", "guarded"]),
        ("", ["exact", "normalised", "signature", "guarded"]),
    ],
)
async def test_a_request_may_ask_for_less(look_ups, reuse, served):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT)
    found = [(await look_ups.look(prompt, reuse=reuse))[0] for _, prompt in STAGES]
    assert [stage for stage in found if stage] == served


@pytest.mark.parametrize("reuse", ["off", "refresh", "exact", ""])
async def test_what_is_off_is_not_kept_either(look_ups, reuse):
    await look_ups.make(PROMPT, reuse=reuse)
    assert (await look_ups.look(PROMPT))[0] == ("" if reuse == "off" else "exact")


async def test_who_wants_another_one_is_not_served_and_serves(look_ups):
    first = await look_ups.make(PROMPT)
    assert (await look_ups.look(PROMPT, parent_id=first))[0] == ""
    second = await look_ups.make(PROMPT, parent_id=first)
    assert (await look_ups.look(PROMPT))[1].candidate.source_id == second


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"quality": "standard"},
        {"size": "512x512"},
        {"count": 2},
        {"account": "globex"},
        {"settings": {"negative_prompt": "rain"}},
        {"kind": "video"},
    ],
)
async def test_a_scope_is_an_equality(look_ups, change):
    for account in ("acme", "globex"):
        await look_ups.policy(account, **ALL)
    await look_ups.make(PROMPT)
    for _, prompt in STAGES:
        assert (await look_ups.look(prompt, **change))[0] == ""
    assert (await look_ups.look(PROMPT, account="acme/alice"))[0] == "exact"


@pytest.mark.parametrize("settings", [{"seed": 7}, {"references": ["acme/r/0"]}])
async def test_what_has_a_seed_or_a_reference_is_known_to_the_letter(look_ups, settings):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT, settings=settings)
    found = [(await look_ups.look(prompt, settings=settings))[0] for _, prompt in STAGES]
    assert found == ["exact", "", "", ""]


async def test_chats_are_known_to_the_letter_at_any_temperature(look_ups):
    await look_ups.policy(deepest={"chat": "guarded"})
    await look_ups.make(PROMPT, kind="chat")
    assert (await look_ups.look(PROMPT, kind="chat"))[0] == "exact"
    assert (await look_ups.look(STAGES[1][1], kind="chat"))[0] == ""
    await look_ups.policy()
    await look_ups.make(PROMPT, **CHAT)
    assert (await look_ups.look(PROMPT, **CHAT))[0] == "exact"
    assert (await look_ups.look(STAGES[1][1], **CHAT))[0] == ""


async def test_the_chat_tier_serves_chats_that_have_it(look_ups):
    near = "how do i repair a small red sofa beside the window"
    await look_ups.make(f"{near} today", **CHAT)
    assert (await look_ups.look(near, **CHAT))[0] == ""
    await look_ups.policy(**ALL, chat_tier=True)
    # It has to be seen to be right first.
    assert (await look_ups.look(near, **CHAT))[0] == ""
    await look_ups.execute(
        "INSERT INTO cache_bin SELECT 'acme', 'chat', bin, 299, 0 FROM generate_series(0, 19) bin"
    )
    stage, hit, looked = await look_ups.look(near, **CHAT)
    assert stage == "chat", looked.report.encode()
    assert hit.candidate.score_ppm >= 950_000
    await look_ups.make(f"{near} today")
    assert (await look_ups.look(near))[0] == ""


async def test_contexts_are_compared_field_by_field(look_ups):
    await look_ups.policy(structured=STRUCTURED, sample_ppm=0)
    await look_ups.make("dinner", context=RECIPE)
    same = RECIPE | {"ingredients": ["stock", "RICE", "saffron", "salt"]}
    stage, hit, _ = await look_ups.look("a meal for two", context=same)
    assert (stage, hit.candidate.score_ppm) == ("structured", 900_000)
    for other in (
        RECIPE | {"dish": ["paella"]},
        RECIPE | {"ingredients": ["beef", "bread", "salt"]},
        {"course": ["main"]},
    ):
        assert (await look_ups.look("a meal for two", context=other))[0] == ""
    # Without a context of its own it is known by its prompt alone.
    assert (await look_ups.look("a meal for two"))[0] == ""


class Broken:
    """An embedder that fails, or takes its time."""

    name = "wordllama-l2-supercat-256"
    dimensions = 256

    def __init__(self, seconds=0.0) -> None:
        self.seconds = seconds

    async def embed(self, _texts):
        if not self.seconds:
            raise EmbedderFailed("no weights")
        await asyncio.sleep(self.seconds)
        return Embedded([])

    async def aclose(self):
        pass


class Faulty(Broken):
    """An embedder with a fault that nobody has thought of."""

    async def embed(self, _texts):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Broken(), "embedder_failed"),
        (Broken(seconds=60), "embedder_slow"),
        (Faulty(), "embedder_failed"),
    ],
)
async def test_an_embedder_that_fails_is_gone_without(look_ups, fault, reason):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT)
    broken = look_ups.with_embedder(fault, seconds_max=0.05)
    _, _, looked = await look_ups.look(STAGES[3][1], cache=broken)
    assert looked.report.skipped == {"guarded": reason}
    assert looked.report.tried == ["exact", "normalised", "signature"]
    assert (await look_ups.look(STAGES[2][1], cache=broken))[0] == "signature"
    # What is made meanwhile is kept, and found by all other stages.
    look_ups.cache = broken
    await look_ups.make("a lighthouse at dusk")
    assert (await look_ups.look("Lighthouse at dusk!", cache=broken))[0] == "normalised"
    ((row),) = await look_ups.execute(
        "SELECT embedding::text, embedder FROM cache_entry ORDER BY create_time DESC LIMIT 1"
    )
    assert row == {"embedding": None, "embedder": ""}


async def test_without_vectors_or_an_embedder_the_rest_is_looked_up(look_ups):
    await look_ups.policy(**ALL)
    bare = look_ups.with_embedder(None)
    look_ups.cache = bare
    await look_ups.make(PROMPT)
    assert (await look_ups.look(STAGES[2][1]))[0] == "signature"
    assert (await look_ups.look(STAGES[3][1]))[2].report.skipped == {"guarded": "no_embedder"}
    look_ups.store.has_vectors = False
    assert (await look_ups.look(STAGES[3][1]))[2].report.skipped == {"guarded": "no_vectors"}


async def test_other_languages_are_known_by_their_letters(look_ups):
    await look_ups.policy(**ALL)
    await look_ups.make("ein kleines rotes Sofa neben dem Fenster")
    stage, _, looked = await look_ups.look("ein kleines rotes Sofa neben dem Fensterr")
    assert (stage, looked.report.skipped) == ("", {"guarded": "not_english"})
    assert (await look_ups.look("Ein kleines rotes Sofa neben dem Fenster!"))[0] == "normalised"


async def test_a_very_long_prompt_has_no_vector(look_ups):
    await look_ups.policy(**ALL)
    long = "a small red sofa beside the window, " * 300
    await look_ups.make(long)
    (entry,) = await look_ups.execute("SELECT * FROM cache_entry")
    assert (entry["embedding"], entry["embedder"]) == (None, "")
    assert (await look_ups.look(long))[0] == "exact"
    _, _, looked = await look_ups.look(f"{long} and a cat")
    assert looked.report.skipped == {"guarded": "long_text"}


async def test_the_nearest_and_what_objects_is_told(look_ups):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT)
    stage, _, looked = await look_ups.look("a small blue sofa beside the window")
    assert stage == ""
    told = looked.report.encode()
    assert told["nearest"]["objection"] == "colours"
    assert told["nearest"]["score_ppm"] > 500_000
    assert "held_back" not in told
