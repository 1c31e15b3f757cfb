"""Deletes what was made once it is older than it is to be kept, unless somebody likes it.

First the rows are marked and the cache forgets them, and only later are the files deleted: whoever
found an entry of the cache before may still be about to serve it, as an artifact of its own. Dying
in between leaves rows that the next run finds.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from generations.artifacts import ArtifactStore
from workers.database import Pool, statements, transaction

# Far longer than from a look into the cache to the end of its generation.
GRACE = timedelta(hours=1)
BATCH_MAX = 500

log = structlog.get_logger(__name__)


class Retention:
    """Keeps artifacts for `retention` from their generation's end, and no longer."""

    def __init__(
        self,
        pool: Pool,
        artifacts: ArtifactStore,
        retention: timedelta,
        *,
        grace: timedelta = GRACE,
    ) -> None:
        self._pool = pool
        self._artifacts = artifacts
        self._retention = retention
        self._grace = grace
        self._sql = statements("retention.sql")

    async def run_once(self) -> int:
        """Delete what is due; return how many files. Raises DatabaseAway and StoreFailed."""
        async with transaction(self._pool) as lock:
            cursor = await lock.execute(self._sql["try_retention_lock"])
            row = await cursor.fetchone()
            if row is None or not row["locked"]:
                return 0
            while await self._delete_some() == BATCH_MAX:
                pass
            count = 0
            while purged := await self._purge_some():
                count += purged
        if count:
            log.info("artifacts_purged", count=count)
        return count

    async def _delete_some(self) -> int:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["delete_artifacts"], {"retention": self._retention, "limit": BATCH_MAX}
            )
            return len(await cursor.fetchall())

    async def _purge_some(self) -> int:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["unpurged_objects"], {"grace": self._grace, "limit": BATCH_MAX}
            )
            object_keys = [row["object_key"] for row in await cursor.fetchall()]
        for object_key in object_keys:
            await self._artifacts.delete(object_key)
        async with transaction(self._pool) as connection:
            await connection.execute(self._sql["write_purged"], {"object_keys": object_keys})
        return len(object_keys)
