"""The rows that workers keep in Postgres: claims on generations, their attempts, their ends.

Whatever a worker writes about a generation it writes in a transaction that holds its claim. A
worker that was thought dead and comes back finds that its claim is lost, and can write nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from generations.models import Kind
from generations.requests import GenerationRequest
from generations.settings import Settings
from workers.database import Pool, statements, transaction
from workers.rows import (
    Answer,
    Artifact,
    Attempt,
    AttemptState,
    Claim,
    End,
    Entry,
    Failure,
    Fingerprint,
    Hit,
    Option,
    Settlement,
)

CACHE_LIFE = timedelta(days=30)


class ClaimLost(Exception):
    """Another worker has claimed the generation since; this one has no more say in it."""


class WorkStore:
    """Every method raises DatabaseAway, and those that take a claim raise ClaimLost."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements()

    # Claims.

    async def claim(self, generation_id: str, owner: str, lease_s: float) -> Claim | float | None:
        """Claim a generation; else return how many seconds to wait, or None if it is at its end."""
        async with transaction(self._pool) as connection:
            found = await self._row(
                connection,
                "claim",
                generation_id=generation_id,
                owner=owner,
                lease=timedelta(seconds=lease_s),
            )
            if found is not None:
                attempts = await connection.execute(
                    self._sql["read_attempts"], {"generation_id": generation_id}
                )
                return _claim(found, await attempts.fetchall())
            waiting = await self._row(connection, "claim_wait", generation_id=generation_id)
            return None if waiting is None else max(0.0, waiting["seconds"] or 0.0)

    async def renew(self, claims: Sequence[Claim], lease_s: float) -> set[str]:
        """Prolong claims; return the ids of the generations whose claim is lost."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["renew"],
                {
                    "generation_ids": [claim.generation_id for claim in claims],
                    "fences": [claim.fence for claim in claims],
                    "lease": timedelta(seconds=lease_s),
                },
            )
            held = {row["generation_id"] for row in await cursor.fetchall()}
        return {claim.generation_id for claim in claims} - held

    async def put_back(self, claim: Claim, delay_s: float, *, crashed: bool) -> None:
        """Give a claim up, for any worker to take after the delay."""
        async with self._held(claim) as connection:
            await self._run(
                connection,
                claim,
                "put_back",
                delay=timedelta(seconds=delay_s),
                crashed=crashed,
            )

    # Attempts.

    async def begin_attempt(self, claim: Claim, options: Sequence[Option]) -> Attempt:
        """Write an attempt down, before anybody is asked for anything."""
        async with self._held(claim) as connection:
            stored = Jsonb([asdict(option) for option in options])
            return await self._attempt(connection, claim, "insert_attempt", options=stored)

    async def write_dispatch(
        self, claim: Claim, attempt: Attempt, *, option_index: int, reservation_id: str
    ) -> Attempt:
        """Write down what is held, and that the provider may have been called from now on."""
        option = attempt.options[option_index]
        async with self._held(claim) as connection:
            return await self._attempt(
                connection,
                claim,
                "write_dispatch",
                attempt=attempt.number,
                option_index=option_index,
                provider=option.provider,
                model=option.model,
                reservation_id=reservation_id,
                estimate_micros=option.estimate_micros,
            )

    async def write_remote_id(self, claim: Claim, attempt: Attempt, remote_id: str) -> Attempt:
        """Write down the provider's name for the call, by which a rerun finds its outcome."""
        async with self._held(claim) as connection:
            return await self._attempt(
                connection, claim, "write_remote_id", attempt=attempt.number, remote_id=remote_id
            )

    async def write_answer(self, claim: Claim, attempt: Attempt, answer: Answer) -> Attempt:
        """Write down what has to be paid and what was made for it, before it is paid."""
        async with self._held(claim) as connection:
            await self._insert_artifacts(connection, claim, answer.artifacts)
            return await self._attempt(
                connection,
                claim,
                "write_answer",
                attempt=attempt.number,
                actual_micros=answer.actual_micros,
                actual_images=answer.actual_images,
                presumed_spent=answer.presumed_spent,
                **_failure(answer.failure or Failure("", "")),
            )

    async def write_failure(
        self, claim: Claim, attempt: Attempt, failure: Failure, reservation_id: str | None = None
    ) -> Attempt:
        """Write down that an attempt has come to nothing, before its hold is given back."""
        async with self._held(claim) as connection:
            return await self._attempt(
                connection,
                claim,
                "write_failure",
                attempt=attempt.number,
                reservation_id=reservation_id,
                **_failure(failure),
            )

    # Ends.

    async def retry(self, claim: Claim, settled: Settlement) -> float:
        """Close an attempt and put the generation back; return the seconds until its next try."""
        async with self._held(claim) as connection:
            await self._settle(connection, claim, settled)
            cursor = await self._run(connection, claim, "put_back_for_retry")
            row = await cursor.fetchone()
            assert row is not None, "the claim is held"
            return max(0.0, float(row["seconds"]))

    async def finish(
        self,
        claim: Claim,
        end: End,
        *,
        settled: Settlement | None = None,
        entry: Entry | None = None,
    ) -> None:
        """End a generation: close its attempt, fill the cache and write the end, all at once."""
        async with self._held(claim) as connection:
            if settled is not None:
                await self._settle(connection, claim, settled)
            if entry is not None:
                await self._run(
                    connection,
                    claim,
                    "write_cache_entry",
                    **entry.fingerprint._asdict(),
                    tenant=claim.tenant,
                    quality_class=entry.quality,
                    cost_micros=entry.cost_micros,
                    life=CACHE_LIFE,
                )
            await self._insert_artifacts(connection, claim, end.artifacts)
            fields = asdict(end)
            del fields["artifacts"]
            await self._run(connection, claim, "end_generation", **fields)

    # The cache.

    async def find_hit(self, tenant: str, fingerprint: Fingerprint) -> Hit | None:
        """Return what the cache has for a request."""
        async with transaction(self._pool) as connection:
            row = await self._row(connection, "find_hit", tenant=tenant, **fingerprint._asdict())
        if row is None:
            return None
        return Hit(
            generation_id=row["generation_id"],
            match="exact" if row["exact"] else "normalised",
            cost_micros=row["cost_micros"],
            provider=row["provider"],
            model=row["model"],
            artifacts=tuple(
                Artifact(*(artifact[name] for name in Artifact._fields))
                for artifact in row["artifacts"]
            ),
        )

    async def forget_hit(self, tenant: str, hit: Hit) -> None:
        """Take what was made for a generation out of the cache."""
        async with transaction(self._pool) as connection:
            await connection.execute(
                self._sql["delete_cache_entries"],
                {"tenant": tenant, "generation_id": hit.generation_id},
            )

    # What requests name.

    async def find_artifacts(self, artifact_ids: Sequence[str]) -> dict[str, Artifact]:
        """Return those of the artifacts that generations which SUCCEEDED have, by id."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["find_artifacts"], {"artifact_ids": list(artifact_ids)}
            )
            rows = await cursor.fetchall()
        return {
            row["artifact_id"]: Artifact(*(row[name] for name in Artifact._fields)) for row in rows
        }

    # Parts of the above.

    @asynccontextmanager
    async def _held(self, claim: Claim) -> AsyncIterator[AsyncConnection[DictRow]]:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["hold_claim"],
                {"generation_id": claim.generation_id, "fence": claim.fence},
            )
            if await cursor.fetchone() is None:
                raise ClaimLost(claim.generation_id)
            yield connection

    async def _run(
        self, connection: AsyncConnection[DictRow], claim: Claim, name: str, **parameters: Any
    ) -> Any:
        parameters["generation_id"] = claim.generation_id
        return await connection.execute(self._sql[name], parameters)

    async def _row(
        self, connection: AsyncConnection[DictRow], name: str, **parameters: Any
    ) -> DictRow | None:
        cursor = await connection.execute(self._sql[name], parameters)
        return await cursor.fetchone()

    async def _attempt(
        self, connection: AsyncConnection[DictRow], claim: Claim, name: str, **parameters: Any
    ) -> Attempt:
        cursor = await self._run(connection, claim, name, **parameters)
        row = await cursor.fetchone()
        assert row is not None, "the claim is held and its attempt is there"
        return _attempt(row)

    async def _settle(
        self, connection: AsyncConnection[DictRow], claim: Claim, settled: Settlement
    ) -> None:
        attempt, state, charged_micros = settled
        await self._attempt(
            connection,
            claim,
            "settle_attempt",
            attempt=attempt.number,
            state=state,
            charged_micros=charged_micros,
        )

    async def _insert_artifacts(
        self,
        connection: AsyncConnection[DictRow],
        claim: Claim,
        artifacts: Sequence[Artifact],
    ) -> None:
        for position, artifact in enumerate(artifacts):
            await self._run(
                connection,
                claim,
                "insert_artifact",
                artifact_id=f"{claim.generation_id}/{position}",
                position=position,
                **artifact._asdict(),
            )


def _read_failure(row: DictRow) -> Failure | None:
    if not row["error_reason"]:
        return None
    retry_s = None if row["retry_time"] is None else max(0.0, row["retry_s"])
    return Failure(row["error_reason"], row["error_message"], retry_s)


def _failure(failure: Failure) -> dict[str, Any]:
    retry = None if failure.retry_s is None else timedelta(seconds=failure.retry_s)
    return {"error_reason": failure.reason, "error_message": failure.message, "retry": retry}


def _claim(row: DictRow, attempts: Sequence[DictRow]) -> Claim:
    request = GenerationRequest(
        account=row["account"],
        kind=Kind(row["kind"]),
        prompt=row["prompt"],
        model=row["requested_model"],
        size=row["size"],
        quality=row["quality"],
        count=row["count"],
        settings=Settings.decode(row["settings"]),
    )
    return Claim(
        row["generation_id"],
        row["fence"],
        request,
        row["create_time"],
        row["crash_count"],
        tuple(_attempt(attempt) for attempt in attempts),
    )


def _attempt(row: DictRow) -> Attempt:
    return Attempt(
        number=row["attempt"],
        state=AttemptState(row["state"]),
        options=tuple(Option(**option) for option in row["options"]),
        option_index=row["option_index"],
        reservation_id=row["reservation_id"] or "",
        remote_id=row["remote_id"] or "",
        dispatch_age_s=row["dispatch_age_s"] or 0.0,
        actual_micros=row["actual_micros"],
        actual_images=row["actual_images"],
        presumed_spent=row["presumed_spent"],
        failure=_read_failure(row),
    )
