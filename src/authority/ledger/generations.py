"""Generations in Postgres, as the authority takes them in and shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from authority.domain.generations import (
    Artifact,
    Generation,
    GenerationFilter,
    GenerationState,
    OpenCounts,
    Visibility,
)
from authority.domain.ids import tenant_of
from authority.ledger.database import Database
from authority.ledger.queries import statements


class PostgresGenerations:
    """Implements `domain.generations.GenerationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("generations.sql")

    async def _rows(self, name: str, **parameters: Any) -> list[DictRow]:
        return await self._database.rows(self._sql[name], parameters)

    async def insert(
        self, generation_id: str, key: str, request: dict[str, Any]
    ) -> Generation | None:
        """Add a generation, QUEUED; None if the tenant has used the key."""
        tenant = tenant_of(generation_id)
        rows = await self._rows(
            "insert_generation",
            generation_id=generation_id,
            tenant=tenant,
            key=key,
            **request
            | {
                "settings": Jsonb(request["settings"]),
                "expire_after": _span(request),
                "context": None if request["context"] is None else Jsonb(request["context"]),
            },
        )
        return read_generation(rows[0]) if rows else None

    async def find_by_key(self, tenant: str, key: str) -> Generation | None:
        """Return the generation that was submitted with the key."""
        rows = await self._rows("find_generation_by_key", tenant=tenant, key=key)
        return read_generation(rows[0]) if rows else None

    async def find(self, generation_ids: Sequence[str]) -> dict[str, Generation]:
        """Return those that exist, by id."""
        rows = await self._rows("find_generations", generation_ids=list(generation_ids))
        return {row["generation_id"]: read_generation(row) for row in rows}

    async def list_generations(
        self, wanted: GenerationFilter, before: str, limit: int
    ) -> list[Generation]:
        """Return a page, the latest first, of those older than the id `before`; all if ''."""
        rows = await self._rows("list_generations", **asdict(wanted), before=before, limit=limit)
        return [read_generation(row) for row in rows]

    async def cancel(self, generation_id: str) -> Generation | None:
        """Ask for a generation to be cancelled, which ends it if nothing is under way or held.

        Returns it, or None if it is at its end or unknown.
        """
        rows = await self._rows("cancel_generation", generation_id=generation_id)
        return read_generation(rows[0]) if rows else None

    async def retry(self, generation_id: str) -> Generation | None:
        """Make a generation that FAILED QUEUED again, its attempts forgiven.

        Returns it, or None if it is in another state, past its deadline or unknown.
        """
        rows = await self._rows("retry_generation", generation_id=generation_id)
        return read_generation(rows[0]) if rows else None

    async def update(
        self, generation_id: str, *, favourite: bool | None, visibility: Visibility | None
    ) -> Generation | None:
        """Change what is not None, and return the generation; None if there is no such one."""
        rows = await self._rows(
            "update_generation",
            generation_id=generation_id,
            favourite=favourite,
            visibility=visibility,
        )
        return read_generation(rows[0]) if rows else None

    async def artifact(self, artifact_id: str) -> Artifact | None:
        """Return an artifact of a generation that SUCCEEDED, if it was not deleted since."""
        rows = await self._rows("find_artifact", artifact_id=artifact_id)
        if not rows:
            return None
        is_public = rows[0]["visibility"] == "PUBLIC"
        return replace(_artifact(rows[0]), is_public=is_public)

    async def find_artifacts(self, artifact_ids: Sequence[str]) -> dict[str, Artifact]:
        """Return those that generations which SUCCEEDED have, by id."""
        rows = await self._rows("find_artifacts", artifact_ids=list(artifact_ids))
        return {row["artifact_id"]: _artifact(row) for row in rows}

    async def count_open(self) -> OpenCounts:
        """Return how many wait and how many run."""
        rows = await self._rows("count_open_generations")
        return OpenCounts(**rows[0])


def read_generation(row: DictRow) -> Generation:
    """Return a generation, of a row that has its artifacts as JSON."""
    state = GenerationState(row["state"])
    return Generation(
        generation_id=row["generation_id"],
        request={
            "account": row["account"],
            "kind": row["kind"],
            "prompt": row["prompt"],
            "model": row["requested_model"],
            "size": row["size"],
            "quality": row["quality"],
            "count": row["count"],
            "settings": row["settings"],
            "priority": row["priority"],
            "expire_after": _expire_after_ms(row),
            "parent_id": row["parent_id"] or "",
            "reuse": row["reuse"],
            "accept_entry_id": row["accept_entry_id"] or "",
            "context": row["context"],
        },
        requeue_number=row["requeue_number"],
        state=state,
        attempt_count=row["attempt_count"],
        provider=row["provider"],
        model=row["model"],
        downgraded=row["downgraded"],
        downgrade_reason=row["downgrade_reason"],
        downgrade_budget=row["downgrade_budget"],
        cached=row["cached"],
        cost_micros=row["cost_micros"],
        saved_micros=row["saved_micros"],
        reservation_id=row["reservation_id"] or "",
        error_reason=row["error_reason"],
        error_message=row["error_message"],
        # Workers store what was made before it is paid for; until then it is not to be had.
        artifacts=tuple(map(_artifact, row["artifacts"]))
        if state is GenerationState.SUCCEEDED
        else (),
        create_time=row["create_time"],
        end_time=row["end_time"],
        deadline_time=row["deadline_time"],
        stage=row["stage"],
        progress_percent=row["progress_percent"],
        favourite=row["favourite"],
        visibility=Visibility(row["visibility"]),
    )


def _span(request: Mapping[str, Any]) -> timedelta | None:
    expire_after_ms = request["expire_after"]
    return None if expire_after_ms is None else timedelta(milliseconds=expire_after_ms)


def _expire_after_ms(row: DictRow) -> int | None:
    """Return after how long a generation expires; both times are of one clock."""
    if row["deadline_time"] is None:
        return None
    return int((row["deadline_time"] - row["create_time"]) / timedelta(milliseconds=1))


def _artifact(row: Mapping[str, Any]) -> Artifact:
    delete_time = row["delete_time"]
    if isinstance(delete_time, str):  # in a list, which comes as JSON
        delete_time = datetime.fromisoformat(delete_time)
    return Artifact(
        row["artifact_id"],
        row["object_key"],
        row["media_type"],
        row["size_bytes"],
        row["sha256"],
        delete_time,
    )
