"""Looks for what somebody should know as time passes: one process of all does it at a time.

The one is who has a lock of Postgres, by a connection of its own: if the process dies, or is cut
off, the connection ends, and another takes over. Two may think that they are the one for a moment;
an alert is raised once all the same, since its case has one key. When each detector last looked is
in the ledger, by the hot store's clock, so that a new leader does not begin anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psycopg
import structlog
from psycopg import AsyncConnection

from authority.alerting.detectors.base import HOUR_MS, Detector, Look, Schedule, moment
from authority.domain.errors import Unavailable
from authority.domain.ports import Clock
from authority.domain.watching import Retention, WatchRun, WatchStore
from authority.ledger.database import FOUND_DEAD

TICK_SECONDS = 5.0
_CONNECT_SECONDS = 5
RETENTION = Schedule("alert_retention", HOUR_MS)
# What is left then is for the next tick: detectors are not held up.
_BATCHES_MAX = 20
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('paymaster.watch', 0))"

log = structlog.get_logger(__name__)


class Watch:
    """Runs detectors, and lets go of what was kept long enough. Run `run` as a task."""

    def __init__(
        self,
        database_url: str,
        store: WatchStore,
        clock: Clock,
        detectors: Sequence[Detector],
        retention: Retention,
    ) -> None:
        self._database_url = database_url
        self._store = store
        self._clock = clock
        self._detectors = detectors
        self._retention = retention

    async def run(self) -> None:
        """Look whenever nobody else does, until cancelled."""
        while True:
            try:
                await self._lead()
            except psycopg.Error as error:
                log.warning("watch_lost", reason=type(error).__name__)
            await asyncio.sleep(TICK_SECONDS)

    async def _lead(self) -> None:
        """Look every few seconds while the lock is held, and else ask for it."""
        connection = await AsyncConnection.connect(
            self._database_url, autocommit=True, connect_timeout=_CONNECT_SECONDS, **FOUND_DEAD
        )
        leads = False
        async with connection:
            while True:
                # The lock ends with the connection, so a leader asks whether it lives.
                cursor = await connection.execute("SELECT true" if leads else _LOCK)
                if not leads and await cursor.fetchone() == (True,):
                    log.info("watch_led")
                    leads = True
                if leads:
                    await self._tick_if_possible()
                await asyncio.sleep(TICK_SECONDS)

    async def _tick_if_possible(self) -> None:
        try:
            await self.tick()
        except Unavailable as error:
            log.warning("watch_postponed", reason=error.message)

    async def tick(self) -> int:
        """Let every detector look that is due; return how many alerts are new.

        One that fails holds up no other. Raises Unavailable.
        """
        runs = await self._store.runs()
        last = {run.detector: run.run_ms for run in runs if not run.subject}
        now_ms = self._clock.now_ms()
        raised = 0
        for detector in self._detectors:
            name, every_ms = detector.schedule
            if now_ms - last.get(name, -every_ms) < every_ms:
                continue
            try:
                raised += await self._look(detector, now_ms)
            except Unavailable:
                raise
            except Exception:
                log.exception("detector_failed", detector=name)
        if now_ms - last.get(RETENTION.name, -RETENTION.every_ms) >= RETENTION.every_ms:
            await self._delete_old(now_ms)
        return raised

    async def _look(self, detector: Detector, now_ms: int) -> int:
        began = time.monotonic()
        look = Look(self._store, now_ms, tuple(await self._store.rule_params()))
        found = raised = 0
        try:
            async for alert in detector.find(look):
                found += 1
                raised += await self._store.raise_alert(alert)
        finally:
            # Also one that fails waits for its next turn.
            duration_ms = round((time.monotonic() - began) * 1000)
            run = WatchRun(detector.schedule.name, "", now_ms, duration_ms, found)
            await self._store.note_run(run)
        return raised

    async def _delete_old(self, now_ms: int) -> None:
        """Let go of what was kept long enough, of some if there is much. Raises Unavailable."""
        began = time.monotonic()
        count = 0
        try:
            for _ in range(_BATCHES_MAX):
                some = await self._retention.delete_some(moment(now_ms))
                count += some
                if not some:
                    break
            else:
                return
        except Unavailable:
            raise
        except Exception:
            log.exception("alert_retention_failed")
        finally:
            if count:
                log.info("alerts_deleted", count=count)
        duration_ms = round((time.monotonic() - began) * 1000)
        await self._store.note_run(WatchRun(RETENTION.name, "", now_ms, duration_ms, count))
