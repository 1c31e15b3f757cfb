# Generated from clients/price_calls.py by tools/sync_client.py; edit that one.
"""The prices in credits, which users pay."""

from __future__ import annotations

from collections.abc import Sequence

from authority.v1 import credits_pb2 as messages
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.convert_credits import price_list_from_proto
from clients.credit_types import CreditPrice, PriceList
from clients.generation_requests import kind_to_proto
from clients.requests import message
from clients.sync.channel import SyncClient


class SyncPriceCalls(SyncClient):
    """The part of the admin's client that is about prices in credits."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    def get_price_list(self, version: int = 0) -> PriceList:
        """Return a version of the prices; the latest for 0."""
        request = message(messages.GetPriceListRequest, version=version)
        response = self._call(self._stub.GetPriceList, request)
        return price_list_from_proto(response.price_list)

    def update_price_list(
        self, prices: Sequence[CreditPrice], *, base_version: int = 0, reason: str = ""
    ) -> PriceList:
        """Make these all the prices there are, and return them as they are now.

        With a `base_version` it is refused if that is the latest no more. To repeat it is safe.
        """
        listed = [
            message(
                messages.CreditPrice,
                kind=kind_to_proto(price.kind),
                tier=price.tier,
                credits=price.credits,
            )
            for price in prices
        ]
        request = message(
            messages.UpdatePriceListRequest,
            prices=listed,
            base_version=base_version,
            reason=reason,
        )
        response = self._call(self._stub.UpdatePriceList, request)
        return price_list_from_proto(response.price_list)
