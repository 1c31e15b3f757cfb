"""Insights and replays of what real workers made: the rows that they write, and what it cost."""

from __future__ import annotations

import pytest

from generating import state

STANDARD = {"quality": "standard"}

pytestmark = pytest.mark.usefixtures("funded")


async def test_what_workers_made_is_reviewed_and_replayed(generations, worker, insights, spent):
    made = [
        await generations.make(prompt="a windmill", model="gpt-image-2", quality="high"),
        await generations.make(prompt="a windmill at night"),
        await generations.make(prompt="a windmill by day", reuse="REUSE_OFF", **STANDARD),
        await generations.make(prompt="a windmill by day", reuse="REUSE_OFF", **STANDARD),
        await generations.make(prompt="a windmill", model="gpt-image-2", quality="high"),
    ]
    assert [state(found) for found in made] == ["SUCCEEDED"] * 5
    assert made[-1].cached == "exact"
    found = await insights.list_insights("acme")
    assert (found.generation_count, found.attempt_count, found.cached_count) == (5, 4, 1)
    cost = await spent()
    assert found.efficiency.paid == cost == sum(item.cost for item in made)
    assert found.efficiency.saved_by_cache == made[0].cost
    assert found.efficiency.duplicates == made[3].cost
    replayed = await insights.replay("acme")
    assert replayed.actual == replayed.as_is == replayed.what_if
    assert replayed.actual.charged == cost
    assert (replayed.actual.made_count, replayed.actual.cached_count) == (4, 1)
