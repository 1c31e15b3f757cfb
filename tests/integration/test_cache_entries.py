"""Entries of the cache: what was said against them, how long they live, and who may see them."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog

from authority.ledger.migrate import migrate
from generations.artifacts import ArtifactMissing, ArtifactStore
from look_ups import ALL, COST, LookUps
from workers.cache.rows import Candidate
from workers.cache.store import CacheStore
from workers.database import make_pool
from workers.rows import Option

PROMPT = "a small red sofa beside the window"
NORMALISED = "A small red sofa beside the WINDOW!"
SYNONYM = "a small red couch beside the window"
TYPO = "a small red sofa beside the windw"
PROMPTS = (PROMPT, NORMALISED, SYNONYM, TYPO)
CHAT = {"kind": "chat", "settings": {"temperature": 0.0}}


async def found(look_ups):
    """Return the stages that serve each of the prompts."""
    return [(await look_ups.look(prompt))[0] for prompt in PROMPTS]


async def the_entry(look_ups):
    (row,) = await look_ups.execute("SELECT * FROM cache_entry")
    return row


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_a_pair_that_is_no_match_is_never_served_again(look_ups, prompt):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT)
    _, hit, _ = await look_ups.look(prompt)
    claim = await look_ups.claim(prompt)
    policy, stages = await look_ups.cache.allowed(claim)
    known, _ = await look_ups.cache._known(
        claim, Option("p", "m", "premium", 1), policy, stages, None
    )
    await look_ups.execute(
        "INSERT INTO cache_mismatch (entry_id, exact_hash, tenant) VALUES (%s, %s, 'acme')",
        *(hit.candidate.entry_id, known.exact),
    )
    assert [bool(stage) for stage in await found(look_ups)] == [
        other != prompt for other in PROMPTS
    ]
    # What is made then is an entry of its own, or this one anew.
    await look_ups.make(prompt)
    assert (await look_ups.look(prompt))[0] == "exact"


async def test_an_entry_after_two_reports_serves_its_own_prompt_alone(look_ups):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT)
    await look_ups.execute("UPDATE cache_entry SET status = 'EXACT_ONLY'")
    assert await found(look_ups) == ["exact", "", "", ""]


async def test_what_has_expired_serves_nothing(look_ups):
    await look_ups.policy(**ALL)
    await look_ups.make(PROMPT)
    await look_ups.execute("UPDATE cache_entry SET expire_time = now()")
    assert await found(look_ups) == ["", "", "", ""]
    await look_ups.make(PROMPT)
    assert (await look_ups.look(PROMPT))[0] == "exact"


async def test_lives_are_as_the_policy_says(look_ups):
    await look_ups.policy(ttl_seconds={"image": 1000})
    await look_ups.make(PROMPT)
    await look_ups.make(PROMPT, **CHAT)
    rows = await look_ups.execute(
        "SELECT kind, extract(epoch FROM expire_time - create_time)::float8 AS seconds"
        " FROM cache_entry ORDER BY kind DESC"
    )
    for row, seconds in zip(rows, (1000, 24 * 3600), strict=True):
        assert 0.9 * seconds <= row["seconds"] <= 1.1 * seconds


async def test_an_entry_that_is_filled_anew_keeps_its_id_and_its_strikes(look_ups):
    first = await look_ups.make(PROMPT)
    before = await the_entry(look_ups)
    await look_ups.execute("UPDATE cache_entry SET strike_count = 1, last_use_time = '2026-01-01'")
    second = await look_ups.make(PROMPT, reuse="refresh", cost=90_000)
    after = await the_entry(look_ups)
    assert (before["generation_id"], after["generation_id"]) == (first, second)
    assert after["entry_id"] == before["entry_id"]
    assert (after["strike_count"], after["cost_micros"]) == (1, 90_000)
    assert after["last_use_time"] == after["create_time"] > before["create_time"]


async def test_workers_that_fill_one_entry_at_a_time_leave_one(look_ups):
    claims = [await look_ups.claim(PROMPT, reuse="refresh") for _ in range(6)]
    async with asyncio.TaskGroup() as group:
        for claim in claims:
            group.create_task(look_ups.finish(claim))
    assert (await the_entry(look_ups))["generation_id"] in {c.generation_id for c in claims}
    assert (await look_ups.look(PROMPT))[0] == "exact"


async def test_of_a_full_scope_those_go_that_were_used_least_recently(look_ups, monkeypatch):
    monkeypatch.setattr("workers.cache.writes.ENTRIES_MAX", 3)
    for number in range(3):
        await look_ups.make(f"picture {number}")
    await look_ups.make("picture 0", size="512x512")
    await look_ups.execute("UPDATE cache_entry SET last_use_time = now() - interval '2 hours'")
    claim = await look_ups.claim("picture 0")
    await look_ups.serve(claim, *(await look_ups.look_for(claim))[1:])
    await look_ups.make("picture 3")
    await look_ups.make("picture 4")
    served = [(await look_ups.look(f"picture {number}"))[0] for number in range(5)]
    assert served == ["exact", "", "", "exact", "exact"]
    # Another scope has room of its own.
    assert (await look_ups.look("picture 0", size="512x512"))[0] == "exact"


async def test_the_time_of_use_is_written_once_an_hour(look_ups):
    await look_ups.make(PROMPT)
    before = await the_entry(look_ups)
    for age in ("59 minutes", "61 minutes"):
        await look_ups.execute(f"UPDATE cache_entry SET last_use_time = now() - interval '{age}'")
        before = await the_entry(look_ups)
        claim = await look_ups.claim(PROMPT)
        await look_ups.serve(claim, *(await look_ups.look_for(claim))[1:])
        used = (await the_entry(look_ups))["last_use_time"]
        assert (used > before["last_use_time"]) == (age == "61 minutes")


async def test_a_hit_is_one_row_with_what_it_has_saved(look_ups):
    await look_ups.policy(**ALL)
    source_id = await look_ups.make(PROMPT)
    claim = await look_ups.claim(TYPO, account="acme/alice")
    await look_ups.serve(claim, *(await look_ups.look_for(claim))[1:])
    (hit,) = await look_ups.execute("SELECT * FROM cache_hit")
    entry = await the_entry(look_ups)
    assert (hit["generation_id"], hit["account"]) == (claim.generation_id, "acme/alice")
    assert (hit["entry_id"], hit["source_generation_id"]) == (entry["entry_id"], source_id)
    assert (hit["stage"], hit["saved_micros"], hit["booked_time"]) == ("guarded", COST, None)
    assert 500_000 <= hit["score_ppm"] <= 1_000_000
    (row,) = await look_ups.execute(
        "SELECT cached, looked_up, lookup FROM generation WHERE generation_id = %s",
        claim.generation_id,
    )
    assert (row["cached"], row["looked_up"]) == ("guarded", True)
    assert row["lookup"]["tried"] == ["exact", "normalised", "signature", "guarded"]


@pytest.mark.parametrize("loss", ["file", "row"])
async def test_an_entry_whose_artifacts_are_gone_goes_too(look_ups, loss):
    source_id = await look_ups.make(PROMPT)
    (artifact,) = await look_ups.execute("SELECT * FROM artifact")
    # It has two pictures, and loses one.
    await look_ups.execute(
        "INSERT INTO artifact (artifact_id, generation_id, position, object_key, media_type,"
        " size_bytes, sha256) SELECT 'acme/second', generation_id, 1, object_key, media_type,"
        " size_bytes, sha256 FROM artifact"
    )
    if loss == "file":
        await look_ups.artifacts.delete(artifact["object_key"])
    else:
        await look_ups.execute("UPDATE artifact SET delete_time = now() WHERE position = 1")
    stage, hit, looked = await look_ups.look(PROMPT)
    assert (stage, hit, looked.found.source_id) == ("", None, source_id)
    assert await look_ups.execute("SELECT 1 FROM cache_entry") == []
    if loss == "file":
        with pytest.raises(ArtifactMissing):
            await anext(look_ups.artifacts.get(artifact["object_key"]))


@pytest.mark.parametrize("death", ["expiry", "purge"])
async def test_what_is_being_served_outlives_its_entry(look_ups, death):
    await look_ups.make(PROMPT)
    claim = await look_ups.claim(PROMPT)
    _, hit, looked = await look_ups.look_for(claim)
    if death == "expiry":
        await look_ups.execute("UPDATE cache_entry SET expire_time = now()")
    else:
        await look_ups.execute("DELETE FROM cache_entry")
    await look_ups.serve(claim, hit, looked)
    (artifact,) = await look_ups.execute(
        "SELECT * FROM artifact WHERE generation_id = %s", claim.generation_id
    )
    pieces = [piece async for piece in look_ups.artifacts.get(artifact["object_key"])]
    assert b"".join(pieces) == b"an image"
    (row,) = await look_ups.execute("SELECT saved_micros FROM cache_hit")
    assert row["saved_micros"] == COST


async def test_a_bin_with_a_mismatch_is_closed_and_what_it_would_serve_is_a_sample(look_ups):
    await look_ups.policy(**ALL)
    source_id = await look_ups.make(PROMPT)
    await look_ups.execute("INSERT INTO cache_bin VALUES ('acme', 'signature', 0, 0, 1)")
    await look_ups.execute("INSERT INTO cache_bin VALUES ('acme', 'exact', 0, 0, 9)")
    claim = await look_ups.claim(SYNONYM)
    # No deeper stage, which is less sure, serves the same entry in its place.
    stage, _, looked = await look_ups.look_for(claim)
    assert (stage, looked.report.held_back["reason"]) == ("", "gate")
    assert (await look_ups.look(PROMPT))[0] == "exact"
    await look_ups.finish(claim, looked=looked)
    (sample,) = await look_ups.execute("SELECT * FROM cache_sample")
    assert (sample["generation_id"], sample["stage"]) == (claim.generation_id, "signature")
    assert (sample["source_generation_id"], sample["verdict"]) == (source_id, None)
    # It is open again once enough were seen that match; another tenant's counts for nothing.
    await look_ups.policy("globex")
    await look_ups.execute("INSERT INTO cache_bin VALUES ('globex', 'signature', 0, 9999, 0)")
    assert (await look_ups.look(f"{SYNONYM}s now"))[0] == ""
    await look_ups.execute("UPDATE cache_bin SET matches = 2000 WHERE tenant = 'acme'")
    await look_ups.execute("DELETE FROM cache_entry WHERE generation_id <> %s", source_id)
    assert (await look_ups.look(SYNONYM))[0] == "signature"


async def test_some_hits_of_the_deeper_stages_are_made_all_the_same(look_ups):
    await look_ups.policy(**{**ALL, "sample_ppm": 1_000_000})
    await look_ups.make(PROMPT)
    assert await found(look_ups) == ["exact", "normalised", "", ""]
    claim = await look_ups.claim(TYPO)
    _, _, looked = await look_ups.look_for(claim)
    assert looked.report.held_back["reason"] == "sample"
    # Whoever takes it over decides the same, and there is one sample.
    assert (await look_ups.look_for(claim))[2].held_back == looked.held_back
    await look_ups.finish(claim, looked=looked)
    (sample,) = await look_ups.execute("SELECT * FROM cache_sample")
    assert sample["stage"] == "guarded"
    (row,) = await look_ups.execute(
        "SELECT lookup FROM generation WHERE generation_id = %s", claim.generation_id
    )
    assert row["lookup"]["held_back"]["reason"] == "sample"


@pytest.mark.parametrize(
    ("answer", "verdict"), [(b"The capital is PARIS.", "MATCH"), (b"It is Rome", "MISMATCH")]
)
async def test_the_samples_of_chats_are_compared(look_ups, answer, verdict):
    policy = {"deepest": {"chat": "guarded"}, "sample_ppm": 1_000_000}
    await look_ups.policy(**policy)
    await look_ups.make(PROMPT, text=b"the capital is Paris", **CHAT)
    claim = await look_ups.claim(SYNONYM, **CHAT)
    _, _, looked = await look_ups.look_for(claim)
    await look_ups.finish(claim, looked=looked, text=answer)
    for _ in range(2):
        await look_ups.cache.judge(claim)
    (sample,) = await look_ups.execute("SELECT * FROM cache_sample")
    assert (sample["verdict"], sample["verdict_time"] is not None) == (verdict, bool(verdict))
    bins = await look_ups.execute("SELECT stage, bin, matches, mismatches FROM cache_bin")
    seen = {"matches": int(verdict == "MATCH"), "mismatches": int(verdict == "MISMATCH")}
    assert bins == [{"stage": sample["stage"], "bin": 0, **seen}]


async def test_what_is_accepted_is_served_if_all_but_the_prompt_is_the_same(look_ups):
    source_id = await look_ups.make(PROMPT)
    entry_id = (await the_entry(look_ups))["entry_id"]

    async def accepted(model="m", **fields):
        claim = await look_ups.claim("a lighthouse", accept_entry_id=entry_id, **fields)
        policy, _ = await look_ups.cache.allowed(claim)
        option = Option("p", model, "premium", 1)
        hit = await look_ups.cache.accepted(claim, option, policy)
        return hit and hit.candidate

    assert await accepted() == Candidate(entry_id, source_id, "accepted", COST)
    assert await accepted(account="acme/alice") is not None
    assert await accepted(account="globex") is None
    assert await accepted(model="n") is None
    assert await accepted(size="512x512") is None
    await look_ups.execute("UPDATE cache_entry SET expire_time = now()")
    assert await accepted() is None


async def test_the_nearest_policy_counts(look_ups):
    await look_ups.make(PROMPT)
    await look_ups.policy("acme", enabled=False)
    assert (await look_ups.look(PROMPT, account="acme/alice"))[0] == ""
    await look_ups.policy("acme/alice")
    assert (await look_ups.look(PROMPT, account="acme/alice"))[0] == "exact"
    assert (await look_ups.look(PROMPT, account="acme/bob"))[0] == ""
    # Nobody knows what one forbids that can't be read.
    await look_ups.policy("acme/alice", depth="all")
    assert (await look_ups.look(PROMPT, account="acme/alice"))[0] == ""


async def test_a_look_up_sees_its_tenant_alone_whatever_it_asks(look_ups):
    for account in ("acme", "globex"):
        await look_ups.make(PROMPT, account=account)
    # As if a bug had given both the same scope, and left the equality out.
    await look_ups.execute(
        "UPDATE cache_entry SET scope_hash = decode('00', 'hex') WHERE tenant = 'globex'"
    )
    # Often, so that it holds for prepared statements too.
    for tenant in ("acme", "globex") * 8:
        async with look_ups.store._of_tenant(tenant) as connection:
            rows = await (await connection.execute("SELECT tenant FROM cache_entry")).fetchall()
        assert [row["tenant"] for row in rows] == [tenant]
    async with look_ups.store._of_tenant("") as connection:
        assert await (await connection.execute("SELECT 1 FROM cache_entry")).fetchall() == []
    # Upkeep sees all.
    assert len(await look_ups.execute("SELECT 1 FROM cache_entry")) == 2


@pytest.fixture
async def plain_url(postgres):
    """A database that belongs to a user who is no superuser, brought up to date by that user."""
    parts = urlsplit(postgres.url)
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as admin:
        await admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        await admin.execute("CREATE DATABASE plain OWNER plain")
        try:
            yield f"postgresql://plain:plain@{parts.hostname}:{parts.port}/plain"
        finally:
            await admin.execute("DROP DATABASE plain WITH (FORCE)")
            await admin.execute("DROP ROLE plain")


async def test_it_works_for_a_user_who_may_create_neither_roles_nor_extensions(
    plain_url, postgres, tmp_path, embedder
):
    warnings = []
    await migrate(plain_url, warnings.append)
    (warning,) = warnings
    assert "near prompts are not searched for. Install pgvector" in warning
    assert "CREATE EXTENSION vector as a superuser" in warning
    async with make_pool(plain_url, size_max=4) as pool:
        store = await CacheStore.open(pool)
        assert (store._role, store.has_vectors) == ("none", False)
        async with await psycopg.AsyncConnection.connect(
            postgres.url.rpartition("/")[0] + "/plain", autocommit=True
        ) as admin:
            await admin.execute("CREATE EXTENSION vector")
        store = await CacheStore.open(pool)
        assert store.has_vectors
        artifacts = ArtifactStore(str(tmp_path / "artifacts"))
        world = LookUps(plain_url, pool, store, artifacts, embedder)
        for account in ("acme", "globex"):
            await world.policy(account, **ALL)
            await world.make(PROMPT, account=account)
        assert (await world.look(TYPO))[0] == "guarded"
        async with store._of_tenant("acme") as connection:
            rows = await (await connection.execute("SELECT tenant FROM cache_entry")).fetchall()
        assert rows == [{"tenant": "acme"}]
        assert len(await world.execute("SELECT 1 FROM cache_entry")) == 2


async def test_a_database_that_has_lost_its_role_is_told_of(look_ups):
    await look_ups.execute("REVOKE SELECT ON cache_entry FROM paymaster_cache")
    with structlog.testing.capture_logs() as logs:
        await CacheStore.open(look_ups.work._pool)
    assert [entry["event"] for entry in logs] == ["cache_without_row_security"]
    await look_ups.execute("GRANT SELECT ON cache_entry TO paymaster_cache")
    with structlog.testing.capture_logs() as logs:
        await CacheStore.open(look_ups.work._pool)
    assert logs == []


async def test_a_look_up_that_may_not_read_is_gone_without(look_ups):
    await look_ups.make(PROMPT)
    await look_ups.execute("REVOKE SELECT ON cache_entry FROM paymaster_cache")
    stage, _, looked = await look_ups.look(PROMPT)
    assert (stage, looked.report.skipped) == ("", {"exact": "failed", "normalised": "failed"})
    await look_ups.make("another one")
