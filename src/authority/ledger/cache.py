"""The similarity cache in Postgres, as the authority shows and steers it. Workers fill it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from authority.domain.cache import (
    ACCEPTED,
    STRIKES_MAX,
    BinCounts,
    CacheEntry,
    CacheHit,
    Counts,
    EntryFilter,
    EntryStatus,
    Judgement,
    Purge,
    Standing,
    StatsFilter,
    Verdict,
)
from authority.domain.changes import Change
from authority.domain.ids import tenant_of
from authority.ledger.cache_stats import read_bins, read_counts
from authority.ledger.changes import write_change
from authority.ledger.database import Database
from authority.ledger.queries import statements
from generations.models import Kind

_ALL = {"before": "", "entry_id": "", "text": "", "model": "", "stage": "", "kind": ""}


class PostgresCache:
    """Implements `domain.cache.CacheStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("cache.sql")

    async def entries(self, wanted: EntryFilter, before: str, limit: int) -> list[CacheEntry]:
        """Return a page, the latest first, of those older than the id `before`; all if ''."""
        parameters = {**_ALL, **wanted._asdict(), "before": before, "limit": limit}
        return [_entry(row) for row in await self._rows("list_cache_entries", **parameters)]

    async def entry(self, entry_id: str) -> CacheEntry | None:
        """Return an entry, unless it has expired."""
        parameters = {**_ALL, "tenant": tenant_of(entry_id), "entry_id": entry_id, "limit": 1}
        rows = await self._rows("list_cache_entries", **parameters)
        return _entry(rows[0]) if rows else None

    async def hits_of(self, entry_id: str, limit: int) -> list[CacheHit]:
        """Return what an entry was served for, the latest first."""
        tenant = tenant_of(entry_id)
        rows = await self._rows("list_entry_hits", tenant=tenant, entry_id=entry_id, limit=limit)
        return [_hit(row) for row in rows]

    async def hit(self, generation_id: str) -> CacheHit | None:
        """Return the hit or the sample that a generation is; None if it is neither."""
        of = {"tenant": tenant_of(generation_id), "generation_id": generation_id}
        rows = await self._rows("find_hit", **of) or await self._rows("find_sample", **of)
        return _hit(rows[0]) if rows else None

    async def judge(self, judgement: Judgement, change: Change) -> bool:
        """Set the verdict of a hit or sample, record it, and what follows; False if it has one."""
        is_match = judgement.verdict is Verdict.MATCH
        of = {
            "tenant": tenant_of(judgement.generation_id),
            "generation_id": judgement.generation_id,
            "verdict": judgement.verdict,
            "exact_hash": judgement.exact_hash,
            "bin": judgement.bin,
            "match": is_match,
            "strikes_max": STRIKES_MAX,
        }
        async with self._database.transaction() as connection:
            statement = "judge_sample" if judgement.sampled else "judge_hit"
            judged = await self._fetch(connection, statement, of)
            if not judged:
                return False
            of |= judged[0]
            await write_change(connection, change)
            if judgement.bin is not None:
                await connection.execute(self._sql["count_verdict"], of)
            if of["entry_id"] and not is_match:
                await connection.execute(self._sql["deny_pair"], of)
                # An entry that was chosen by a person was not the cache's error.
                if of["stage"] != ACCEPTED:
                    await connection.execute(self._sql["strike_entry"], of)
            return True

    async def standing(self, entry_id: str) -> Standing | None:
        """Return how an entry stands; None if there is none."""
        rows = await self._rows("entry_standing", tenant=tenant_of(entry_id), entry_id=entry_id)
        if not rows:
            return None
        return Standing(rows[0]["strike_count"], EntryStatus(rows[0]["status"]))

    async def unreversed(self, set_aside: Sequence[str], limit: int) -> list[CacheHit]:
        """Return hits whose savings are still to be booked back, the oldest first."""
        rows = await self._rows("list_unreversed", set_aside=list(set_aside), limit=limit)
        return [_hit(row) for row in rows]

    async def mark_booked(self, generation_id: str) -> None:
        """Say that a hit is in the books."""
        await self._do("mark_booked", generation_id)

    async def mark_reversed(self, generation_id: str) -> None:
        """Say that what a hit had saved was booked back."""
        await self._do("mark_reversed", generation_id)

    async def purge(self, chosen: Purge, change: Callable[[int], Change] | None) -> int:
        """Remove entries, and record how many; without a change, only count them."""
        parameters = chosen._asdict()
        if change is None:
            rows = await self._rows("count_purge", **parameters)
            return int(rows[0]["count"])
        async with self._database.transaction() as connection:
            cursor = await connection.execute(self._sql["purge"], parameters)
            await write_change(connection, change(cursor.rowcount))
            return cursor.rowcount

    async def counts(self, wanted: StatsFilter) -> Counts:
        """Return what was counted."""
        return await read_counts(self._database, wanted)

    async def bins(self, tenant: str) -> list[BinCounts]:
        """Return what was said of each range; of all tenants if ''."""
        return await read_bins(self._database, tenant)

    async def policies(self, accounts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the policies that accounts of one tenant have of their own."""
        rows = await self._rows(
            "find_policies", tenant=tenant_of(accounts[0]), accounts=list(accounts)
        )
        return {row["account"]: row["policy"] for row in rows}

    async def change_policy(
        self,
        accounts: Sequence[str],
        change: Callable[[dict[str, dict[str, Any]]], tuple[dict[str, Any] | None, Change]],
    ) -> None:
        """Set the own policy of the first of some accounts, or take it away, and record it.

        `change` is given what they have now, and no other change comes in between.
        """
        account = accounts[0]
        of = {"account": account, "tenant": tenant_of(account), "accounts": list(accounts)}
        async with self._database.transaction() as connection:
            await connection.execute(self._sql["lock_policy"], of)
            rows = await self._fetch(connection, "find_policies", of)
            policy, recorded = change({row["account"]: row["policy"] for row in rows})
            if policy is None:
                await connection.execute(self._sql["delete_policy"], of)
            else:
                await connection.execute(self._sql["write_policy"], {**of, "policy": Jsonb(policy)})
            await write_change(connection, recorded)

    async def _do(self, name: str, generation_id: str) -> None:
        parameters = {"tenant": tenant_of(generation_id), "generation_id": generation_id}
        async with self._database.connection() as connection:
            await connection.execute(self._sql[name], parameters)

    async def _rows(self, name: str, **parameters: Any) -> list[DictRow]:
        return await self._database.rows(self._sql[name], parameters)

    async def _fetch(
        self, connection: AsyncConnection[DictRow], name: str, parameters: dict[str, Any]
    ) -> list[DictRow]:
        return await (await connection.execute(self._sql[name], parameters)).fetchall()


def _entry(row: DictRow) -> CacheEntry:
    return CacheEntry(
        entry_id=row["entry_id"],
        generation_id=row["generation_id"],
        kind=Kind(row["kind"]),
        prompt=row["prompt"],
        model=row["model"],
        quality=row["quality_class"],
        size=row["size"],
        context=row["context"] or {},
        cost=row["cost_micros"],
        status=EntryStatus(row["status"]),
        strike_count=row["strike_count"],
        hit_count=row["hit_count"],
        saved=row["saved"],
        create_time=row["create_time"],
        last_use_time=row["last_use_time"],
        expire_time=row["expire_time"],
    )


def _hit(row: DictRow) -> CacheHit:
    return CacheHit(
        generation_id=row["generation_id"],
        account=row["account"],
        entry_id=row["entry_id"] or "",
        source_generation_id=row["source_generation_id"],
        stage=row["stage"],
        score_ppm=row["score_ppm"],
        saved=row["saved_micros"],
        create_time=row["create_time"],
        book_time=row["booked_time"],
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        verdict_time=row["verdict_time"],
        reverse_time=row["reversed_time"],
        prompt=row["prompt"],
        sampled=row["sampled"],
    )
