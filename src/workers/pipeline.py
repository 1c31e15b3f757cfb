"""How a generation is made: the whole way, top to bottom.

    ask how its account pays -> join an identical one, or look up cache -> price the options
        -> leave to call -> Reserve
        -> mark dispatched -> call provider -> store artifacts, write down the cost -> Commit
        -> fill cache -> done

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

Cancelling and deadlines stop what has not begun: attempts, calls, retries. A hold that is there
already is given back, and a call under way is settled by how it ends. What was made is delivered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime, timedelta

import structlog

from clients import AuthorityClient
from clients import errors as refusals
from clients.amounts import Option as ReserveOption
from clients.amounts import Unit
from clients.types import Reservation, ReservationState
from generations.artifacts import ArtifactStore
from generations.catalogue import Catalogue
from workers.admission import Admission, Leave
from workers.cache.cache import SimilarityCache
from workers.calls import STOP_S
from workers.database import patiently
from workers.limits import Busy, Limits
from workers.making import RESUME_DELAY_S, Maker
from workers.options import NoOption
from workers.orders import NO_INPUTS, InputMissing, read_inputs
from workers.outcomes import STOPS, describe_denial, is_dead_letter
from workers.paying import commit_legs, counted_in, downgrade_of, reserve_legs
from workers.providers.base import Provider
from workers.rows import (
    Attempt,
    AttemptState,
    Claim,
    End,
    EndState,
    Failure,
    Settlement,
)
from workers.runner import TryLater
from workers.serving import Serving
from workers.steering import Stop
from workers.store import WorkStore
from workers.terms import Terms

# A hold outlives any call, so that what is spent was held all the time.
HOLD = timedelta(hours=2)
HOLD_AFTER_DEADLINE = timedelta(minutes=5)
CALL_MAX = timedelta(hours=1)
# Runs in a row that ended without a word; more mean that this generation is what ends them.
CRASHES_MAX = 8

# What the authority says once and for all; whatever else it says may be different later.
REFUSALS = (
    refusals.InvalidRequest,
    refusals.NotFound,
    refusals.IdempotencyKeyReused,
    refusals.ReservationStateError,
)
CRASHED = Failure("internal", "The generation keeps ending the workers that run it.")

log = structlog.get_logger(__name__)


class Pipeline:
    """Makes generations. `terms` says how an account pays, `clock` the time of now, in UTC.

    `on_hit` is called when there may be something to book that was not made.
    """

    def __init__(
        self,
        store: WorkStore,
        authority: AuthorityClient,
        providers: Mapping[str, Provider],
        artifacts: ArtifactStore,
        catalogue: Catalogue,
        limits: Limits,
        cache: SimilarityCache,
        terms: Callable[[str], Awaitable[Terms]],
        clock: Callable[[], datetime],
        on_hit: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._authority = authority
        self._providers = providers
        self._artifacts = artifacts
        self._terms = terms
        self._clock = clock
        self._cache = cache
        self._on_hit = on_hit
        self._serving = Serving(store, cache, on_hit)
        self._admission = Admission(limits, catalogue, providers, self._today)
        self._maker = Maker(store, providers, artifacts, catalogue, self._admission, self._today)

    async def run(self, claim: Claim) -> None:
        """Bring a generation to its end, in one attempt.

        Raises:
            TryLater: the attempt has come to nothing, and another is to be made.
            ClaimLost: another worker has the generation.
            DatabaseAway, clients.errors.PaymasterError: something is away; run it again later.

        """
        attempt = claim.open_attempt
        unspent = attempt is None or attempt.state is AttemptState.RESERVING
        ends_workers = claim.crash_count > CRASHES_MAX
        if unspent and ends_workers:
            # Should there be a hold, it expires.
            settled = Settlement(attempt, AttemptState.RELEASED) if attempt else None
            await self._fail(claim, CRASHED, settled)
            return
        if attempt is None:
            attempt = await self._begin(claim)
        elif attempt.state is AttemptState.RESERVING:
            providers = [option.provider for option in attempt.options]
            async with self._admission.go_on(claim, providers) as leave:
                attempt = await self._reserve_and_call(claim, attempt, leave)
        elif attempt.state is AttemptState.DISPATCHED:
            attempt = await self._maker.find_out(claim, attempt, asks=not ends_workers)
        if attempt is not None and attempt.state is AttemptState.ANSWERED:
            await self._commit(claim, attempt)
        elif attempt is not None:
            await self._release(claim, attempt)

    def _today(self) -> date:
        return self._clock().date()

    async def _begin(self, claim: Claim) -> Attempt | None:
        """End the generation by what is known or made already, or else make an attempt."""
        if stop := claim.steering.stop:
            await self._fail(claim, STOPS[stop])
            return None
        try:
            terms = await self._terms(claim.request.account)
            options = self._admission.options(claim, terms)
            is_served, looked = await self._serving.serve(claim, options[0])
            if is_served:
                return None
            async with self._admission.begin(claim, terms) as (options, leave):
                attempt = await self._store.begin_attempt(claim, options, looked)
                return await self._reserve_and_call(claim, attempt, leave)
        except NoOption as error:
            is_denial = error.failure.reason == "plan_tier"
            state = EndState.DENIED if is_denial else EndState.FAILED
            await self._fail(claim, error.failure, state=state)
            return None
        except Busy as busy:
            await self._store.put_back(claim, busy.retry_s, crashed=False)
            raise TryLater(busy.retry_s) from busy

    async def _reserve_and_call(
        self, claim: Claim, attempt: Attempt, leave: Leave | None
    ) -> Attempt | None:
        """Hold the first option that fits, and make it; end the generation if none fits.

        BUDGET_BUSY is a denial too: only open holds are in the way, but how long they stay is not
        known, and a queue in front of a budget would hide that it is too small.
        """
        request, inputs, obstacle = claim.request, NO_INPUTS, None
        try:
            inputs = await read_inputs(self._store, self._artifacts, request.settings)
        except InputMissing as error:
            # An earlier run may have found it, and hold something.
            obstacle = Failure("reference_missing", str(error))
        try:
            held = await self._authority.reserve(
                request.account,
                options=[
                    ReserveOption(
                        reserve_legs(request.kind, option, request.count),
                        option.tier or option.quality,
                    )
                    for option in attempt.options
                ],
                ttl=_hold(claim),
                labels=_labels(claim, attempt),
                idempotency_key=_key(claim, attempt, "reserve"),
            )
        except refusals.BudgetDenied as denied:
            failure = Failure(denied.denial.reason, describe_denial(denied.denial))
            settled = Settlement(attempt, AttemptState.DENIED)
            await self._fail(claim, failure, settled, EndState.DENIED)
            return None
        except REFUSALS as error:
            failure = Failure(error.reason, error.message)
            return await self._store.write_failure(claim, attempt, failure)
        obstacle = obstacle or self._obstacle(claim, attempt, held, leave)
        if obstacle is not None:
            return await self._store.write_failure(claim, attempt, obstacle, held.reservation_id)
        assert leave is not None, "it would be an obstacle"
        # A reply that is lost would have the call paid for, and it was not made yet.
        begun = attempt
        attempt = await patiently(
            lambda: self._store.write_dispatch(
                claim,
                begun,
                option_index=held.option_index,
                reservation_id=held.reservation_id,
                downgrade=downgrade_of(request, begun.options[held.option_index], held.passed_over),
            )
        )
        await leave.use(attempt.option.provider)
        return await self._maker.call(claim, attempt, leave, inputs)

    def _obstacle(
        self, claim: Claim, attempt: Attempt, held: Reservation, leave: Leave | None
    ) -> Failure | None:
        """Return why what is held now is not to be used."""
        if stop := claim.steering.stop:
            return STOPS[stop]
        if leave is None:
            return Failure("provider_busy", "The provider may not be called now.", RESUME_DELAY_S)
        if attempt.options[held.option_index].provider not in self._providers:
            # The run that has chosen it was another worker's.
            return Failure("no_live_provider", "This worker has no key for the provider.", 0.0)
        if not held.replayed:
            return None
        # What an earlier run held may expire during the call, or be somebody else's by now.
        left = held.expire_time - self._clock() if held.expire_time else timedelta(0)
        needed = CALL_MAX
        if claim.lifetime is not None:
            end = claim.create_time + claim.lifetime + timedelta(seconds=STOP_S)
            needed = min(needed, end - self._clock())
        if held.state is ReservationState.HELD and left >= needed:
            return None
        return Failure("hold_expired", "The hold is too old to begin under.", 0.0)

    async def _commit(self, claim: Claim, attempt: Attempt) -> None:
        """Pay what an attempt cost, fill the cache and end the generation, or try again."""
        try:
            paid = await self._authority.commit(
                attempt.reservation_id,
                commit_legs(claim.request, attempt),
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
        whole = (attempt.actual_images or 0) >= claim.request.count
        if whole:
            entry = await self._cache.entry(claim, option, charged)
        end = End(
            state=EndState.SUCCEEDED,
            provider=option.provider,
            model=option.model,
            downgraded=attempt.is_downgraded,
            downgrade=attempt.downgrade,
            reservation_id=attempt.reservation_id,
            shared=whole and not attempt.is_downgraded,
        )
        await self._store.finish(claim, end, settled=settled, entry=entry)
        log.info("generation_succeeded", model=option.model, cost_micros=charged)
        if end.shared:
            self._on_hit()
        await self._cache.judge(claim)

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
        if failure.retry_s is not None and not claim.steering.stop:
            raise TryLater(await self._store.retry(claim, settled))
        await self._fail(claim, failure, settled)

    async def _fail(
        self,
        claim: Claim,
        failure: Failure,
        settled: Settlement | None = None,
        state: EndState = EndState.FAILED,
    ) -> None:
        """End a generation that was not made: as the failure says, or because it was to stop."""
        if stop := claim.steering.stop:
            failure = STOPS[stop]
            state = EndState.CANCELLED if stop is Stop.CANCELLED else EndState.FAILED
        end = End(
            state=state,
            reservation_id=(settled and settled.attempt.reservation_id) or None,
            error_reason=failure.reason,
            error_message=failure.message,
            dead=state is EndState.FAILED and is_dead_letter(failure.reason),
        )
        await self._store.finish(claim, end, settled=settled)
        log.info("generation_ended", state=state.value, reason=failure.reason)


def _hold(claim: Claim) -> timedelta:
    """Return how long to hold, which is the same whoever repeats a Reserve."""
    if claim.lifetime is None:
        return HOLD
    return min(HOLD, claim.lifetime + HOLD_AFTER_DEADLINE)


def _labels(claim: Claim, attempt: Attempt) -> dict[str, str]:
    """Return what a reservation is named by, with the count where not every option has it."""
    labels = {"generation": claim.generation_id, "attempt": str(attempt.number)}
    if not all(option.counts for option in attempt.options):
        labels[counted_in(claim.request.kind).lower()] = str(claim.request.count)
    return labels


def _key(claim: Claim, attempt: Attempt, verb: str) -> str:
    """Return the idempotency key of what is asked of the authority for an attempt."""
    return f"gen:{claim.generation_id}:{attempt.number}:{verb}"
