"""The store of artifacts, on a real file system."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from buckets import Bucket
from generations.artifact_locations import BadLocation
from generations.artifacts import (
    CHUNK_BYTES,
    ArtifactConflict,
    ArtifactMissing,
    ArtifactStore,
    StoredArtifact,
    StoreFailed,
)

CREATED = datetime(2026, 11, 3, 4, 5, tzinfo=UTC)
ID = "acme/0199a0b2-0000-7000-8000-000000000001"


@pytest.fixture
def folder(tmp_path: Path) -> ArtifactStore:
    """An empty folder."""
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture(params=["folder", "bucket"])
async def store(
    request: pytest.FixtureRequest, folder: ArtifactStore, bucket: Bucket
) -> ArtifactStore:
    """An empty store of each sort."""
    if request.param == "folder":
        return folder
    return await ArtifactStore.open(f"s3://{bucket.name}/some/prefix")


async def put(store: ArtifactStore, content: bytes, **changed: object) -> StoredArtifact:
    """Store a file of acme's generation."""
    arguments = {"generation_id": ID, "index": 0, "media_type": "image/png", **changed}
    return await store.put("acme", content=content, created=CREATED, **arguments)


async def read(store: ArtifactStore, path: str) -> bytes:
    """Read a file whole."""
    return b"".join([chunk async for chunk in store.get(path)])


async def test_a_file_is_kept_under_its_key_with_size_and_hash(store):
    stored = await put(store, b"picture", index=2)
    assert stored.path == "acme/2026/11/0199a0b2-0000-7000-8000-000000000001/2.png"
    assert stored.size_bytes == 7
    assert stored.sha256 == hashlib.sha256(b"picture").hexdigest()
    assert await read(store, stored.path) == b"picture"


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [("image/jpeg", "jpg"), ("IMAGE/WebP; q=1", "webp"), ("video/mp4", "mp4"), ("a/b", "bin")],
)
async def test_the_extension_is_that_of_the_media_type(store, media_type, extension):
    stored = await put(store, b"x", media_type=media_type)
    assert stored.path.endswith(f"/0.{extension}")


async def test_storing_again_changes_nothing(store):
    first = await put(store, b"picture")
    assert await put(store, b"picture") == first
    assert await read(store, first.path) == b"picture"


async def test_another_content_under_the_same_key_is_refused_and_the_first_stays(store):
    first = await put(store, b"picture")
    with pytest.raises(ArtifactConflict, match=first.path):
        await put(store, b"Picture")
    assert await read(store, first.path) == b"picture"


async def test_of_many_writers_of_one_key_one_wins_and_the_others_learn_it(store):
    contents = [bytes([number]) * 300_000 for number in range(8)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(put(store, content))) for content in contents]
    winners = [task.result() for task in tasks if isinstance(task.result(), StoredArtifact)]
    assert len(winners) == 1
    content = await read(store, winners[0].path)
    assert hashlib.sha256(content).hexdigest() == winners[0].sha256


async def _outcome(putting) -> StoredArtifact | ArtifactConflict:
    try:
        return await putting
    except ArtifactConflict as error:
        return error


async def test_a_large_file_comes_in_pieces(store):
    content = bytes(range(256)) * 40_000
    stored = await put(store, content)
    chunks = [chunk async for chunk in store.get(stored.path)]
    assert b"".join(chunks) == content
    assert len(chunks) > 20
    assert max(map(len, chunks)) <= CHUNK_BYTES


async def test_an_empty_file_is_a_file(store):
    stored = await put(store, b"")
    assert await read(store, stored.path) == b""


@pytest.mark.parametrize(
    "path", ["acme/2026/11/x/0.png", "../secret", "acme/../../secret", "", "/"]
)
async def test_a_path_that_nothing_has_is_missing(store, tmp_path, path):
    (tmp_path / "secret").write_text("mine")
    with pytest.raises(ArtifactMissing):
        await read(store, path)


@pytest.mark.parametrize("identity", ["globex/1", "acme", "acme/", "acme/../x", "acme/a/b", "/x"])
async def test_an_id_that_is_not_the_tenants_is_refused(store, identity):
    with pytest.raises(ValueError, match="no id of a generation"):
        await put(store, b"x", generation_id=identity)


async def test_nobody_but_the_owner_may_enter(folder, tmp_path):
    await put(folder, b"x")
    for path in (tmp_path / "artifacts", tmp_path / "artifacts" / "acme"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


async def test_a_url_and_a_path_mean_the_same_folder(tmp_path):
    stored = await put(ArtifactStore(f"file://{tmp_path}/my%20files"), b"picture")
    assert await read(ArtifactStore(str(tmp_path / "my files")), stored.path) == b"picture"
    assert await read(ArtifactStore(f"file://localhost{tmp_path}/my files"), stored.path)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("memory:", "by memory: give"),
        ("s3://", "no bucket"),
        ("s3:bucket", "no bucket"),
        ("s3://Bucket/prefix", "no bucket"),
        ("s3://bucket/prefix?key=secret", "without"),
        ("file://elsewhere/folder", "no local folder"),
        ("file:relative", "no local folder"),
        (" ", "empty"),
        ("/dev/null/folder", "may write"),
        ("/dev/null", "may write"),
    ],
)
def test_a_location_that_can_not_be_says_why(location, problem):
    with pytest.raises(BadLocation, match=problem):
        ArtifactStore(location)


async def test_a_store_that_fails_says_so(folder, tmp_path):
    await put(folder, b"x")
    blocked = tmp_path / "artifacts" / "acme" / "2026" / "11" / "blocked"
    blocked.write_text("a file where a folder has to be")
    with pytest.raises(StoreFailed, match="could not be written"):
        await put(folder, b"x", generation_id="acme/blocked")


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(store):
    stored = await put(store, b"picture")
    for _ in range(2):
        await store.delete(stored.path)
    with pytest.raises(ArtifactMissing):
        await read(store, stored.path)
    assert await put(store, b"another picture")


async def test_a_bucket_signs_urls_for_a_while_and_says_the_type(bucket, folder):
    store = await ArtifactStore.open(f"s3://{bucket.name}")
    stored = await put(store, b"picture")
    url = await store.sign(stored.path, timedelta(minutes=1))
    assert url.startswith(f"{bucket.environment['AWS_ENDPOINT_URL']}/{bucket.name}/acme/")
    assert "X-Amz-Expires=60" in url
    assert bucket.environment["AWS_SECRET_ACCESS_KEY"] not in url
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert (answer.content, answer.headers["content-type"]) == (b"picture", "image/png")
    assert await folder.sign(stored.path, timedelta(minutes=1)) is None


async def test_a_bucket_that_is_not_there_is_told_at_the_start(bucket):
    with pytest.raises(BadLocation, match="Check that it exists") as told:
        await ArtifactStore.open(f"s3://{bucket.name}-of-nobody")
    assert bucket.environment["AWS_SECRET_ACCESS_KEY"] not in str(told.value)


async def test_a_bucket_that_goes_away_says_so(bucket):
    store = await ArtifactStore.open(f"s3://{bucket.name}")
    stored = await put(store, b"picture")
    await store.delete(stored.path)
    async with httpx.AsyncClient() as client:
        await client.delete(f"{bucket.environment['AWS_ENDPOINT_URL']}/{bucket.name}")
    with pytest.raises(StoreFailed, match="could not be written"):
        await put(store, b"picture", index=1)
