"""Dead letters in Postgres."""

from __future__ import annotations

from typing import Any

from psycopg.rows import DictRow

from authority.domain.dead_letters import AttemptRecord, DeadLetter, DeadLetterFilter
from authority.domain.generations import Generation
from authority.ledger.database import Database
from authority.ledger.generations import read_generation
from authority.ledger.queries import statements


class PostgresDeadLetters:
    """Implements `domain.dead_letters.DeadLetterStore`. Each method is one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("dead_letters.sql")

    async def find(self, chosen: DeadLetterFilter, limit: int) -> list[DeadLetter]:
        """Return dead letters, the oldest first."""
        rows = await self._rows("list_dead_letters", chosen, limit)
        return [DeadLetter(read_generation(row), row["dead_time"]) for row in rows]

    async def retry(self, chosen: DeadLetterFilter, limit: int) -> list[Generation]:
        """Make dead letters QUEUED again, their attempts forgiven, the oldest first."""
        return [
            read_generation(row) for row in await self._rows("retry_dead_letters", chosen, limit)
        ]

    async def discard(self, chosen: DeadLetterFilter, limit: int) -> list[str]:
        """Make dead letters plain failures, the oldest first; return their ids."""
        rows = await self._rows("discard_dead_letters", chosen, limit)
        return [row["generation_id"] for row in rows]

    async def attempts(self, generation_id: str) -> list[AttemptRecord]:
        """Return the attempts at a generation, in order."""
        rows = await self._database.rows(
            self._sql["list_attempts"], {"generation_id": generation_id}
        )
        return [AttemptRecord(**row) for row in rows]

    async def _rows(self, name: str, chosen: DeadLetterFilter, limit: int) -> list[DictRow]:
        ids = chosen.generation_ids
        parameters: dict[str, Any] = {
            "generation_ids": None if ids is None else [*ids],
            "kind": chosen.kind,
            "error_reason": chosen.error_reason,
            "account": chosen.account,
            "older_than": chosen.older_than,
            "limit": limit,
        }
        return await self._database.rows(self._sql[name], parameters)
