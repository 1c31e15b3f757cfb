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

    async def run(self, generation_id: str) -> float | None:
        """Work on a generation; return the seconds after which to run it again, None at its end."""
        try:
            claim = await self._store.claim(generation_id, self._owner, self._lease_s)
        except DatabaseAway:
            return _jittered(AWAY_S)
        if claim is None:
            return None
        if not isinstance(claim, Claim):
            # Its time has not come, or another worker has it; should that one die, this job is what
            # runs it again.
            return _jittered(claim)
        self.running[generation_id] = claim
        try:
            with structlog.contextvars.bound_contextvars(generation_id=generation_id):
                delay_s = await self._run_claimed(claim)
        finally:
            # This process may have claimed it again, while work that had lost its claim went on.
            if self.running.get(generation_id) is claim:
                del self.running[generation_id]
        return None if delay_s is None else _jittered(delay_s)

    async def renew_leases(self) -> None:
        """Prolong all claims. Raises DatabaseAway.

        Work whose claim was lost is not stopped: it can write nothing any more.
        """
        claims = list(self.running.values())
        lost = await self._store.renew(claims, self._lease_s) if claims else set()
        for generation_id in lost & self.running.keys():
            log.warning("claim_lost", generation_id=generation_id)

    async def _run_claimed(self, claim: Claim) -> float | None:
        try:
            await self._work(claim)
        except TryLater as later:
            return later.delay_s
        except ClaimLost:
            return self._lease_s
        except asyncio.CancelledError:
            # The worker is told to stop: another one may go on from what is written down, at once.
            await asyncio.shield(self._put_back(claim, 0.0, crashed=False))
            raise
        except (DatabaseAway, PaymasterError) as error:
            log.warning("generation_postponed", reason=type(error).__name__, message=str(error))
            return await self._put_back(claim, AWAY_S, crashed=False)
        except Exception:
            log.exception("generation_crashed")
            backoff_s = min(CRASH_BACKOFF_S_MAX, 2.0**claim.crash_count)
            return await self._put_back(claim, backoff_s, crashed=True)
        return None

    async def _put_back(self, claim: Claim, delay_s: float, *, crashed: bool) -> float:
        """Give the claim up; where that can't be written down, the lease passes by itself."""
        with suppress(DatabaseAway, ClaimLost):
            await self._store.put_back(claim, delay_s, crashed=crashed)
        return delay_s


def _jittered(delay_s: float) -> float:
    # Spreads the load, and makes up for clocks that differ.
    return delay_s + 0.05 + random.random() * min(1.0, delay_s)  # noqa: S311  # No secret.
