"""The beginning of a listing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

_Item = TypeVar("_Item")


async def first_of(listed: AsyncIterator[_Item], count: int) -> list[_Item]:
    """Return the first `count` items; no more pages are asked for than these need."""
    found: list[_Item] = []
    async for item in listed:
        found.append(item)
        if len(found) == count:
            break
    return found
