# Generated from clients/grant_calls.py by tools/sync_client.py; edit that one.
"""Grants: prepaid and free amounts, given and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.amounts import Unit
from clients.balance_types import Grant
from clients.convert_books import grant_from_proto
from clients.requests import (
    duration_to_proto,
    message,
    new_key,
    optional_unit_to_proto,
    optional_window_to_proto,
    time_to_proto,
    unit_to_proto,
)
from clients.sync.channel import SyncClient
from clients.types import Window

_PAGE_SIZE = 500


class SyncGrantCalls(SyncClient):
    """The part of the admin's client that is about grants."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    def create_grant(
        self,
        account: str,
        *,
        unit: Unit,
        amount: int,
        priority: int = 0,
        effective_time: datetime | None = None,
        expire_time: datetime | None = None,
        recurrence: Window | None = None,
        refund_grace: timedelta | None = None,
        source: str = "",
        price: int = 0,
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> Grant:
        """Grant an account an amount; a top-up that is repeated with its key grants once.

        Lower priorities are spent first. With a `recurrence` the amount is granted anew in every
        such period. `refund_grace` is how long an amount may be spent that is refunded after the
        grant has expired. `source` is a word for reports, such as `purchase`. `price` is what was
        paid for the amount, in micros of USD: as it is used up, that becomes revenue.
        """
        key = idempotency_key or new_key()
        wanted = message(
            resources_pb2.Grant,
            account=account,
            unit=unit_to_proto(unit),
            amount=amount,
            priority=priority,
            effective_time=time_to_proto(effective_time),
            expire_time=time_to_proto(expire_time),
            recurrence=optional_window_to_proto(recurrence),
            refund_grace=duration_to_proto(refund_grace),
            source=source,
            price=price,
        )
        request = message(
            messages.CreateGrantRequest, idempotency_key=key, grant=wanted, reason=reason
        )
        response = self._call(self._stub.CreateGrant, request, key=key)
        return grant_from_proto(response.grant, replayed=response.replayed)

    def void_grant(
        self, grant_id: str, *, reason: str = "", idempotency_key: str | None = None
    ) -> Grant:
        """Take back what is left of a grant; open reservations keep what they hold of it."""
        key = idempotency_key or new_key()
        request = message(
            messages.VoidGrantRequest, idempotency_key=key, grant_id=grant_id, reason=reason
        )
        response = self._call(self._stub.VoidGrant, request, key=key)
        return grant_from_proto(response.grant, replayed=response.replayed)

    def get_grant(self, grant_id: str) -> Grant:
        """Return a grant as it is now."""
        request = message(messages.GetGrantRequest, grant_id=grant_id)
        response = self._call(self._stub.GetGrant, request)
        return grant_from_proto(response.grant)

    def list_grants(self, account: str, *, unit: Unit | None = None) -> Iterator[Grant]:
        """Yield the grants of an account, the latest first: all, or those in one unit."""
        request = message(
            messages.ListGrantsRequest,
            account=account,
            page_size=_PAGE_SIZE,
            unit=optional_unit_to_proto(unit),
        )
        for page in self._pages(self._stub.ListGrants, request):
            for grant in page.grants:
                yield grant_from_proto(grant)
