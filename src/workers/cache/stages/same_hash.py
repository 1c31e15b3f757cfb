"""Stages that are an equality: the prompt to the letter, normalised, or its signature."""

from __future__ import annotations

from similarity.policy import Stage
from workers.cache.finding import Finding
from workers.cache.rows import Candidate


async def find(finding: Finding, stage: Stage) -> Candidate | None:
    """Return the entry that has the same hash."""
    return await finding.same_hash(stage)
