"""One authority computes insights one at a time; who waits too long is told to come again."""

from __future__ import annotations

import asyncio

import pytest

from authority.domain.errors import Unavailable
from authority.usecases import insights
from authority.usecases.insights import InsightContext


async def test_one_at_a_time_and_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr(insights, "_WAIT_SECONDS", 0.01)
    context = InsightContext(*[None] * 8)
    async with context.one_at_a_time():
        with pytest.raises(Unavailable, match="try again"):
            async with context.one_at_a_time():
                pass
    async with context.one_at_a_time():
        pass


async def test_who_fails_gives_the_turn_away():
    context = InsightContext(*[None] * 8)
    with pytest.raises(ZeroDivisionError):
        async with context.one_at_a_time():
            raise ZeroDivisionError
    async with asyncio.timeout(1), context.one_at_a_time():
        pass
