# Generated from clients/insight_client.py by tools/sync_client.py; edit that one.
"""What an account could have had for less, and what its past would have been otherwise."""

from __future__ import annotations

from authority.v1 import insight_service_pb2 as messages
from authority.v1.insight_service_pb2_grpc import InsightServiceStub
from clients.convert_insights import insights_from_proto, replayed_from_proto
from clients.insight_types import Insights, Replayed
from clients.requests import message
from clients.sync.channel import SyncClient

# On a busy machine it takes its time, so that what holds money goes first.
_SECONDS = 60.0


class SyncInsightClient(SyncClient):
    """Suggestions and what-ifs; nothing is changed by them. Errors are those of `clients.errors`.

    Both look at the latest 10,000 generations of an account and of those below it.
    """

    def _make_stub(self) -> None:
        self._stub = InsightServiceStub(self._channel)

    def list_insights(self, account: str, *, days: int = 30, timeout: float = _SECONDS) -> Insights:
        """Return what would have saved money of the last days, with the sum for each."""
        request = message(messages.ListInsightsRequest, account=account, days=days)
        return insights_from_proto(self._call(self._stub.ListInsights, request, timeout=timeout))

    def replay(
        self,
        account: str,
        *,
        days: int = 30,
        plan: str = "",
        model: str = "",
        timeout: float = _SECONDS,
    ) -> Replayed:
        """Replay the last days under another plan, by another model, or both."""
        request = message(
            messages.ReplayRequest, account=account, days=days, plan=plan, model=model
        )
        return replayed_from_proto(self._call(self._stub.Replay, request, timeout=timeout))
