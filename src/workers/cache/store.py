"""What the similarity cache reads from Postgres.

A look-up sees the rows of its tenant alone: every statement says so, and so does row-level
security, under a role that can't pass it where the workers' own user could.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from generations.violations import InvalidRequest
from similarity.gate import Bin, bin_of
from similarity.policy import CachePolicy, Stage
from similarity.scope import Fingerprint
from similarity.structured import Context
from similarity.vectors import Vector, in_ppm
from workers.cache.rows import Candidate, Hit, Neighbour, Sample
from workers.database import Pool, pipelined, statements, transaction
from workers.rows import Artifact

# Entries with the required fields of a request that are compared with it, the latest first.
COMPARED_MAX = 20
NEAREST_MAX = 5
DEFAULT_POLICY = CachePolicy()
DISABLED = CachePolicy(is_enabled=False)

log = structlog.get_logger(__name__)


class CacheStore:
    """Every method raises DatabaseAway. `open` makes one."""

    def __init__(self, pool: Pool, *, role: str, has_vectors: bool) -> None:
        self._pool = pool
        self._role = role
        self.has_vectors = has_vectors
        self._sql = statements("cache/reads.sql")
        self._writes = statements("cache/writes.sql")

    @classmethod
    async def open(cls, pool: Pool) -> Self:
        """Find out what the database has for look-ups: vectors, and a role of their own."""
        sql = statements("cache/reads.sql")
        has_role = await _is_so(pool, sql["has_role"])
        if not has_role and not await _is_so(pool, sql["has_row_security"]):
            # Roles are the server's: a restored database comes without.
            log.warning(
                "cache_without_row_security",
                hint="Create the role paymaster_cache, grant it to the workers' user, and grant it"
                " SELECT on what migration 0013 names. Until then statements alone keep tenants"
                " apart.",
            )
        has_vectors = await _is_so(pool, sql["has_vectors"])
        if not has_vectors:
            log.warning(
                "cache_without_vectors",
                hint="Install pgvector 0.7 or newer, and CREATE EXTENSION vector.",
            )
        return cls(pool, role="paymaster_cache" if has_role else "none", has_vectors=has_vectors)

    async def find_policy(self, account: str) -> CachePolicy:
        """Return the policy that counts for an account: the nearest above it, or the default."""
        async with pipelined(self._pool) as connection:
            cursor = await connection.execute(self._sql["find_policy"], {"account": account})
            row = await cursor.fetchone()
        if row is None:
            return DEFAULT_POLICY
        try:
            return CachePolicy.decode(row["policy"])
        except InvalidRequest:
            # Written by a newer version, perhaps: what it forbids is not known.
            log.exception("cache_policy_unreadable", account=account)
            return DISABLED

    async def find_by_hashes(
        self, tenant: str, known: Fingerprint
    ) -> tuple[dict[Stage, Candidate], list[tuple[Candidate, Context]]]:
        """Return what has the same hashes: by stage, and those with contexts to be compared."""
        rows = await self._read(
            "find_by_hashes", tenant=tenant, compared_max=COMPARED_MAX, **known._asdict()
        )
        same = {Stage(row["stage"]): _candidate(row) for row in rows if row["context"] is None}
        contexts: list[tuple[Candidate, Context]] = [
            (_candidate(row), {name: tuple(values) for name, values in row["context"].items()})
            for row in rows
            if row["context"] is not None
        ]
        return same, contexts

    async def find_nearest(
        self, tenant: str, known: Fingerprint, vector: Vector
    ) -> list[Neighbour]:
        """Return the entries of the scope whose prompts are nearest, the nearest first."""
        rows = await self._read(
            "find_nearest",
            tenant=tenant,
            scope=known.scope,
            exact=known.exact,
            vector=vector_text(vector),
            limit=NEAREST_MAX,
        )
        return [
            Neighbour(
                row["entry_id"],
                row["generation_id"],
                row["cost_micros"],
                row["prompt"],
                in_ppm(min(1.0, 1.0 - row["distance"])),
            )
            for row in rows
        ]

    async def find_entry(self, tenant: str, entry_id: str, known: Fingerprint) -> Candidate | None:
        """Return an entry that its sender has chosen, if it may serve the request."""
        rows = await self._read(
            "find_entry", tenant=tenant, entry_id=entry_id, scope=known.scope, exact=known.exact
        )
        return _candidate({**rows[0], "stage": "accepted"}) if rows else None

    async def find_bin(self, tenant: str, stage: Stage, score_ppm: int | None) -> Bin:
        """Return what was seen of a stage at a score."""
        rows = await self._read("find_bin", tenant=tenant, stage=stage, bin=bin_of(score_ppm))
        counts = (rows[0]["matches"], rows[0]["mismatches"]) if rows else (0, 0)
        return Bin.of(stage, *counts)

    async def find_hit(self, tenant: str, candidate: Candidate) -> Hit | None:
        """Return what was made for an entry; None if that is gone."""
        rows = await self._read("find_source", tenant=tenant, generation_id=candidate.source_id)
        if not rows:
            return None
        return Hit(candidate, rows[0]["provider"], rows[0]["model"], _artifacts(rows[0]))

    async def find_unjudged_sample(self, tenant: str, generation_id: str) -> Sample | None:
        """Return what would have been served for a generation that was made as a sample."""
        rows = await self._read("find_unjudged_sample", tenant=tenant, generation_id=generation_id)
        if not rows:
            return None
        found = []
        for source_id in (generation_id, rows[0]["source_generation_id"]):
            sources = await self._read("find_source", tenant=tenant, generation_id=source_id)
            found.append(_artifacts(sources[0]) if sources else ())
        return Sample(rows[0]["score_ppm"], *found)

    async def write_verdict(
        self, tenant: str, generation_id: str, sample: Sample, *, same: bool
    ) -> None:
        """Write down whether a sample is the same as what would have been served."""
        await self._write(
            "judge_sample",
            tenant=tenant,
            generation_id=generation_id,
            bin=bin_of(sample.score_ppm),
            same=same,
        )

    async def forget(self, tenant: str, source_id: str) -> None:
        """Take what was made for a generation out of the cache."""
        await self._write("delete_entries_of", tenant=tenant, generation_id=source_id)

    async def _read(self, name: str, **parameters: Any) -> Sequence[DictRow]:
        async with self._of_tenant(parameters["tenant"]) as connection:
            cursor = await connection.execute(self._sql[name], parameters)
            return await cursor.fetchall()

    @asynccontextmanager
    async def _of_tenant(self, tenant: str) -> AsyncIterator[AsyncConnection[DictRow]]:
        async with pipelined(self._pool) as connection:
            await connection.execute(self._sql["become"], {"tenant": tenant, "role": self._role})
            yield connection

    async def _write(self, name: str, **parameters: Any) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(self._writes[name], parameters)


def vector_text(vector: Vector) -> str:
    """Return a vector as Postgres reads it."""
    return f"[{','.join(map(str, vector.tolist()))}]"


async def _is_so(pool: Pool, statement: Any) -> bool:
    try:
        async with transaction(pool) as connection:
            row = await (await connection.execute(statement)).fetchone()
    except psycopg.Error:
        # Its user may not ask, or may not change the table.
        log.exception("cache_check_failed")
        return False
    return bool(row and row["found"])


def _candidate(row: DictRow) -> Candidate:
    return Candidate(row["entry_id"], row["generation_id"], row["stage"], row["cost_micros"])


def _artifacts(row: DictRow) -> tuple[Artifact, ...]:
    return tuple(
        Artifact(*(artifact[name] for name in Artifact._fields)) for artifact in row["artifacts"]
    )
