"""Reserve, Commit, Release, Refund and Extend: the same by calls and in a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from authority.v1 import budget_service_pb2 as messages
from clients.amounts import Leg, Option
from clients.budget_requests import (
    Durability,
    RefundRequest,
    ReserveMode,
    commit_message,
    refund_to_proto,
    reserve_message,
)
from clients.concurrency import finish
from clients.convert import reservation_from_answer
from clients.errors import PaymasterError
from clients.requests import duration_to_proto, legs_to_proto, message, new_key
from clients.types import HeldReservation, Reservation


class OperationCalls:
    """The operations around a call that costs money, over any transport."""

    async def _operate(self, verb: str, request: Any, timeout: float | None) -> Any:
        """Carry one operation out, with retries: `reserve` and its request, and so on."""
        raise NotImplementedError

    async def reserve(
        self,
        account: str,
        legs: Sequence[Leg] | None = None,
        *,
        options: Sequence[Option | Sequence[Leg]] | None = None,
        ttl: timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        mode: ReserveMode = ReserveMode.NORMAL,
        durability: Durability = Durability.LEDGER,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Set an amount aside: `legs`, or the first of `options` that fits.

        Raises BudgetDenied, with every limit that is in the way, besides the other errors.
        """
        request = reserve_message(
            account,
            legs,
            options,
            ttl=ttl,
            labels=labels,
            mode=mode,
            durability=durability,
            idempotency_key=idempotency_key or new_key(),
        )
        response = await self._operate("reserve", request, timeout)
        return reservation_from_answer(response)

    async def check(
        self,
        account: str,
        legs: Sequence[Leg] | None = None,
        *,
        options: Sequence[Option | Sequence[Leg]] | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Say what `reserve` would answer, and hold nothing.

        The reservation has no id, state or times; `option_index` says which option would be held.
        Raises BudgetDenied where `reserve` would.
        """
        return await self.reserve(
            account, legs, options=options, mode=ReserveMode.CHECK_ONLY, timeout=timeout
        )

    async def commit(
        self,
        reservation_id: str,
        actual: Sequence[Leg],
        *,
        final: bool = True,
        force: bool = False,
        receipt: str = "",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Settle a reservation with its actual cost; what was held and not needed goes back.

        If it is not `final`, the rest stays held for more commits. `force` settles even what was
        released. `receipt` is the provider's own record of the cost, such as a request id.
        """
        request = commit_message(
            reservation_id,
            actual,
            final=final,
            force=force,
            receipt=receipt,
            idempotency_key=idempotency_key or new_key(),
        )
        response = await self._operate("commit", request, timeout)
        return reservation_from_answer(response)

    async def release(
        self,
        reservation_id: str,
        *,
        reason: str = "",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Give an uncommitted reservation back."""
        request = message(
            messages.ReleaseRequest,
            idempotency_key=idempotency_key or new_key(),
            reservation_id=reservation_id,
            reason=reason,
        )
        response = await self._operate("release", request, timeout)
        return reservation_from_answer(response)

    async def refund(
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
        request = RefundRequest(
            reservation_id, legs, reason=reason, idempotency_key=idempotency_key or new_key()
        )
        response = await self._operate("refund", refund_to_proto(request), timeout)
        return reservation_from_answer(response)

    async def extend(
        self,
        reservation_id: str,
        *,
        ttl: timedelta | None = None,
        legs: Sequence[Leg] = (),
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Reservation:
        """Let a held reservation live for `ttl` from now on, and hold `legs` besides.

        Raises BudgetDenied if the legs do not fit; then nothing is extended.
        """
        request = message(
            messages.ExtendRequest,
            idempotency_key=idempotency_key or new_key(),
            reservation_id=reservation_id,
            ttl=duration_to_proto(ttl),
            legs=legs_to_proto(legs),
        )
        response = await self._operate("extend", request, timeout)
        return reservation_from_answer(response)

    @asynccontextmanager
    async def reservation(
        self,
        account: str,
        legs: Sequence[Leg] | None = None,
        *,
        options: Sequence[Option | Sequence[Leg]] | None = None,
        ttl: timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncIterator[HeldReservation]:
        """Hold an amount for the length of a block.

        The block's end commits what it set as `actual`. If it set nothing, all that was reserved is
        committed, since money may have been spent. If it raises, or is cancelled, the hold is given
        back; if it had set `actual` before, that was spent and is committed.

        A Commit whose outcome stays unknown raises; repeat it with `held.commit_key`.
        """
        held = HeldReservation(
            await self.reserve(
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
                held.reservation = await finish(self._settle_after_error(held))
            except PaymasterError as unsettled:
                error.add_note(f"{held.reservation_id} is not settled, and expires: {unsettled}")
            raise
        held.reservation = await finish(self._commit_held(held))

    async def _commit_held(self, held: HeldReservation) -> Reservation:
        return await self.commit(held.reservation_id, held.cost, idempotency_key=held.commit_key)

    async def _settle_after_error(self, held: HeldReservation) -> Reservation:
        if held.actual is not None:
            return await self._commit_held(held)
        return await self.release(
            held.reservation_id, reason="the block raised", idempotency_key=held.release_key
        )
