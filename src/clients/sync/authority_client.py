# Generated from clients/authority_client.py by tools/sync_client.py; edit that one.
"""Reserve, Commit, Release and Refund: what a service needs around a call that costs money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from authority.v1 import budget_service_pb2 as messages
from authority.v1.budget_service_pb2_grpc import BudgetServiceStub
from clients.amounts import Leg, Option
from clients.convert import balance_from_proto, reservation_from_proto
from clients.errors import PaymasterError
from clients.requests import duration_to_proto, legs_to_proto, message, new_key, options_to_proto
from clients.sync.channel import SyncClient
from clients.sync.concurrency import finish
from clients.types import BudgetBalance, HeldReservation, Reservation


class SyncAuthorityClient(SyncClient):
    """The budget authority.

    Every mutating call carries an idempotency key, made for it unless one is given, and is tried
    again with that key while the authority is unavailable. Errors are those of `clients.errors`;
    after one whose `outcome_unknown` is true, calling again with its `idempotency_key` is safe.
    """

    def _make_stub(self) -> None:
        self._stub = BudgetServiceStub(self._channel)

    def reserve(
        self,
        account: str,
        legs: Sequence[Leg] | None = None,
        *,
        options: Sequence[Option | Sequence[Leg]] | None = None,
        ttl: timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Set an amount aside: `legs`, or the first of `options` that fits.

        Raises BudgetDenied, with every limit that is in the way, besides the other errors.
        """
        key = idempotency_key or new_key()
        request = message(
            messages.ReserveRequest,
            idempotency_key=key,
            account=account,
            options=options_to_proto(legs, options),
            ttl=duration_to_proto(ttl),
            labels=dict(labels or {}),
        )
        response = self._call(self._stub.Reserve, request, timeout=timeout, key=key)
        return reservation_from_proto(response.reservation, replayed=response.replayed)

    def commit(
        self,
        reservation_id: str,
        actual: Sequence[Leg],
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Settle a reservation with its actual cost; what was held and not needed goes back."""
        key = idempotency_key or new_key()
        request = message(
            messages.CommitRequest,
            idempotency_key=key,
            reservation_id=reservation_id,
            actual=legs_to_proto(actual),
        )
        response = self._call(self._stub.Commit, request, timeout=timeout, key=key)
        return reservation_from_proto(response.reservation, replayed=response.replayed)

    def release(
        self,
        reservation_id: str,
        *,
        reason: str = "",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Give an uncommitted reservation back."""
        key = idempotency_key or new_key()
        request = message(
            messages.ReleaseRequest,
            idempotency_key=key,
            reservation_id=reservation_id,
            reason=reason,
        )
        response = self._call(self._stub.Release, request, timeout=timeout, key=key)
        return reservation_from_proto(response.reservation, replayed=response.replayed)

    def refund(
        self,
        reservation_id: str,
        legs: Sequence[Leg] | None = None,
        *,
        reason: str = "",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Give a charge back: `legs`, or all that is left of it if they are not given.

        Raises ValueError for an empty list, which would stand for all on the wire.
        """
        if legs is not None and not legs:
            raise ValueError("`legs` is empty; leave it out to refund all that is left")
        key = idempotency_key or new_key()
        request = message(
            messages.RefundRequest,
            idempotency_key=key,
            reservation_id=reservation_id,
            legs=legs_to_proto(legs or ()),
            reason=reason,
        )
        response = self._call(self._stub.Refund, request, timeout=timeout, key=key)
        return reservation_from_proto(response.reservation, replayed=response.replayed)

    def get_reservation(self, reservation_id: str, *, timeout: float | None = None) -> Reservation:
        """Return a reservation as it is now."""
        request = message(messages.GetReservationRequest, reservation_id=reservation_id)
        response = self._call(self._stub.GetReservation, request, timeout=timeout)
        return reservation_from_proto(response.reservation)

    def get_balance(self, account: str, *, timeout: float | None = None) -> list[BudgetBalance]:
        """Return every budget that binds an account, its own first."""
        request = message(messages.GetBalanceRequest, account=account)
        response = self._call(self._stub.GetBalance, request, timeout=timeout)
        return [balance_from_proto(balance) for balance in response.balances]

    @contextmanager
    def reservation(
        self,
        account: str,
        legs: Sequence[Leg] | None = None,
        *,
        options: Sequence[Option | Sequence[Leg]] | None = None,
        ttl: timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Iterator[HeldReservation]:
        """Hold an amount for the length of a block.

        The block's end commits what it set as `actual`. If it set nothing, all that was reserved is
        committed, since money may have been spent. If it raises, or is cancelled, the hold is given
        back; if it had set `actual` before, that was spent and is committed.

        A Commit whose outcome stays unknown raises; repeat it with `held.commit_key`.
        """
        held = HeldReservation(
            self.reserve(
                account,
                legs,
                options=options,
                ttl=ttl,
                labels=labels,
                idempotency_key=idempotency_key,
            )
        )
        try:
            yield held
        except BaseException as error:
            try:
                held.reservation = finish(self._settle_after_error(held))
            except PaymasterError as unsettled:
                error.add_note(f"{held.reservation_id} is not settled, and expires: {unsettled}")
            raise
        held.reservation = finish(self._commit_held(held))

    def _commit_held(self, held: HeldReservation) -> Reservation:
        return self.commit(held.reservation_id, held.cost, idempotency_key=held.commit_key)

    def _settle_after_error(self, held: HeldReservation) -> Reservation:
        if held.actual is not None:
            return self._commit_held(held)
        return self.release(
            held.reservation_id, reason="the block raised", idempotency_key=held.release_key
        )
