"""Ends generations with what is there: an identical one in flight, or an entry of the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from similarity.scope import join_key
from similarity.stages import is_repeatable
from workers import metrics
from workers.cache.cache import SimilarityCache
from workers.cache.rows import Looked, Report, Served
from workers.database import DatabaseAway
from workers.rows import Claim, Downgrade, End, EndState, Option
from workers.runner import TryLater
from workers.store import FOLLOW, ClaimLost, WorkStore

log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """Whether a generation has ended; else how it was looked up, if it was."""

    is_served: bool
    looked: Looked | None = None


class Serving:
    """Serves generations. `on_hit` is called when there is something to book."""

    def __init__(
        self, store: WorkStore, cache: SimilarityCache, on_hit: Callable[[], None]
    ) -> None:
        self._store = store
        self._cache = cache
        self._on_hit = on_hit

    async def serve(self, claim: Claim, best: Option) -> Outcome:
        """End a generation by what is there. Raises TryLater for one that waits for another.

        `best` is its best option: what others make is not what was asked for. A fault of the cache
        is no fault of the generation, which is made then.
        """
        kind, begun = claim.request.kind, time.perf_counter()
        try:
            found = await self._search(claim, best)
        except (DatabaseAway, ClaimLost, TryLater):
            raise
        except Exception:
            log.exception("cache_failed")
            metrics.count_failure(kind)
            return Outcome(is_served=False)
        if found is not None:
            metrics.count_look_up(kind, found, time.perf_counter() - begun)
        if isinstance(found, Served):
            await self._finish(claim, found, best)
            return Outcome(is_served=True)
        return Outcome(is_served=False, looked=found)

    async def _search(self, claim: Claim, best: Option) -> Served | Looked | None:
        """Return what may be served, or how it was looked for; None if it was not."""
        policy, stages = await self._cache.allowed(claim)
        if claim.wish.accept_entry_id and policy.is_enabled:
            accepted = await self._cache.accepted(claim, best, policy)
            if accepted is not None:
                return Served(accepted, Report(tried=["accepted"]))
        if not stages:
            return None
        # Who leads looks into the cache after that, or would miss what has just been made.
        joins = is_repeatable(claim.request) and not claim.leads
        if joins and not await self._store.lead_or_follow(claim, join_key(claim.request)):
            raise TryLater(FOLLOW.total_seconds())
        hit, looked = await self._cache.find(claim, best, policy, stages)
        if hit is not None:
            return Served(hit, looked.report)
        log.info("cache_missed", **looked.report.encode())
        return looked

    async def _finish(self, claim: Claim, served: Served, best: Option) -> None:
        hit = served.hit
        end = End(
            state=EndState.SUCCEEDED,
            provider=hit.provider,
            model=hit.model,
            # The best that its account may have is not always what was asked for.
            downgraded=bool(best.lesser),
            downgrade=Downgrade(best.lesser),
            cached=hit.candidate.stage,
            saved_micros=hit.candidate.cost_micros,
            artifacts=hit.artifacts,
            # What its sender has chosen is for nobody else.
            shared=hit.candidate.stage != "accepted" and not best.lesser,
        )
        await self._store.finish(claim, end, served=served)
        self._on_hit()
        log.info(
            "generation_cached",
            stage=hit.candidate.stage,
            score_ppm=hit.candidate.score_ppm,
            entry_id=hit.candidate.entry_id,
            saved_micros=hit.candidate.cost_micros,
        )
