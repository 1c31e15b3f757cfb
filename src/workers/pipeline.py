"""How a generation is made: the whole way, top to bottom.

    look up cache -> price the options -> Reserve -> mark dispatched -> call provider
        -> store artifacts, write down the cost -> Commit -> fill cache -> done

A worker may die at any await, and another runs the same generation from what is written down:

    died                          the next run finds    and
    before or in Reserve          RESERVING             repeats it: same key and options, same hold
    once marked dispatched        DISPATCHED            asks the provider, if the call has a remote
                                                        id; else pays the estimate as presumed spent
    once the cost was written     ANSWERED              repeats Commit: same key, same amounts
    once a failure was written    FAILED                repeats Release: same key
    once the end was written      nothing to do         ends its job

So nothing is asked of the authority before it is written down with all its values, and repeating
never asks for other ones. The store refuses the writes of a worker whose generation was claimed by
another since; what such a worker still asks of the authority are repetitions.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from clients import AuthorityClient
from clients import errors as refusals
from clients.amounts import Option as ReserveOption
from clients.amounts import Unit
from clients.types import Reservation, ReservationState
from generations.artifacts import ArtifactError, ArtifactStore
from generations.catalogue import Catalogue
from workers.cache.fingerprint import fingerprint
from workers.database import DatabaseAway
from workers.files import are_there, store_files
from workers.options import NoOption, legs, priced_options
from workers.outcomes import bill, describe_denial, failure_of, outcome_unknown, presumed
from workers.providers.base import Provider, ProviderRequest, ProviderResult, ResumableProvider
from workers.providers.errors import AuthOrBilling, ProviderError, TimeoutUnknown
from workers.rows import (
    Answer,
    Attempt,
    AttemptState,
    Claim,
    End,
    EndState,
    Entry,
    Failure,
    Settlement,
)
from workers.runner import TryLater
from workers.store import WorkStore

# A hold outlives any call, so that what is spent was held all the time.
HOLD = timedelta(hours=2)
CALL_MAX = timedelta(hours=1)
# How long a provider is asked about a job before nobody believes in it any more.
RESUME_S_MAX = 3600.0
RESUME_DELAY_S = 15.0
# Runs in a row that ended without a word; more mean that this generation is what ends them.
CRASHES_MAX = 8
# What was paid for is not lost because Postgres restarts.
PATIENCE_S = 120.0

# What the authority says once and for all; whatever else it says may be different later.
REFUSALS = (
    refusals.InvalidRequest,
    refusals.NotFound,
    refusals.IdempotencyKeyReused,
    refusals.ReservationStateError,
)
_Result = TypeVar("_Result")

log = structlog.get_logger(__name__)


class Pipeline:
    """Makes generations. `clock` gives the time of now, in UTC."""

    def __init__(
        self,
        store: WorkStore,
        authority: AuthorityClient,
        providers: Mapping[str, Provider],
        artifacts: ArtifactStore,
        catalogue: Catalogue,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._authority = authority
        self._providers = providers
        self._artifacts = artifacts
        self._catalogue = catalogue
        self._clock = clock

    async def run(self, claim: Claim) -> None:
        """Bring a generation to its end, in one attempt.

        Raises:
            TryLater: the attempt has come to nothing, and another is to be made.
            ClaimLost: another worker has the generation.
            DatabaseAway, clients.errors.PaymasterError: something is away; run it again later.

        """
        attempt = claim.open_attempt
        unspent = attempt is None or attempt.state is AttemptState.RESERVING
        if unspent and claim.crash_count > CRASHES_MAX:
            # Should there be a hold, it expires.
            failure = Failure("internal", "The generation keeps ending the workers that run it.")
            settled = Settlement(attempt, AttemptState.RELEASED) if attempt else None
            await self._fail(claim, failure, settled)
            return
        if attempt is None:
            attempt = await self._look_up_or_begin(claim)
        if attempt is not None and attempt.state is AttemptState.RESERVING:
            attempt = await self._reserve_and_call(claim, attempt)
        elif attempt is not None and attempt.state is AttemptState.DISPATCHED:
            attempt = await self._find_out(claim, attempt)
        if attempt is not None and attempt.state is AttemptState.ANSWERED:
            await self._commit(claim, attempt)
        elif attempt is not None:
            await self._release(claim, attempt)

    async def _look_up_or_begin(self, claim: Claim) -> Attempt | None:
        """End the generation with what the cache has, or else price the options and begin."""
        today = self._clock().date()
        try:
            options = priced_options(self._catalogue, claim.request, self._providers, today)
        except NoOption as error:
            await self._fail(claim, error.failure)
            return None
        # Only what the best option has made will do: the rest is not what was asked for.
        known = fingerprint(claim.request, model=options[0].model, quality=options[0].quality)
        hit = await self._store.find_hit(claim.tenant, known)
        if hit is None:
            return await self._store.begin_attempt(claim, options)
        if not await are_there(self._artifacts, hit.artifacts):
            await self._store.forget_hit(claim.tenant, hit)
            return await self._store.begin_attempt(claim, options)
        end = End(
            state=EndState.SUCCEEDED,
            provider=hit.provider,
            model=hit.model,
            cached=hit.match,
            saved_micros=hit.cost_micros,
            artifacts=hit.artifacts,
        )
        await self._store.finish(claim, end)
        log.info("generation_cached", match=hit.match, saved_micros=hit.cost_micros)
        return None

    async def _reserve_and_call(self, claim: Claim, attempt: Attempt) -> Attempt | None:
        """Hold the first option that fits, and make it; end the generation if none fits.

        BUDGET_BUSY is a denial too: only open holds are in the way, but how long they stay is not
        known, and a queue in front of a budget would hide that it is too small.
        """
        request = claim.request
        try:
            held = await self._authority.reserve(
                request.account,
                options=[
                    ReserveOption(
                        legs(request.kind, option.estimate_micros, request.count), option.quality
                    )
                    for option in attempt.options
                ],
                ttl=HOLD,
                labels={"generation": claim.generation_id, "attempt": str(attempt.number)},
                idempotency_key=_key(claim, attempt, "reserve"),
            )
        except refusals.BudgetDenied as denied:
            reason, message = denied.denial.reason, describe_denial(denied.denial)
            end = End(state=EndState.DENIED, error_reason=reason, error_message=message)
            await self._store.finish(claim, end, settled=Settlement(attempt, AttemptState.DENIED))
            log.info("generation_denied", reason=reason)
            return None
        except REFUSALS as error:
            failure = Failure(error.reason, error.message)
            return await self._store.write_failure(claim, attempt, failure)
        if held.replayed and not self._outlives_call(held):
            # What an earlier run held may expire during the call, or be somebody else's by now.
            failure = Failure("hold_expired", "The hold is too old to begin under.", 0.0)
            return await self._store.write_failure(claim, attempt, failure, held.reservation_id)
        attempt = await self._store.write_dispatch(
            claim, attempt, option_index=held.option_index, reservation_id=held.reservation_id
        )
        return await self._call(claim, attempt)

    def _outlives_call(self, held: Reservation) -> bool:
        left = held.expire_time - self._clock() if held.expire_time else timedelta(0)
        return held.state is ReservationState.HELD and left >= CALL_MAX

    async def _call(self, claim: Claim, attempt: Attempt) -> Attempt:
        """Call the provider, and write down what is to be paid and what was made."""
        now = attempt

        async def on_submitted(remote_id: str) -> None:
            nonlocal now
            now = await _patiently(lambda: self._store.write_remote_id(claim, attempt, remote_id))

        provider = self._providers[attempt.option.provider]
        try:
            result = await provider.generate(_order(claim, attempt), on_submitted=on_submitted)
        except ProviderError as error:
            return await self._write_error(claim, now, error)
        return await self._write_result(claim, now, result)

    async def _find_out(self, claim: Claim, attempt: Attempt) -> Attempt:
        """Find out how a call ended that an earlier run made, or was about to make."""
        provider = self._providers.get(attempt.option.provider)
        if not attempt.remote_id or not isinstance(provider, ResumableProvider):
            answer = presumed(claim, attempt, outcome_unknown(claim, attempt))
            log.warning("attempt_presumed_spent", attempt=attempt.number)
            return await self._store.write_answer(claim, attempt, answer)
        try:
            result = await provider.resume(_order(claim, attempt), attempt.remote_id)
        except ProviderError as error:
            return await self._write_error(claim, attempt, error)
        return await self._write_result(claim, attempt, result)

    async def _write_result(
        self, claim: Claim, attempt: Attempt, result: ProviderResult
    ) -> Attempt:
        """Store what was made, and write down what it cost."""
        actual_micros = bill(self._catalogue, claim, attempt, result.usage)
        images = len(result.files)
        try:
            stored = await store_files(self._artifacts, claim, attempt, result.files)
            answer = Answer(actual_micros, images, stored)
        except ArtifactError:
            # It is to be paid, and another try would be too.
            log.exception("artifact_unstored")
            failure = Failure("storage_failed", "It was made but could not be stored.")
            answer = Answer(actual_micros, images, failure=failure)
        return await _patiently(lambda: self._store.write_answer(claim, attempt, answer))

    async def _write_error(self, claim: Claim, attempt: Attempt, error: ProviderError) -> Attempt:
        """Write down why a call failed, and what is to be paid all the same."""
        log.warning(
            "provider_failed",
            provider=error.provider,
            reason=error.reason,
            dispatched=error.dispatched,
            request_id=error.request_id,
        )
        failure = failure_of(claim, attempt, error)
        if error.dispatched == "no":
            return await self._store.write_failure(claim, attempt, failure)
        if error.dispatched == "yes":
            actual_micros = bill(self._catalogue, claim, attempt, error.usage)
            answer = Answer(actual_micros, claim.request.count, failure=failure)
        else:
            goes_on = isinstance(error, TimeoutUnknown | AuthOrBilling) and attempt.remote_id
            if goes_on and attempt.dispatch_age_s < RESUME_S_MAX:
                await self._store.put_back(claim, RESUME_DELAY_S, crashed=False)
                raise TryLater(RESUME_DELAY_S)
            answer = presumed(claim, attempt, failure)
        return await _patiently(lambda: self._store.write_answer(claim, attempt, answer))

    async def _commit(self, claim: Claim, attempt: Attempt) -> None:
        """Pay what an attempt cost, fill the cache and end the generation, or try again."""
        assert attempt.actual_micros is not None, "it is written down with the answer"
        assert attempt.actual_images is not None, "it is written down with the answer"
        try:
            paid = await self._authority.commit(
                attempt.reservation_id,
                legs(claim.request.kind, attempt.actual_micros, attempt.actual_images),
                idempotency_key=_key(claim, attempt, "commit"),
            )
        except REFUSALS as error:
            # Somebody else has settled the hold. The cost stays with the attempt, as REFUSED.
            log.exception("commit_refused", attempt=attempt.number)
            failure = Failure(error.reason, error.message)
            await self._fail(claim, failure, Settlement(attempt, AttemptState.REFUSED))
            return
        charged = paid.charged(Unit.USD)
        settled = Settlement(attempt, AttemptState.COMMITTED, charged)
        if attempt.failure is not None:
            await self._retry_or_fail(claim, attempt.failure, settled)
            return
        option, entry = attempt.option, None
        if attempt.actual_images >= claim.request.count:
            known = fingerprint(claim.request, model=option.model, quality=option.quality)
            entry = Entry(known, option.quality, charged)
        end = End(
            state=EndState.SUCCEEDED,
            provider=option.provider,
            model=option.model,
            downgraded=attempt.option_index != 0,
            reservation_id=attempt.reservation_id,
        )
        await self._store.finish(claim, end, settled=settled, entry=entry)
        log.info("generation_succeeded", model=option.model, cost_micros=charged)

    async def _release(self, claim: Claim, attempt: Attempt) -> None:
        """Give back what was held for an attempt that cost nothing; then end, or try again."""
        assert attempt.failure is not None, "FAILED has its reason"
        if attempt.reservation_id:
            try:
                await self._authority.release(
                    attempt.reservation_id,
                    reason=attempt.failure.reason,
                    idempotency_key=_key(claim, attempt, "release"),
                )
            except REFUSALS:
                log.exception("release_refused", attempt=attempt.number)
        await self._retry_or_fail(
            claim, attempt.failure, Settlement(attempt, AttemptState.RELEASED)
        )

    async def _retry_or_fail(self, claim: Claim, failure: Failure, settled: Settlement) -> None:
        if failure.retry_s is not None:
            raise TryLater(await self._store.retry(claim, settled))
        await self._fail(claim, failure, settled)

    async def _fail(
        self, claim: Claim, failure: Failure, settled: Settlement | None = None
    ) -> None:
        end = End(
            state=EndState.FAILED,
            reservation_id=(settled and settled.attempt.reservation_id) or None,
            error_reason=failure.reason,
            error_message=failure.message,
        )
        await self._store.finish(claim, end, settled=settled)
        log.info("generation_failed", reason=failure.reason)


def _order(claim: Claim, attempt: Attempt) -> ProviderRequest:
    request, option = claim.request, attempt.option
    return ProviderRequest(
        kind=request.kind,
        model=option.model,
        prompt=request.prompt,
        size=request.size,
        quality=option.quality,
        count=request.count,
        attempt_id=f"{claim.generation_id}:{attempt.number}",
        user=hashlib.sha256(f"paymaster:{request.account}".encode()).hexdigest(),
        settings=request.settings,
    )


def _key(claim: Claim, attempt: Attempt, verb: str) -> str:
    """Return the idempotency key of what is asked of the authority for an attempt."""
    return f"gen:{claim.generation_id}:{attempt.number}:{verb}"


async def _patiently(write: Callable[[], Awaitable[_Result]]) -> _Result:
    """Repeat a write while Postgres is away: what it says is known nowhere else."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return await write()
        except DatabaseAway:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)
