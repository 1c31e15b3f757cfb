"""What is older than it is to be kept goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from generating import insert_artifact, insert_generation
from generations.artifacts import ArtifactMissing, ArtifactStore
from workers.database import make_pool
from workers.retention import Retention

MONTH = timedelta(days=30)


@pytest.fixture
async def pool(ledger_url):
    """A worker's pool."""
    async with make_pool(ledger_url, size_max=4) as pool:
        yield pool


@pytest.fixture
def store(tmp_path):
    """A folder of artifacts."""
    return ArtifactStore(str(tmp_path / "artifacts"))


async def execute(ledger_url, statement, *parameters):
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []


async def made(ledger_url, tmp_path, age=timedelta(0)):
    """Return an artifact whose generation has ended that long ago."""
    artifact_id = await insert_artifact(ledger_url, tmp_path / "artifacts")
    await execute(
        ledger_url,
        "UPDATE generation SET end_time = now() - %s WHERE generation_id = %s",
        age,
        artifact_id.removesuffix("/0"),
    )
    return artifact_id


async def has_file(ledger_url, store, artifact_id):
    ((path,),) = await execute(
        ledger_url, "SELECT object_key FROM artifact WHERE artifact_id = %s", artifact_id
    )
    try:
        return b"".join([chunk async for chunk in store.get(path)]) == b"an image"
    except ArtifactMissing:
        return False


async def test_what_is_too_old_goes_and_the_rest_stays(ledger_url, pool, store, tmp_path):
    old = await made(ledger_url, tmp_path, MONTH + timedelta(minutes=1))
    young = await made(ledger_url, tmp_path, MONTH - timedelta(minutes=1))
    liked = await made(ledger_url, tmp_path, 2 * MONTH)
    await execute(
        ledger_url,
        "UPDATE generation SET favourite = true WHERE generation_id = %s",
        liked.removesuffix("/0"),
    )
    retention = Retention(pool, store, MONTH, grace=timedelta(0))
    assert await retention.run_once() == 1
    assert [await has_file(ledger_url, store, name) for name in (old, young, liked)] == [
        False,
        True,
        True,
    ]
    assert await retention.run_once() == 0


async def test_files_stay_for_as_long_as_the_cache_may_be_serving_them(
    ledger_url, pool, store, tmp_path
):
    old = await made(ledger_url, tmp_path, 2 * MONTH)
    assert await Retention(pool, store, MONTH).run_once() == 0
    assert await has_file(ledger_url, store, old)
    assert await execute(ledger_url, "SELECT 1 FROM artifact WHERE delete_time IS NOT NULL")
    assert await Retention(pool, store, MONTH, grace=timedelta(0)).run_once() == 1
    assert not await has_file(ledger_url, store, old)


async def test_a_file_that_a_younger_artifact_has_too_stays(ledger_url, pool, store, tmp_path):
    old = await made(ledger_url, tmp_path, 2 * MONTH)
    young = await insert_generation(ledger_url)
    await execute(
        ledger_url,
        "INSERT INTO artifact SELECT %s, %s, 0, object_key, media_type, size_bytes, sha256"
        " FROM artifact WHERE artifact_id = %s",
        f"{young}/0",
        young,
        old,
    )
    retention = Retention(pool, store, MONTH, grace=timedelta(0))
    assert await retention.run_once() == 0
    assert await has_file(ledger_url, store, f"{young}/0")
    await execute(
        ledger_url,
        "UPDATE generation SET state = 'SUCCEEDED', end_time = now() - %s WHERE generation_id = %s",
        2 * MONTH,
        young,
    )
    assert await retention.run_once() == 1
    assert not await has_file(ledger_url, store, f"{young}/0")


async def test_the_cache_forgets_what_goes(ledger_url, pool, store, tmp_path):
    old = await made(ledger_url, tmp_path, 2 * MONTH)
    await execute(
        ledger_url,
        "INSERT INTO cache_entry (entry_id, tenant, scope_hash, exact_hash, generation_id, kind,"
        " model, quality_class, cost_micros, expire_time) VALUES ('acme/e', 'acme', 's', 'e', %s,"
        " 'image', 'm', 'standard', 1, now() + interval '1 year')",
        old.removesuffix("/0"),
    )
    await Retention(pool, store, MONTH).run_once()
    assert not await execute(ledger_url, "SELECT 1 FROM cache_entry")
