# Generated from clients/ledger_calls.py by tools/sync_client.py; edit that one.
"""The ledger's entries, and the hot state made anew from them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from authority.v1 import admin_service_pb2 as messages
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.convert_books import entry_from_proto, rebuild_from_proto
from clients.ledger_types import LedgerEntry, RebuildReport
from clients.requests import message, time_to_proto
from clients.sync.channel import SyncClient

_PAGE_SIZE = 1000
_REBUILD_SECONDS = 600.0


class SyncLedgerCalls(SyncClient):
    """The part of the admin's client that is about the ledger."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    def list_ledger_entries(
        self,
        account: str,
        *,
        reservation_id: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        descending: bool = False,
    ) -> Iterator[LedgerEntry]:
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
        for page in self._pages(self._stub.ListLedgerEntries, request):
            for entry in page.entries:
                yield entry_from_proto(entry)

    def rebuild(self, *, tenant: str = "", timeout: float = _REBUILD_SECONDS) -> RebuildReport:
        """Make the hot state of a tenant, or of all, anew from the ledger, beside traffic."""
        request = message(messages.RebuildRequest, tenant=tenant)
        response = self._call(self._stub.Rebuild, request, timeout=timeout)
        return rebuild_from_proto(response)
