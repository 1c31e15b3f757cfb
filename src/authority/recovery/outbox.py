"""The outbox: operations that a script decided and that the ledger may not have yet.

What one script call decided is one entry. The process that called journals it itself and takes the
entry out; what a dead process left behind is drained by any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import structlog

from authority.domain.errors import Unavailable
from authority.domain.operations import Operation
from authority.hotstate.keys import TenantKeys
from authority.hotstate.store import AWAY, HotStore

_BATCH = 500
_ENTRIES_AT_ONCE = 32  # each may hold as many operations as a script call has items
_WAITING_MAX = 10_000
_OUTBOXES_AT_ONCE = 500

log = structlog.get_logger(__name__)


class OutboxEntry(NamedTuple):
    """What one script call decided, in order, and the name of its entry."""

    entry: str
    operations: list[Operation]


class Outbox:
    """Reads and trims the outboxes of tenants."""

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot

    async def read(
        self, tenant: str, *, until: str = "+", count: int = _BATCH
    ) -> list[OutboxEntry]:
        """Return the oldest entries up to the stream id `until`, of `count` operations or more.

        Raises Unavailable.
        """
        key, start, missing = TenantKeys(tenant, 0).outbox, "-", count
        entries: list[OutboxEntry] = []
        while missing > 0:
            at_once = min(missing, _ENTRIES_AT_ONCE)
            try:
                found = await self._hot.redis.xrange(key, start, until, at_once)
            except AWAY as error:
                raise Unavailable(
                    f"The hot store does not answer ({type(error).__name__})."
                ) from error
            rows = cast("list[tuple[str, dict[str, str]]]", found)
            read = [OutboxEntry(entry, _operations(fields)) for entry, fields in rows]
            entries += read
            missing -= sum(len(item.operations) for item in read)
            if len(read) < at_once:
                break
            start = f"({read[-1].entry}"
        return entries

    async def waiting(self, tenant: str, count: int = _WAITING_MAX) -> list[Operation]:
        """Return the oldest operations, `count` or more. Raises Unavailable."""
        return operations_of(await self.read(tenant, count=count))

    async def not_empty(self, tenants: Sequence[str]) -> list[str]:
        """Return the tenants whose outbox holds anything. Raises Unavailable."""
        found: list[str] = []
        # To put many thousand commands together would hold up everybody.
        for start in range(0, len(tenants), _OUTBOXES_AT_ONCE):
            asked = tenants[start : start + _OUTBOXES_AT_ONCE]
            pipeline = self._hot.redis.pipeline(transaction=False)
            for tenant in asked:
                pipeline.xlen(TenantKeys(tenant, 0).outbox)
            try:
                lengths = await pipeline.execute()
            except AWAY as error:
                raise Unavailable(
                    f"The hot store does not answer ({type(error).__name__})."
                ) from error
            found += [tenant for tenant, length in zip(asked, lengths, strict=True) if length]
        return found

    async def oldest_ms(self, tenants: Sequence[str]) -> dict[str, int]:
        """Return when the oldest entry of each tenant that has any was made. Raises Unavailable."""
        waiting = await self.not_empty(tenants)
        pipeline = self._hot.redis.pipeline(transaction=False)
        for tenant in waiting:
            pipeline.xrange(TenantKeys(tenant, 0).outbox, count=1)
        try:
            found = await pipeline.execute()
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        # An entry's name begins with the store's time at which it was made.
        return {
            tenant: int(rows[0][0].partition("-")[0])
            for tenant, rows in zip(waiting, found, strict=True)
            if rows
        }

    async def trim(self, entries: Sequence[tuple[str, str]]) -> None:
        """Take (tenant, entry) pairs out, as far as the hot store answers.

        What stays is written to the ledger again, where it changes nothing.
        """
        by_tenant: defaultdict[str, list[str]] = defaultdict(list)
        for tenant, entry in entries:
            by_tenant[tenant].append(entry)
        pipeline = self._hot.redis.pipeline(transaction=False)
        for tenant, ids in by_tenant.items():
            pipeline.xdel(TenantKeys(tenant, 0).outbox, *ids)
        try:
            await pipeline.execute()
        except AWAY as error:
            log.warning("outbox_trim_failed", entries=len(entries), error=type(error).__name__)


def operations_of(entries: Iterable[OutboxEntry]) -> list[Operation]:
    """Return all operations of entries, in order."""
    return [operation for item in entries for operation in item.operations]


def _operations(fields: Mapping[str, str]) -> list[Operation]:
    if "request" in fields:
        # A former version gave each operation an entry, and may have left some behind.
        return [Operation.decode(fields["request"], fields["result"])]
    return [Operation.decode(*text.split("\n", 1)) for text in fields.values()]
