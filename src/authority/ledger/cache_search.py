"""Looks for what the cache has near a request. It is read as a tenant sees it, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import DictRow

from authority.domain.cache import CacheEntry, EntryStatus
from authority.domain.reuse import Candidate
from authority.ledger.cache import PostgresCache
from authority.ledger.database import Database
from authority.ledger.queries import statements
from similarity.scope import Fingerprint

# How many have one hash: entries of one scope that differ in what means nothing.
_KNOWN_MAX = 20


class PostgresSearch:
    """Implements `domain.reuse.EntrySearch`."""

    def __init__(self, database: Database, cache: PostgresCache) -> None:
        self._database = database
        self._cache = cache
        self._sql = statements("cache.sql")

    async def entry(self, entry_id: str) -> CacheEntry | None:
        """Return an entry, unless it has expired."""
        return await self._cache.entry(entry_id)

    async def known(self, tenant: str, known_by: Fingerprint) -> list[Candidate]:
        """Return what has a hash of the request's."""
        rows = await self._rows("known_entries", tenant, known_by, limit=_KNOWN_MAX)
        return [_candidate(row, known_by) for row in rows]

    async def nearest(
        self, tenant: str, known_by: Fingerprint, vector: Sequence[float], limit: int
    ) -> list[Candidate]:
        """Return the nearest in the scope, by the cosine; none where the server has no vectors."""
        text = "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
        try:
            rows = await self._rows("near_entries", tenant, known_by, limit=limit, vector=text)
        except (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedFunction):
            return []
        return [_candidate(row, known_by) for row in rows]

    async def _rows(
        self, name: str, tenant: str, known_by: Fingerprint, **more: Any
    ) -> list[DictRow]:
        parameters = {"tenant": tenant, **known_by._asdict(), **more}
        async with self._database.transaction() as connection:
            # The rows of others are not even read, whatever the statement says.
            await connection.execute(self._sql["enter_tenant"], {"tenant": tenant})
            cursor = await connection.execute(self._sql[name], parameters)
            return await cursor.fetchall()


def _candidate(row: DictRow, known_by: Fingerprint) -> Candidate:
    return Candidate(
        entry_id=row["entry_id"],
        generation_id=row["generation_id"],
        prompt=row["prompt"],
        model=row["model"],
        context=row["context"] or {},
        cost=row["cost_micros"],
        score_ppm=row["score_ppm"],
        is_exact=row["exact_hash"] == known_by.exact,
        is_normalised=_same(row["normalised_hash"], known_by.normalised),
        is_signature=_same(row["signature_hash"], known_by.signature),
        is_denied=row["is_denied"],
        is_exact_only=row["status"] == EntryStatus.EXACT_ONLY,
    )


def _same(held: bytes | None, wanted: bytes | None) -> bool:
    return held is not None and held == wanted
