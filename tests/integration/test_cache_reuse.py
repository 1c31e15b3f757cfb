"""What submitters say of the cache, and what it has near their requests."""

from __future__ import annotations

import builtins

import pytest

from authorities import TOKEN, new_key
from authority.v1 import generation_service_pb2 as messages
from clients import (
    CacheClient,
    CacheField,
    CacheFieldMode,
    CacheStructuredPolicy,
    GenerationClient,
    IdempotencyKeyReused,
    InvalidRequest,
    Kind,
    ModelRetired,
    NearMatches,
    NotAllowed,
    NotFound,
    Reuse,
    Submission,
)
from keys import make_key
from similarity.embedders.base import EmbedderFailed
from similarity.embedders.local import LocalEmbedder
from similarity.policy import CachePolicy
from similarity.structured import Field, Mode, StructuredPolicy

PROMPT = "a photo of a red lighthouse at dawn"
DISH = {"cuisine": ["thai"], "ingredients": ["rice", "basil", "chili"]}
RULES = StructuredPolicy(
    (Field("cuisine", 40, Mode.REQUIRED), Field("ingredients", 60, Mode.JACCARD, 500_000)), 700_000
)
POLICY = CacheStructuredPolicy(
    (
        CacheField("cuisine", 40, CacheFieldMode.REQUIRED),
        CacheField("ingredients", 60, CacheFieldMode.JACCARD, 500_000),
    ),
    threshold_ppm=700_000,
)


@pytest.fixture
async def client(authority):
    """A client of the running authority's GenerationService."""
    async with GenerationClient(
        f"127.0.0.1:{authority[0].port}", token=TOKEN, timeout=10
    ) as client:
        yield client


async def test_what_is_said_of_the_cache_is_kept_and_replayed(cached, client, stores):
    entry_id = await cached.entry()
    key = new_key()
    asked = {"reuse": Reuse.REFRESH, "context": DISH, "idempotency_key": key}
    made = await client.submit("acme", PROMPT, **asked)
    assert (made.reuse, made.accept_entry_id) == (Reuse.REFRESH, "")
    assert made.context == {name: tuple(values) for name, values in DISH.items()}
    assert (await client.submit("acme", PROMPT, **asked)).replayed
    for change in (
        {"reuse": Reuse.POLICY},
        {"context": {}},
        {"context": {**DISH, "cuisine": ["lao"]}},
        {"reuse": Reuse.POLICY, "accept_entry_id": entry_id},
    ):
        with pytest.raises(IdempotencyKeyReused):
            await client.submit("acme", PROMPT, **asked | change)
    accepting = await client.submit("acme", PROMPT, accept_entry_id=entry_id)
    assert accepting.accept_entry_id == entry_id
    (row,) = await stores.rows(
        "SELECT * FROM generation WHERE generation_id = %s", made.generation_id
    )
    assert (row["reuse"], row["context"]) == ("refresh", DISH)
    # One that was taken in before there were such fields is replayed as ever.
    plain = await client.submit("acme", PROMPT, idempotency_key="plain")
    await stores.rows(
        "UPDATE generation SET reuse = DEFAULT, context = DEFAULT WHERE generation_id = %s",
        plain.generation_id,
    )
    assert (await client.submit("acme", PROMPT, idempotency_key="plain")).replayed


