"""An answer of thousands of sums leaves the loop to the calls that hold money."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from authority.domain.usage import (
    Dimension,
    UsageAnswer,
    UsageGroup,
    UsagePoint,
    UsageQuery,
    UsageSums,
)
from authority.rpc.usage_convert import answer_to_proto

NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def test_others_are_answered_while_thousands_of_sums_are_written():
    others = 0

    async def count():
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    points = tuple(UsagePoint(NOW, UsageSums(charged=number)) for number in range(9))
    groups = tuple(UsageGroup((f"m{n}",), UsageSums(charged=n), points) for n in range(500))
    answer = UsageAnswer(UsageSums(charged=7), points, groups, 500, "UTC", NOW)
    query = UsageQuery(start=NOW, end=NOW, group_by=(Dimension.MODEL,))
    counting = asyncio.create_task(count())
    message = await answer_to_proto(query, answer, "more")
    counting.cancel()
    assert others > 10
    assert message.totals.charged == 7
    assert [point.sums.charged for point in message.points] == list(range(9))
    assert [group.values[0].value for group in message.groups] == [f"m{n}" for n in range(500)]
    assert [group.sums.charged for group in message.groups] == list(range(500))
    assert {len(group.points) for group in message.groups} == {9}
    assert message.groups[3].points[8].sums.charged == 8
