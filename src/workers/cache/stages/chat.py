"""The chat tier: near sentences that the guard has nothing against but words. Off by default."""

from __future__ import annotations

import asyncio

from similarity.chat import chat_objection
from similarity.guard import Reading
from similarity.policy import PPM, Stage
from workers.cache.finding import Finding
from workers.cache.rows import Candidate, Neighbour


async def find(finding: Finding) -> Candidate | None:
    """Return the nearest entry whose answer will do. Raises Skipped."""
    reading, neighbours = await finding.neighbours()
    near = await asyncio.to_thread(_first, reading, neighbours)
    if near is None:
        return None
    return Candidate(near.entry_id, near.source_id, Stage.CHAT, near.cost_micros, near.score_ppm)


def _first(reading: Reading, neighbours: list[tuple[Neighbour, Reading]]) -> Neighbour | None:
    return next(
        (
            near
            for near, other in neighbours
            if not chat_objection(reading, other, near.score_ppm / PPM)
        ),
        None,
    )
