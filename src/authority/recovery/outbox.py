"""The outbox: operations that a script decided and that the ledger may not have yet.

The process that decided an operation journals it itself and takes it out; what a dead process left
behind is drained by any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, cast

import structlog

from authority.domain.errors import Unavailable
from authority.domain.operations import Operation
from authority.hotstate.keys import TenantKeys
from authority.hotstate.store import AWAY, HotStore

_BATCH = 500
_WAITING_MAX = 10_000

log = structlog.get_logger(__name__)


class OutboxEntry(NamedTuple):
    """An operation with its place in the outbox."""

    entry: str
    operation: Operation


class Outbox:
    """Reads and trims the outboxes of tenants."""

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot

    async def read(
        self, tenant: str, *, until: str = "+", count: int = _BATCH
    ) -> list[OutboxEntry]:
        """Return the oldest entries up to the stream id `until`. Raises Unavailable."""
        key = TenantKeys(tenant, 0).outbox
        try:
            rows = await self._hot.redis.xrange(key, max=until, count=count)
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        return [
            OutboxEntry(entry, Operation.decode(fields["request"], fields["result"]))
            for entry, fields in cast("list[tuple[str, dict[str, str]]]", rows)
        ]

    async def waiting(self, tenant: str) -> list[Operation]:
        """Return the oldest operations. Raises Unavailable."""
        return [item.operation for item in await self.read(tenant, count=_WAITING_MAX)]

    async def not_empty(self, tenants: Sequence[str]) -> list[str]:
        """Return the tenants whose outbox holds anything. Raises Unavailable."""
        pipeline = self._hot.redis.pipeline(transaction=False)
        for tenant in tenants:
            pipeline.xlen(TenantKeys(tenant, 0).outbox)
        try:
            lengths = await pipeline.execute()
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        return [tenant for tenant, length in zip(tenants, lengths, strict=True) if length]

    async def trim(self, entries: Sequence[tuple[str, str]]) -> None:
        """Take (tenant, entry) pairs out, as far as the hot store answers.

        What stays is written to the ledger again, where it changes nothing.
        """
        pipeline = self._hot.redis.pipeline(transaction=False)
        by_tenant: defaultdict[str, list[str]] = defaultdict(list)
        for tenant, entry in entries:
            by_tenant[tenant].append(entry)
        for tenant, names in by_tenant.items():
            pipeline.xdel(TenantKeys(tenant, 0).outbox, *names)
        try:
            await pipeline.execute()
        except AWAY as error:
            log.warning("outbox_trim_failed", entries=len(entries), error=type(error).__name__)
