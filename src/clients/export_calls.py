"""The usage log as a file."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime

import grpc

from authority.v1 import usage_service_pb2 as messages
from clients.channel import OUTAGE_SECONDS_MAX
from clients.concurrency import check_home
from clients.convert import time_from_proto
from clients.convert_usage import filter_to_proto
from clients.export_types import UsageExportFormat, UsageExportPiece
from clients.requests import message, time_to_proto
from clients.status import error_from_rpc
from clients.usage_calls import UsageCalls
from clients.usage_types import UsageFilter


class ExportCalls(UsageCalls):
    """The part of the usage client that is about files."""

    async def export_usage(
        self,
        *,
        form: UsageExportFormat = UsageExportFormat.CSV,
        tenant: str = "",
        account: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        filter: UsageFilter | None = None,  # noqa: A002 - as the proto has it
    ) -> AsyncIterator[UsageExportPiece]:
        """Yield the events of a time as a file, piece by piece; together the pieces are the file.

        Where the stream breaks off it goes on behind the last piece. Raises Unavailable once
        the authority has been away for a minute.
        """
        check_home(self._home)
        request = message(
            messages.ExportUsageRequest,
            tenant=tenant,
            account=account,
            start_time=time_to_proto(start_time),
            end_time=time_to_proto(end_time),
            filter=filter_to_proto(filter),
            format=messages.UsageExportFormat.Value(f"USAGE_EXPORT_FORMAT_{form}"),
        )
        deadline, attempt = time.monotonic() + OUTAGE_SECONDS_MAX, 1
        while True:
            call = self._stub.ExportUsage(request, metadata=self._metadata)
            content = bytearray()
            try:
                async for response in call:
                    content += response.chunk
                    if response.resume_token:
                        piece = UsageExportPiece(
                            bytes(content),
                            response.event_count,
                            time_from_proto(response.end_time),
                        )
                        request.resume_token = response.resume_token
                        content.clear()
                        yield piece
                        deadline, attempt = time.monotonic() + OUTAGE_SECONDS_MAX, 1
            except grpc.RpcError as rpc_error:
                error = error_from_rpc(rpc_error, address=self._address, timeout=self._timeout)
                if request.resume_token:
                    # Once it has begun only time counts, not attempts.
                    attempt = min(attempt, max(self._retry.attempts_max - 1, 1))
                delay = self._retry.delay(error, attempt, deadline - time.monotonic())
                if delay is None:
                    raise error from rpc_error
            else:
                if content:  # the header alone, of no event
                    yield UsageExportPiece(bytes(content), 0, time_from_proto(response.end_time))
                return
            finally:
                call.cancel()  # for a caller that stops before the end
            await self._sleep(delay)
            attempt += 1
