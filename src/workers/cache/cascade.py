"""Looks a request up, stage by stage, until one has what may be served.

What fails is skipped, counted and logged: a generation is made then, and is none the worse for it.
"""

from __future__ import annotations

import hashlib

import structlog

from similarity.gate import GATED_STAGES
from similarity.policy import PPM, Stage
from workers.cache.embeddings import Embeddings, Skipped
from workers.cache.finding import Finding
from workers.cache.rows import Candidate, Looked, Report, Search
from workers.cache.stages import FINDERS
from workers.cache.store import CacheStore
from workers.database import DatabaseAway

# What is the same but for its dress is served without looking at every fiftieth.
SAMPLED_STAGES = frozenset(Stage) - {Stage.EXACT, Stage.NORMALISED}

log = structlog.get_logger(__name__)


class Cascade:
    """Looks requests up."""

    def __init__(self, store: CacheStore, embeddings: Embeddings) -> None:
        self._store = store
        self._embeddings = embeddings

    async def look_up(self, search: Search, report: Report) -> Looked:
        """Return what may be served, or what would be and is held back. Raises DatabaseAway.

        What is held back is made anew, and tells whether it would have been the same: because the
        gate of its bin is closed, or as one of the sample.
        """
        finding = Finding(search, report, self._store, self._embeddings)
        held_back: Candidate | None = None
        for stage in search.stages:
            found, reason = await self._decide(stage, finding)
            if found is None:
                continue
            if not reason:
                if held_back is not None and found.entry_id == held_back.entry_id:
                    # A surer stage is known to be wrong there, and is to learn of it.
                    continue
                return Looked(report, found=found)
            if held_back is None:
                held_back = found
                report.held_back = {
                    "entry_id": found.entry_id,
                    "stage": found.stage,
                    "score_ppm": found.score_ppm,
                    "reason": reason,
                }
            if reason == "sample":
                break
        return Looked(report, held_back=held_back)

    async def _decide(self, stage: Stage, finding: Finding) -> tuple[Candidate | None, str]:
        """Return what a stage has found, and why it is not to be served, if it is not."""
        report, search = finding.report, finding.search
        try:
            found = await FINDERS[stage](finding)
            report.tried.append(stage)
            if found is None or stage not in GATED_STAGES:
                return found, ""
            seen = await self._store.find_bin(search.tenant, stage, found.score_ppm)
        except DatabaseAway:
            raise
        except Skipped as skipped:
            report.skipped[stage] = skipped.reason
            return None, ""
        except Exception:
            log.exception("cache_stage_failed", stage=stage)
            report.skipped[stage] = "failed"
            return None, ""
        if not seen.is_open(search.policy.max_error_ppm):
            return found, "gate"
        if stage in SAMPLED_STAGES and _roll_ppm(search.key) < search.policy.sample_ppm:
            return found, "sample"
        return found, ""


def _roll_ppm(key: str) -> int:
    """Return a number that is the same at each attempt at a generation, and else by chance."""
    return int.from_bytes(hashlib.sha256(f"sample:{key}".encode()).digest()[:8]) % PPM
