"""The projector: keeps the usage log up with the ledger. Safe in many processes at once.

The journal tells it whose operations it has written; what other processes have written, and left
behind, it finds by looking. Nothing waits for it, and it waits a moment for operations to gather:
many of them are hardly more work than one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog

from authority.domain.errors import Unavailable
from authority.ledger.usage_projection import UsageProjection

OPERATIONS_MAX = 2_000  # in one transaction
TENANTS_MAX = 100
_GATHER_SECONDS = 0.5
_LOOK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Projector:
    """Run `run` as a task; call `tell` with tenants that have new operations."""

    def __init__(self, projection: UsageProjection) -> None:
        self._projection = projection
        self._behind: set[str] = set()
        self._wake = asyncio.Event()
        self._looked_at = float("-inf")

    def tell(self, tenants: Iterable[str]) -> None:
        """Note that these tenants have operations that the log may not have."""
        self._behind.update(tenants)
        self._wake.set()

    async def run(self) -> None:
        """Project until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.catch_up()
            except Unavailable as error:
                log.warning("usage_postponed", reason=error.message)
            except Exception:
                log.exception("usage_failed")
            await asyncio.sleep(_GATHER_SECONDS)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def catch_up(self, *, look: bool = False) -> int:
        """Project what there is, and return how many operations that was. Raises Unavailable.

        It stops early where another process is at it, which does the same.
        """
        count = 0
        if look or time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self.tell(await self._projection.behind(TENANTS_MAX))
            self._looked_at = time.monotonic()
        while self._behind:
            tenants = sorted(self._behind)[:TENANTS_MAX]
            # What is told from here on may not be in what is read next.
            self._behind.difference_update(tenants)
            self._wake.clear()
            try:
                projected = await self._projection.project(tenants, OPERATIONS_MAX)
            except BaseException:
                self._behind.update(tenants)
                raise
            if projected is None:
                self._behind.update(tenants)
                self._wake.set()
                break
            count += sum(found.operation_count for found in projected)
            self._behind.update(found.tenant for found in projected if not found.is_all)
        return count
