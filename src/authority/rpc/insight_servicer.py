"""InsightService: what would have saved money, and what would have been otherwise."""

from __future__ import annotations

from typing import Any

import grpc

from authority.rpc.insight_convert import insights_to_proto, replayed_to_proto
from authority.rpc.insight_requests import read_days, read_replay
from authority.rpc.requests import Reader
from authority.usecases.insights import InsightContext, list_insights
from authority.usecases.what_if import replay
from authority.v1 import insight_service_pb2 as messages
from authority.v1 import insight_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class InsightServicer(insight_service_pb2_grpc.InsightServiceServicer):
    """Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(self, context: InsightContext) -> None:
        self._context = context

    async def ListInsights(
        self, request: messages.ListInsightsRequest, context: Call
    ) -> messages.ListInsightsResponse:
        reader = Reader()
        account = reader.account(request.account)
        days = read_days(reader, request.days)
        reader.finish()
        return insights_to_proto(await list_insights(self._context, account, days))

    async def Replay(
        self, request: messages.ReplayRequest, context: Call
    ) -> messages.ReplayResponse:
        asked = read_replay(request)
        return replayed_to_proto(await replay(self._context, *asked))
