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

from similarity.policy import Stage
from workers.cache.rows import Entry, Looked, Served
from workers.cache.writes import write_entry, write_hit, write_looked_up
from workers.database import Pool, statements, transaction
from workers.reading import read_attempt, read_claim
from workers.rows import (
    NOT_DOWNGRADED,
    Answer,
    Artifact,
    Attempt,
    Claim,
    Downgrade,
    End,
    EndState,
    Failure,
    Option,
    Settlement,
)

# How often one that waits for an identical generation looks whether it still has to.
FOLLOW = timedelta(seconds=5)


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
                return read_claim(found, await attempts.fetchall())
            waiting = await self._row(
                connection, "claim_wait", generation_id=generation_id, follow=FOLLOW
            )
            return None if waiting is None else max(0.0, waiting["seconds"] or 0.0)

    async def renew(self, claims: Sequence[Claim], lease_s: float) -> set[str]:
        """Prolong claims, and tell those that are to be cancelled; return the ids of lost ones."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["renew"],
                {
                    "generation_ids": [claim.generation_id for claim in claims],
                    "fences": [claim.fence for claim in claims],
                    "lease": timedelta(seconds=lease_s),
                },
            )
            held = {row["generation_id"]: row["cancelled"] for row in await cursor.fetchall()}
        for claim in claims:
            if held.get(claim.generation_id):
                claim.steering.cancel()
        return {claim.generation_id for claim in claims} - held.keys()

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

    # Identical generations in flight.

    async def lead_or_follow(self, claim: Claim, join_key: bytes) -> bool:
        """Return True if the claim's generation leads identical ones; else it has been put back.

        One that is put back waits until its leader has ended, and holds no worker meanwhile.
        """
        async with self._held(claim) as connection:
            lock = int.from_bytes(join_key[:8], signed=True)
            await connection.execute(self._sql["lock_join_key"], {"lock": lock})
            cursor = await self._run(connection, claim, "find_leader", join_key=join_key)
            leader = await cursor.fetchone()
            if leader is None:
                await self._run(connection, claim, "lead", join_key=join_key)
            else:
                await self._run(connection, claim, "follow", leader_id=leader["generation_id"])
            return leader is None

    # Attempts.

    async def write_progress(self, claim: Claim, stage: str, percent: int | None) -> None:
        """Write down what the work has come to; without a word if the claim is lost."""
        async with transaction(self._pool) as connection:
            await self._run(
                connection, claim, "write_progress", fence=claim.fence, stage=stage, percent=percent
            )

    async def begin_attempt(
        self, claim: Claim, options: Sequence[Option], looked: Looked | None = None
    ) -> Attempt:
        """Write an attempt down, before anybody is asked for anything, and how it was looked up."""
        async with self._held(claim) as connection:
            if looked is not None:
                await write_looked_up(connection, claim, looked)
            stored = Jsonb([asdict(option) for option in options])
            return await self._attempt(connection, claim, "insert_attempt", options=stored)

    async def write_dispatch(
        self,
        claim: Claim,
        attempt: Attempt,
        *,
        option_index: int,
        reservation_id: str,
        downgrade: Downgrade = NOT_DOWNGRADED,
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
                downgrade_reason=downgrade.reason,
                downgrade_budget=downgrade.budget,
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
                usage=Jsonb(dict(answer.usage)),
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
        served: Served | None = None,
    ) -> None:
        """End a generation: close its attempt, fill the cache and write the end, all at once.

        What is `served` in place of being made is booked later, and known to be from now on.
        """
        async with self._held(claim) as connection:
            if settled is not None:
                await self._settle(connection, claim, settled)
            if entry is not None:
                await write_entry(connection, claim, entry, model=end.model)
            if served is not None:
                await write_hit(connection, claim, served)
            await self._insert_artifacts(connection, claim, end.artifacts)
            if end.state is EndState.SUCCEEDED and end.shared:
                await self._run(
                    connection,
                    claim,
                    "end_followers",
                    same_text=served is None or served.hit.candidate.stage == Stage.EXACT,
                    source_id=served.hit.candidate.source_id if served else claim.generation_id,
                    provider=end.provider,
                    model=end.model,
                    saved_micros=end.saved_micros or (settled.charged_micros if settled else 0),
                )
            fields = asdict(end)
            del fields["artifacts"], fields["downgrade"]
            fields["downgrade_reason"], fields["downgrade_budget"] = end.downgrade
            await self._run(connection, claim, "end_generation", **fields)

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
        return read_attempt(row)

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


def _failure(failure: Failure) -> dict[str, Any]:
    fields = failure._asdict()
    retry_s = fields.pop("retry_s")
    return {
        "error_reason": fields.pop("reason"),
        "error_message": fields.pop("message"),
        "retry": None if retry_s is None else timedelta(seconds=retry_s),
        **fields,
    }