async def test_each_wrong_field_is_named(cached, client):
    entry_id, foreign = await cached.entry(), await cached.entry("globex")
    parent = await cached.made()
    wrong = [
        ({"accept_entry_id": "acme"}, "accept_entry_id"),
        ({"accept_entry_id": foreign}, "accept_entry_id"),
        ({"accept_entry_id": f"acme/{new_key()}"}, "accept_entry_id"),
        ({"accept_entry_id": entry_id, "reuse": Reuse.EXACT}, "accept_entry_id"),
        ({"accept_entry_id": entry_id, "parent_id": parent}, "accept_entry_id"),
        ({"accept_entry_id": entry_id, "kind": Kind.VIDEO}, "accept_entry_id"),
        # It would be made, and paid for.
        ({"accept_entry_id": entry_id, "size": "1536x1024"}, "accept_entry_id"),
        ({"accept_entry_id": entry_id, "model": "fal-ai/flux/dev"}, "accept_entry_id"),
        ({"reuse": Reuse.GUARDED, "parent_id": parent}, "reuse"),
        ({"context": {f"name-{number}": ["x"] for number in range(17)}}, "context"),
        ({"context": {"": ["x"]}}, "context."),
        ({"context": {"a\x00": ["x"]}}, "context"),
        ({"context": {"cuisine": []}}, "context.cuisine"),
        ({"context": {"cuisine": ["x"] * 51}}, "context.cuisine"),
        ({"context": {"cuisine": ["x" * 201]}}, "context.cuisine"),
        ({"context": {"cuisine": [""]}}, "context.cuisine"),
    ]
    for fields, name in wrong:
        with pytest.raises(InvalidRequest) as refused:
            await client.submit("acme", PROMPT, **fields)
        assert [violation.field for violation in refused.value.violations] == [name], fields
    with pytest.raises(TypeError):
        await client.submit("acme", PROMPT, context={"cuisine": "thai"})
    anew = await client.submit("acme", "", parent_id=parent, reuse=Reuse.OFF)
    assert anew.reuse is Reuse.OFF


async def test_a_key_names_entries_of_its_tenant_alone(cached, stubs, authority, cache):
    foreign = await cached.entry("globex", prompt=PROMPT)
    address, token = f"127.0.0.1:{authority[0].port}", (await make_key(stubs, "acme")).token
    async with (
        GenerationClient(address, token=token) as client,
        type(cache)(address, token=token) as own,
    ):
        with pytest.raises(NotAllowed):
            await client.submit("acme", PROMPT, accept_entry_id=foreign)
        # The same prompt in another tenant is not near.
        assert await own.suggest("acme", PROMPT) == []
        with pytest.raises(NotAllowed):
            await own.suggest("globex", PROMPT)
        assert (await client.submit("acme", PROMPT, reuse=Reuse.SUGGEST)).reuse is Reuse.SUGGEST


async def test_near_matches_are_told_with_why_not(cached, cache, stores):
    same = await cached.entry(prompt=PROMPT)
    blue = await cached.entry(prompt="a photo of a blue lighthouse at dawn")
    await cached.entry(prompt="two dogs play chess in the rain")
    near = await cache.suggest("acme", "A photo of a RED  lighthouse at dawn")
    assert [(found.entry_id, found.stage, found.objection) for found in near] == [
        *((same, "normalised", ""), (blue, "", "colours"))
    ]
    assert near[0].score_ppm == 1_000_000
    assert 700_000 <= near[1].score_ppm < 1_000_000
    assert near[0].prompt == PROMPT
    assert near[0].saved == 42_000
    (exact, _) = await cache.suggest("acme", PROMPT)
    assert exact.stage == "exact"
    (other, _) = await cache.suggest("acme", "a photo of a red lighthouse at daybreak")
    assert other.entry_id == same
    await stores.rows("UPDATE cache_entry SET status = 'EXACT_ONLY' WHERE entry_id = %s", same)
    assert (await cache.suggest("acme", PROMPT))[0].stage == "exact"
    dressed, _ = await cache.suggest("acme", PROMPT.upper())
    assert (dressed.stage, dressed.objection) == ("", "exact_only")
    # Another scope, and requests that only the very same serves.
    assert await cache.suggest("acme", PROMPT, quality="standard") == []
    assert await cache.suggest("acme", PROMPT, count=2) == []
    assert await cache.suggest("acme", PROMPT, seed=7) == []


async def test_a_pair_that_was_reported_is_told(cached, cache):
    entry_id = await cached.entry(prompt=PROMPT)
    hit = await cached.hit(entry_id, prompt=PROMPT.upper())
    await cache.report(hit, match=False)
    (found,) = await cache.suggest("acme", PROMPT.upper())
    assert (found.stage, found.objection) == ("", "mismatch")
    (found,) = await cache.suggest("acme", PROMPT)
    assert found.stage == "exact"


