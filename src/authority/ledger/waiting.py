"""What waits to be written into the ledger, and whose turn it is when not all of it fits."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from authority.domain.operations import Operation


class Waiting(NamedTuple):
    """An operation, its entry in the outbox, and who is to be told that it is written."""

    operation: Operation
    entry: str
    done: asyncio.Future[None]


class WaitingList:
    """Operations by their tenants: one that floods the list takes no more than its share."""

    def __init__(self) -> None:
        self._by_tenant: dict[str, list[Waiting]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, item: Waiting) -> None:
        """Put an operation behind those of its tenant."""
        self._by_tenant.setdefault(item.operation.tenant, []).append(item)
        self._count += 1

    def take(self, limit: int) -> list[Waiting]:
        """Take all, or if there are more than `limit` the first of each tenant in equal shares."""
        if self._count <= limit:
            taken = [item for items in self._by_tenant.values() for item in items]
            self._by_tenant = {}
        else:
            taken = []
            for tenant, share in self._shares(limit).items():
                # Those decided first go first: the others stand on them.
                items = sorted(self._by_tenant.pop(tenant), key=_sequence)
                taken += items[:share]
                if len(items) > share:
                    # Behind the other tenants, so that it is their turn first the next time.
                    self._by_tenant[tenant] = items[share:]
        self._count -= len(taken)
        return taken

    def _shares(self, room: int) -> dict[str, int]:
        """Divide the room among the tenants; what one does not need is for the others."""
        left = {tenant: len(items) for tenant, items in self._by_tenant.items()}
        shares: dict[str, int] = {}
        while room:
            each = max(1, room // len(left))
            for tenant in list(left)[:room]:
                share = min(each, left[tenant])
                shares[tenant] = shares.get(tenant, 0) + share
                room -= share
                left[tenant] -= share
                if not left[tenant]:
                    del left[tenant]
        return shares


def _sequence(item: Waiting) -> int:
    return item.operation.sequence
