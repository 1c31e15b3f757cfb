"""Requests that say in fields what they are about, compared field by field."""

from __future__ import annotations

from similarity.structured import compare
from workers.cache.finding import Finding
from workers.cache.rows import Candidate


async def find(finding: Finding) -> Candidate | None:
    """Return the entry whose context has most in common, if that is enough."""
    search = finding.search
    if search.policy.structured is None or search.context is None:
        return None
    best: Candidate | None = None
    for candidate, context in await finding.comparable():
        score_ppm = compare(search.policy.structured, search.context, context)
        if score_ppm is not None and (best is None or score_ppm > (best.score_ppm or 0)):
            best = candidate._replace(score_ppm=score_ppm)
    return best