async def test_contexts_are_compared_by_the_policy(cached, cache, generations):
    context = {name: messages.ContextValues(values=values) for name, values in DISH.items()}
    entry_id = await cached.entry(prompt="a bowl of basil rice", context=context, structured=RULES)
    like = {"cuisine": ["thai"], "ingredients": ["rice", "basil"]}
    assert await cache.suggest("acme", "supper on a table", context=like) == []
    await cache.update_policy("acme", structured=POLICY)
    (found,) = await cache.suggest("acme", "supper on a table", context=like)
    assert (found.entry_id, found.stage, found.score_ppm) == (entry_id, "structured", 800_000)
    other = {"cuisine": ["lao"], "ingredients": ["rice", "basil"]}
    assert await cache.suggest("acme", "supper on a table", context=other) == []
    assert CachePolicy().structured is None


async def test_suggest_takes_in_only_what_is_near_to_nothing(cached, cache, client, stores):
    await cached.entry(prompt=PROMPT)
    before = await stores.rows("SELECT count(*) AS count FROM generation")
    key = new_key()
    with pytest.raises(NearMatches) as found:
        await client.submit("acme", PROMPT, reuse=Reuse.SUGGEST, idempotency_key=key)
    assert await stores.rows("SELECT count(*) AS count FROM generation") == before
    (near,) = found.value.suggestions
    # The key is still free, for the one that takes what was suggested.
    taken = await client.submit("acme", PROMPT, accept_entry_id=near.entry_id, idempotency_key=key)
    assert not taken.replayed
    alone = await client.submit("acme", "two dogs play chess", reuse=Reuse.SUGGEST)
    assert (alone.state, alone.reuse) == ("QUEUED", Reuse.SUGGEST)
    outcomes = await client.submit_batch(
        [
            Submission("acme", PROMPT, reuse=Reuse.SUGGEST),
            Submission("acme", "two cats play go", reuse=Reuse.SUGGEST),
        ]
    )
    assert isinstance(outcomes[0], NearMatches)
    assert outcomes[1].prompt == "two cats play go"


async def test_without_an_embedder_there_are_no_suggestions(
    cached, cache, client, core, monkeypatch
):
    await cached.entry(prompt=PROMPT)
    real = builtins.__import__

    def missing(name, *arguments):
        if name == "authority.usecases.vectors":
            raise ImportError("No module named 'wordllama'")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert await cache.suggest("acme", PROMPT) == []
    assert (await client.submit("acme", PROMPT, reuse=Reuse.SUGGEST)).state == "QUEUED"


async def test_wishes_are_checked_as_submissions_are(cached, cache):
    with pytest.raises(InvalidRequest) as refused:
        await cache.suggest("acme", "", size="large", count=11)
    fields = {violation.field for violation in refused.value.violations}
    assert fields == {"prompt", "size", "count"}
    with pytest.raises(NotFound):
        await cache.suggest("acme/nobody", PROMPT)
    with pytest.raises(ModelRetired):
        await cache.suggest("acme", PROMPT, model="dall-e-3")
    await cached.entry(prompt=PROMPT)
    await cache.update_policy("acme", enabled=False)
    assert await cache.suggest("acme", PROMPT) == []


@pytest.mark.parametrize("embedder", ["none", "openai", "minilm"])
async def test_by_another_embedder_no_entry_of_this_one_is_near(
    cached, authority_settings, start_authority, embedder
):
    """Those of another embedder are another scope; what is paid for is never asked for here."""
    await cached.entry(prompt=PROMPT)
    settings = authority_settings.model_copy(update={"embedder": embedder})
    running, _ = await start_authority(settings)
    async with CacheClient(f"127.0.0.1:{running.port}", token=TOKEN, timeout=10) as client:
        assert await client.suggest("acme", PROMPT) == []


async def test_what_is_the_same_is_near_without_a_vector(cached, cache, monkeypatch):
    entry_id = await cached.entry(prompt=PROMPT)
    await cached.entry(prompt="a photo of a blue lighthouse at dawn")

    def gone(*_arguments):
        raise EmbedderFailed("the weights are gone")

    monkeypatch.setattr(LocalEmbedder, "embed_now", gone)
    (found,) = await cache.suggest("acme", PROMPT.title())
    assert (found.entry_id, found.stage) == (entry_id, "normalised")
