"""Hears from Postgres which generations change, for those who watch them.

A trigger of the table sends the id of each (migration 0009). One connection of each process
listens; when it was lost, changes may have been missed, and so everybody is woken to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import structlog
from psycopg import AsyncConnection

from authority.ledger.database import FOUND_DEAD

_CHANNEL = "generation"
_RECONNECT_SECONDS = 1.0
_CONNECT_SECONDS = 5

log = structlog.get_logger(__name__)


class PostgresFeed:
    """Implements `domain.generations.GenerationFeed`. Run `run` as a task."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._watched: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def watch(self, generation_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at each change, and when changes may have been missed."""
        event = asyncio.Event()
        self._watched.setdefault(generation_id, set()).add(event)
        try:
            yield event
        finally:
            events = self._watched[generation_id]
            events.discard(event)
            if not events:
                del self._watched[generation_id]

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log.warning("feed_lost", reason=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await AsyncConnection.connect(
            self._database_url, autocommit=True, connect_timeout=_CONNECT_SECONDS, **FOUND_DEAD
        )
        async with connection:
            await connection.execute(f"LISTEN {_CHANNEL}")
            for events in self._watched.values():
                _wake(events)
            async for note in connection.notifies():
                _wake(self._watched.get(note.payload, ()))


def _wake(events: set[asyncio.Event] | tuple[()]) -> None:
    for event in events:
        event.set()
