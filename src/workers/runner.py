"""Runs a generation for a job: claims it, lets the pipeline work, says what becomes of the job.

A job ends when its generation has. In every other case it runs again later: a job that is gone
while its generation is open would have to wait for the reconciler.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from arq.worker import Retry

from clients.errors import PaymasterError
from workers.database import DatabaseAway
from workers.rows import Claim
from workers.store import ClaimLost, WorkStore

AWAY_S = 3.0
CRASH_BACKOFF_S_MAX = 60.0

log = structlog.get_logger(__name__)


class TryLater(Exception):
    """The pipeline has put the generation back, to be tried again after `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"Try again in {delay_s:.1f} s.")
        self.delay_s = delay_s


class Runner:
    """Runs generations; `running` has the claims on those at work, by id."""

    def __init__(
        self,
        store: WorkStore,
        work: Callable[[Claim], Awaitable[None]],
        *,
        owner: str,
        lease_s: float,
    ) -> None:
        self._store = store
        self._work = work
        self._owner = owner
        self._lease_s = lease_s
        self.running: dict[str, Claim] = {}

    async def run(self, generation_id: str) -> None:
        """Bring a generation to its end, or raise Retry."""
        try:
            claim = await self._store.claim(generation_id, self._owner, self._lease_s)
        except DatabaseAway:
            raise _again(AWAY_S) from None
        if claim is None:
            return
        if not isinstance(claim, Claim):
            # Its time has not come, or another worker has it; should that one die, this job is what
            # runs it again.
            raise _again(claim)
        self.running[generation_id] = claim
        try:
            with structlog.contextvars.bound_contextvars(generation_id=generation_id):
                await self._run_claimed(claim)
        finally:
            del self.running[generation_id]

    async def renew_leases(self) -> None:
        """Prolong all claims. Raises DatabaseAway.

        Work whose claim was lost is not stopped: it can write nothing any more.
        """
        claims = list(self.running.values())
        lost = await self._store.renew(claims, self._lease_s) if claims else set()
        for generation_id in lost:
            log.warning("claim_lost", generation_id=generation_id)

    async def _run_claimed(self, claim: Claim) -> None:
        try:
            await self._work(claim)
        except TryLater as later:
            raise _again(later.delay_s) from None
        except ClaimLost:
            raise _again(self._lease_s) from None
        except asyncio.CancelledError:
            # The worker is told to stop: another one may go on from what is written down, at once.
            await asyncio.shield(self._put_back(claim, 0.0, crashed=False))
            raise
        except (DatabaseAway, PaymasterError) as error:
            log.warning("generation_postponed", reason=type(error).__name__, message=str(error))
            raise await self._put_back(claim, AWAY_S, crashed=False) from None
        except Exception:
            log.exception("generation_crashed")
            delay_s = min(CRASH_BACKOFF_S_MAX, 2.0**claim.crash_count)
            raise await self._put_back(claim, delay_s, crashed=True) from None

    async def _put_back(self, claim: Claim, delay_s: float, *, crashed: bool) -> Retry:
        """Give the claim up; where that can't be written down, the lease passes by itself."""
        with suppress(DatabaseAway, ClaimLost):
            await self._store.put_back(claim, delay_s, crashed=crashed)
        return _again(delay_s)


def _again(delay_s: float) -> Retry:
    # The random part spreads the load, and makes up for clocks that differ.
    return Retry(defer=delay_s + 0.05 + random.random() * min(1.0, delay_s))  # noqa: S311
