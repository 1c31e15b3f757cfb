"""The budget authority: operations one by one, in batches and in sessions, and what there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Any

import grpc

from authority.v1 import budget_service_pb2 as messages
from authority.v1.budget_service_pb2_grpc import BudgetServiceStub
from clients.amounts import Leg
from clients.balance_types import Balance
from clients.budget_requests import (
    CommitRequest,
    RefundRequest,
    ReserveRequest,
    commit_to_proto,
    refund_to_proto,
    reserve_to_proto,
)
from clients.channel import OUTAGE_SECONDS_MAX, Client
from clients.concurrency import Sleep, sleep
from clients.convert import reservation_from_answer, reservation_from_proto
from clients.convert_books import balance_from_proto
from clients.errors import PaymasterError
from clients.operation_calls import OperationCalls
from clients.requests import (
    legs_to_proto,
    message,
    new_key,
    reservation_state_to_proto,
    time_to_proto,
)
from clients.retry import RetryPolicy
from clients.session import Session
from clients.types import Adjustment, Reservation, ReservationState

_APPLY = "/authority.v1.BudgetService/Apply"
_PAGE_SIZE = 500


class AuthorityClient(Client, OperationCalls):
    """The budget authority.

    Every mutating call carries an idempotency key, made for it unless one is given, and is tried
    again with that key while the authority is unavailable. Errors are those of `clients.errors`;
    after one whose `outcome_unknown` is true, calling again with its `idempotency_key` is safe.
    """

    def _make_stub(self) -> None:
        self._stub = BudgetServiceStub(self._channel)

    # Async only: threads have a call each.
    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        timeout: float = 2.0,
        channel_credentials: grpc.ChannelCredentials | None = None,
        retry: RetryPolicy | None = None,
        sleep: Sleep = sleep,
        streaming: bool = True,
    ) -> None:
        """Connect as `Client` does.

        Operations share a stream, and so one authority. If not `streaming`, each is a call of its
        own, for load balancers that spread calls and for proxies that let no stream pass.
        """
        super().__init__(
            address,
            token=token,
            timeout=timeout,
            channel_credentials=channel_credentials,
            retry=retry,
            sleep=sleep,
        )
        # What is sent is bytes already.
        apply: Any = self._channel.stream_stream(
            _APPLY, response_deserializer=messages.ApplyResponse.FromString
        )
        self._session = Session(
            partial(apply, metadata=self._metadata),
            self._operate_alone,
            address=self._address,
            timeout=self._timeout,
            retry=self._retry,
            sleep=self._sleep,
        )
        self._streaming = streaming

    async def close(self) -> None:
        """Close the connection, after the operations under way; other calls are cancelled."""
        try:
            await self._session.close()
        finally:
            await super().close()

    # End of async only.

    async def _operate(self, verb: str, request: Any, timeout: float | None) -> Any:
        # Async only: threads have a call each.
        if self._streaming:
            return await self._session.apply(verb, request, timeout)
        # End of async only.
        return await self._operate_alone(verb, request, timeout)

    async def _operate_alone(self, verb: str, request: Any, timeout: float | None) -> Any:
        method = getattr(self._stub, verb.capitalize())
        return await self._call(method, request, timeout=timeout, key=request.idempotency_key)

    async def adjust(
        self,
        account: str,
        legs: Sequence[Leg],
        *,
        reason: str,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Adjustment:
        """Correct what an account was charged: by `legs` more, or less for those below 0.

        It is never denied, counts in the windows of now, and needs the scope ADMIN.
        """
        key = idempotency_key or new_key()
        request = message(
            messages.AdjustRequest,
            idempotency_key=key,
            account=account,
            legs=legs_to_proto(legs),
            reason=reason,
        )
        response = await self._call(self._stub.Adjust, request, timeout=timeout, key=key)
        return Adjustment(response.operation_id, replayed=response.replayed)

    async def batch_reserve(
        self, requests: Sequence[ReserveRequest], *, timeout: float | None = None
    ) -> list[Reservation | PaymasterError]:
        """Reserve up to 500 times in one call.

        Returns for each request, in order, its reservation or the error that `reserve` would have
        raised. One that is refused does not touch the others; those that are unavailable are tried
        again. Raises what befell the call as a whole; repeating it with the same requests is safe.
        """
        items = [reserve_to_proto(request) for request in requests]
        return await self._batch(
            self._stub.BatchReserve,
            messages.BatchReserveRequest,
            items,
            reservation_from_answer,
            timeout,
        )

    async def batch_commit(
        self, requests: Sequence[CommitRequest], *, timeout: float | None = None
    ) -> list[Reservation | PaymasterError]:
        """Commit up to 500 times in one call, as `batch_reserve` does."""
        items = [commit_to_proto(request) for request in requests]
        return await self._batch(
            self._stub.BatchCommit,
            messages.BatchCommitRequest,
            items,
            reservation_from_answer,
            timeout,
        )

    async def batch_refund(
        self, requests: Sequence[RefundRequest], *, timeout: float | None = None
    ) -> list[Reservation | PaymasterError]:
        """Refund up to 500 times in one call, as `batch_reserve` does."""
        items = [refund_to_proto(request) for request in requests]
        return await self._batch(
            self._stub.BatchRefund,
            messages.BatchRefundRequest,
            items,
            reservation_from_answer,
            timeout,
        )

    async def get_reservation(
        self, reservation_id: str, *, timeout: float | None = None
    ) -> Reservation:
        """Return a reservation as it is now."""
        request = message(messages.GetReservationRequest, reservation_id=reservation_id)
        response = await self._call(self._stub.GetReservation, request, timeout=timeout)
        return reservation_from_proto(response.reservation)

    async def list_reservations(
        self, account: str, *, state: ReservationState | None = None, descending: bool = True
    ) -> AsyncIterator[Reservation]:
        """Yield the reservations of an account and of those below it, the latest first.

        All of them, or those in one state; the earliest first if not `descending`.
        """
        request = message(
            messages.ListReservationsRequest,
            account=account,
            state=reservation_state_to_proto(state),
            page_size=_PAGE_SIZE,
            order_by="create_time desc" if descending else "create_time",
        )
        async for page in self._pages(self._stub.ListReservations, request):
            for reservation in page.reservations:
                yield reservation_from_proto(reservation)

    async def get_balance(
        self, account: str, *, as_of_time: datetime | None = None, timeout: float | None = None
    ) -> Balance:
        """Return every budget that binds an account, its own first, and its grants.

        As they are now; or as the ledger has them at a time in the past, by today's accounts,
        limits and time zones.
        """
        request = message(
            messages.GetBalanceRequest, account=account, as_of_time=time_to_proto(as_of_time)
        )
        response = await self._call(self._stub.GetBalance, request, timeout=timeout)
        return balance_from_proto(response)

    async def watch_balance(
        self, account: str, *, outage_max: float = OUTAGE_SECONDS_MAX
    ) -> AsyncIterator[Balance]:
        """Yield the balance of an account at once, and again whenever it has changed.

        An authority that goes away is called again until it has been away for `outage_max` seconds;
        then, or if it can't be reached to begin with, this raises Unavailable.
        """
        request = message(messages.WatchBalanceRequest, account=account)
        shown: Balance | None = None
        async with aclosing(self._watch(self._stub.WatchBalance, request, outage_max)) as responses:
            async for response in responses:
                balance = balance_from_proto(response.balance)
                if balance != shown:
                    shown = balance
                    yield balance
