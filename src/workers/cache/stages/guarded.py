"""The nearest prompts of the scope, of which the guard lets one pass, or none."""

from __future__ import annotations

import asyncio

from similarity.guard import Reading, objection
from similarity.policy import Stage
from workers.cache.finding import Finding
from workers.cache.rows import Candidate, Neighbour


async def find(finding: Finding) -> Candidate | None:
    """Return the nearest entry that the guard has nothing against. Raises Skipped."""
    reading, neighbours = await finding.neighbours()
    objections = await asyncio.to_thread(_objections, reading, neighbours)
    if objections and objections[0]:
        finding.report.nearest["objection"] = objections[0]
    for (near, _), objected in zip(neighbours, objections, strict=True):
        if not objected:
            return Candidate(
                near.entry_id, near.source_id, Stage.GUARDED, near.cost_micros, near.score_ppm
            )
    return None


def _objections(reading: Reading, neighbours: list[tuple[Neighbour, Reading]]) -> list[str]:
    return [objection(reading, other) for _, other in neighbours]
