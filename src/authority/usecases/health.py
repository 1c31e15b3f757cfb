"""Looks at everything at once, and answers within seconds whatever is away or slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from authority.domain.errors import Unavailable
from authority.domain.health import HealthCheck, HealthStatus
from authority.usecases.single_flight import SingleFlight

# Longer than a store takes to be found away, and shorter than who asks waits.
LOOK_SECONDS = 4.0
# Of the connections to Postgres most are for those who spend.
_AT_ONCE = 3
# Probes ask every few seconds, and many of them may ask at the same moment.
_SHARED_SECONDS = 1.0

Look = Callable[[], Awaitable[Sequence[HealthCheck]]]
"""Looks at something. Raises Unavailable."""

log = structlog.get_logger(__name__)


class StoreProbe(NamedTuple):
    """Looks at a store that others need; `advice` is for when it is away."""

    check: str
    look: Look
    advice: str


class Probe(NamedTuple):
    """Looks at something, for which it needs stores."""

    check: str
    look: Look
    needs: frozenset[str] = frozenset()


async def examine(stores: Sequence[StoreProbe], probes: Sequence[Probe]) -> list[HealthCheck]:
    """Return what all of them found, in their order. Where a store is away, who needs it waits."""
    async with asyncio.TaskGroup() as group:
        looking = {probe.check: group.create_task(_look_at_store(probe)) for probe in stores}
    found = {name: task.result() for name, task in looking.items()}
    away = frozenset(name for name, checks in found.items() if _is_away(checks))
    places = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_look(probe, away, places)) for probe in probes]
    return [check for checks in found.values() for check in checks] + [
        check for task in tasks for check in task.result()
    ]


def _is_away(checks: Sequence[HealthCheck]) -> bool:
    return any(check.status is HealthStatus.UNHEALTHY for check in checks)


async def _look_at_store(probe: StoreProbe) -> Sequence[HealthCheck]:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await probe.look()
    except (Unavailable, TimeoutError) as error:
        reason = error.message if isinstance(error, Unavailable) else "It does not answer in time."
        return [HealthCheck(probe.check, HealthStatus.UNHEALTHY, reason, probe.advice)]


async def _look(
    probe: Probe, away: frozenset[str], places: asyncio.Semaphore
) -> Sequence[HealthCheck]:
    if missing := sorted(probe.needs & away):
        return [_unseen(probe, f"not looked at: {' and '.join(missing)} away")]
    try:
        async with places, asyncio.timeout(LOOK_SECONDS):
            return await probe.look()
    except Unavailable as error:
        return [_unseen(probe, error.message)]
    except TimeoutError:
        return [_unseen(probe, f"took longer than {LOOK_SECONDS:.0f} s to look at")]
    except Exception as error:
        # One check that is at fault must not hide the others.
        log.exception("health_check_failed", check=probe.check)
        return [_unseen(probe, f"could not be looked at: {type(error).__name__}")]


def _unseen(probe: Probe, reason: str) -> HealthCheck:
    return HealthCheck(
        probe.check,
        HealthStatus.DEGRADED,
        reason,
        "See to the stores first. If they are there, the authority's log has more.",
    )


Examine = Callable[[], Awaitable[list[HealthCheck]]]


class Findings(NamedTuple):
    """What was found, and when."""

    checks: list[HealthCheck]
    read_time: datetime


class SharedExamination:
    """Looks once for all who ask meanwhile, or within a second after: stores feel no flood of them.

    All are told the same, so what is found must be nobody's own.
    """

    def __init__(
        self,
        examine: Examine,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._examine = examine
        self._now = now
        self._monotonic = monotonic
        self._looks: SingleFlight[None, Findings] = SingleFlight()
        self._last: Findings | None = None
        self._shared_until = 0.0
        self._forgotten_count = 0

    async def find(self) -> Findings:
        """Return what is found, or was within the last second."""
        if self._last is not None and self._monotonic() < self._shared_until:
            return self._last
        return await self._looks.do(None, self._look)

    def forget(self) -> None:
        """Look anew for who asks from now on, as after what changes what there is to find."""
        self._forgotten_count += 1
        self._last = None
        self._looks.forget(None)

    async def stop(self) -> None:
        """End the look under way."""
        await self._looks.stop()

    async def _look(self) -> Findings:
        forgotten_count = self._forgotten_count
        found = Findings(await self._examine(), self._now())
        if forgotten_count == self._forgotten_count:
            self._last = found
            self._shared_until = self._monotonic() + _SHARED_SECONDS
        return found
