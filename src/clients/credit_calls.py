"""What an account has to pay with."""

from __future__ import annotations

from authority.v1 import credits_pb2 as messages
from authority.v1.usage_service_pb2_grpc import UsageServiceStub
from clients.channel import Client
from clients.convert_credits import credit_status_from_proto
from clients.credit_types import CreditStatus
from clients.requests import message


class CreditCalls(Client):
    """The part of the usage client that is about what there is to pay with."""

    def _make_stub(self) -> None:
        self._stub = UsageServiceStub(self._channel)

    async def get_credit_status(self, account: str) -> CreditStatus:
        """Return what an account has to pay with, and what limits it."""
        request = message(messages.GetCreditStatusRequest, account=account)
        return credit_status_from_proto(await self._call(self._stub.GetCreditStatus, request))
