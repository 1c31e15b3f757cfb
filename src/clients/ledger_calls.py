"""The ledger's entries, and the hot state made anew from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from authority.v1 import admin_service_pb2 as messages
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.channel import Client
from clients.convert_books import entry_from_proto, rebuild_from_proto
from clients.ledger_types import LedgerEntry, RebuildReport
from clients.requests import message, time_to_proto

_PAGE_SIZE = 1000
_REBUILD_SECONDS = 600.0


class LedgerCalls(Client):
    """The part of the admin's client that is about the ledger."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    async def list_ledger_entries(
        self,
        account: str,
        *,
        reservation_id: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        descending: bool = False,
    ) -> AsyncIterator[LedgerEntry]:
        """Yield the entries of an account and of those below it, as they were decided.

        All of them; or those of one reservation, or those that were decided from `start_time` on
        and before `end_time`.
        """
        request = message(
            messages.ListLedgerEntriesRequest,
            account=account,
            reservation_id=reservation_id,
            start_time=time_to_proto(start_time),
            end_time=time_to_proto(end_time),
            page_size=_PAGE_SIZE,
            order_by="sequence desc" if descending else "sequence",
        )
        async for page in self._pages(self._stub.ListLedgerEntries, request):
            for entry in page.entries:
                yield entry_from_proto(entry)

    async def rebuild(
        self, *, tenant: str = "", timeout: float = _REBUILD_SECONDS
    ) -> RebuildReport:
        """Make the hot state of a tenant, or of all, anew from the ledger, beside traffic."""
        request = message(messages.RebuildRequest, tenant=tenant)
        response = await self._call(self._stub.Rebuild, request, timeout=timeout)
        return rebuild_from_proto(response)
