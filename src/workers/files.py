"""The files of generations in the artifact store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from generations.artifacts import ArtifactMissing, ArtifactStore
from workers.providers.base import ProducedFile
from workers.rows import Artifact, Attempt, Claim

# Each attempt numbers its files from a hundred of its own: what one that died has left is not in
# the way of the next, whose pictures are others.
_FILES_PER_ATTEMPT = 100


async def store_files(
    store: ArtifactStore, claim: Claim, attempt: Attempt, files: Sequence[ProducedFile]
) -> tuple[Artifact, ...]:
    """Store what an attempt has made. Raises generations.artifacts.ArtifactError."""
    assert len(files) <= _FILES_PER_ATTEMPT, "requests ask for fewer"
    stored = []
    for index, file in enumerate(files, start=(attempt.number - 1) * _FILES_PER_ATTEMPT):
        put = await store.put(
            claim.tenant,
            claim.generation_id,
            index,
            file.content,
            file.media_type,
            claim.create_time,
        )
        stored.append(Artifact(put.path, file.media_type, put.size_bytes, put.sha256))
    return tuple(stored)


async def read_text(store: ArtifactStore, artifacts: Sequence[Artifact]) -> str:
    """Return the text of chat answers. Raises generations.artifacts.ArtifactError."""
    pieces = [piece for artifact in artifacts async for piece in store.get(artifact.object_key)]
    return b"".join(pieces).decode(errors="replace")


async def are_there(store: ArtifactStore, artifacts: Sequence[Artifact]) -> bool:
    """Say whether all of them can still be had. Raises StoreFailed."""
    try:
        for artifact in artifacts:
            # The first piece tells; `get` is a generator, which has to be closed.
            pieces = cast("AsyncGenerator[bytes, None]", store.get(artifact.object_key))
            async with aclosing(pieces):
                await anext(pieces, None)
    except ArtifactMissing:
        return False
    return True
