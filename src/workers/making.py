"""The calls of providers: made, or asked about later, and how they ended written down.

Each attempt comes out of here ANSWERED, with what is to be paid, or FAILED, with nothing to pay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import structlog

from generations.artifacts import ArtifactError, ArtifactStore
from generations.catalogue import Catalogue
from workers.admission import Admission, Leave
from workers.calls import Call
from workers.database import patiently
from workers.fallback import next_turn, tier_of
from workers.files import store_files
from workers.orders import Inputs, order
from workers.outcomes import as_billed, bill, failure_of, outcome_of_dead, presumed
from workers.progress import Progress
from workers.providers.base import Provider, ProviderResult, ResumableProvider
from workers.providers.errors import AuthOrBilling, ProviderError, TimeoutUnknown
from workers.providers.facts import unknown_outcome
from workers.rows import Answer, Attempt, Claim, Failure
from workers.runner import TryLater
from workers.store import WorkStore

# How long a provider is asked about a job before nobody believes in it any more.
RESUME_S_MAX = 3600.0
RESUME_DELAY_S = 15.0

log = structlog.get_logger(__name__)


class Maker:
    """Has attempts made. Its methods raise TryLater for a job that is to be asked about later.

    They raise ClaimLost and DatabaseAway besides.
    """

    def __init__(
        self,
        store: WorkStore,
        providers: Mapping[str, Provider],
        artifacts: ArtifactStore,
        catalogue: Catalogue,
        admission: Admission,
        today: Callable[[], date],
    ) -> None:
        self._store = store
        self._providers = providers
        self._artifacts = artifacts
        self._catalogue = catalogue
        self._admission = admission
        self._today = today

    async def call(self, claim: Claim, attempt: Attempt, leave: Leave, inputs: Inputs) -> Attempt:
        """Call the provider of an attempt that is marked dispatched."""
        now = attempt

        async def on_submitted(remote_id: str) -> None:
            nonlocal now
            now = await patiently(lambda: self._store.write_remote_id(claim, attempt, remote_id))
            call.submitted(remote_id)

        provider = self._providers[attempt.option.provider]
        async with self._progress(claim) as progress:
            request = order(self._catalogue, claim, attempt, inputs, progress)
            call = Call(provider, request, claim.steering)
            try:
                result = await call.outcome(provider.generate(request, on_submitted=on_submitted))
            except ProviderError as error:
                await leave.report(provider.name, error)
                return await self._write_error(claim, now, error)
        await leave.report(provider.name)
        return await self._write_result(claim, now, result)

    async def find_out(self, claim: Claim, attempt: Attempt, *, asks: bool = True) -> Attempt:
        """Find out how a call ended that an earlier run made, or was about to make.

        Unless it `asks`, a job is presumed spent too: to ask for it is what ends workers.
        """
        provider = self._providers.get(attempt.option.provider)
        if not asks or not attempt.remote_id or not isinstance(provider, ResumableProvider):
            failure = outcome_of_dead(claim, attempt)
            if unknown_outcome(attempt.option.provider, claim.request.kind) == "make_anew":
                return await self._store.write_failure(claim, attempt, failure)
            answer = presumed(claim, attempt, failure)
            log.warning("attempt_presumed_spent", attempt=attempt.number)
            return await self._store.write_answer(claim, attempt, answer)
        # The job is there already, and asking for it needs no leave.
        async with (
            self._admission.go_on(claim, [provider.name]) as leave,
            self._progress(claim) as progress,
        ):
            # What it was made of, the provider has.
            request = order(self._catalogue, claim, attempt, on_progress=progress)
            call = Call(provider, request, claim.steering, attempt.remote_id)
            try:
                result = await call.outcome(provider.resume(request, attempt.remote_id))
            except ProviderError as error:
                if leave:
                    await leave.report(provider.name, error)
                return await self._write_error(claim, attempt, error)
            if leave:
                await leave.report(provider.name)
        return await self._write_result(claim, attempt, result)

    def _progress(self, claim: Claim) -> Progress:
        return Progress(lambda stage, percent: self._store.write_progress(claim, stage, percent))

    async def _write_result(
        self, claim: Claim, attempt: Attempt, result: ProviderResult
    ) -> Attempt:
        """Store what was made, and write down what it cost."""
        actual_micros = bill(self._catalogue, claim, attempt, result.usage)
        images = len(result.files)
        try:
            stored = await store_files(self._artifacts, claim, attempt, result.files)
            answer = Answer(
                actual_micros,
                images,
                stored,
                presumed_spent=result.usage_estimated,
                usage=as_billed(claim.request.kind, result.usage, images),
            )
        except ArtifactError:
            # It is to be paid, and another try would be too.
            log.exception("artifact_unstored")
            failure = Failure("storage_failed", "It was made but could not be stored.")
            answer = Answer(
                actual_micros,
                images,
                failure=failure,
                presumed_spent=result.usage_estimated,
                usage=as_billed(claim.request.kind, result.usage, images),
            )
        return await patiently(lambda: self._store.write_answer(claim, attempt, answer))

    async def _write_error(self, claim: Claim, attempt: Attempt, error: ProviderError) -> Attempt:
        """Write down why a call failed, and what is to be paid all the same."""
        log.warning(
            "provider_failed",
            provider=error.provider,
            reason=error.reason,
            dispatched=error.dispatched,
            request_id=error.request_id,
        )
        turn = next_turn(
            self._catalogue,
            claim,
            error.provider,
            self._providers,
            self._today(),
            tier=tier_of(attempt),
        )
        failure = failure_of(claim, attempt, error, turn)
        if error.dispatched == "no":
            return await self._store.write_failure(claim, attempt, failure)
        if error.dispatched == "yes":
            actual_micros = bill(self._catalogue, claim, attempt, error.usage)
            answer = Answer(
                actual_micros,
                claim.request.count,
                failure=failure,
                presumed_spent=error.usage_estimated,
                usage=as_billed(claim.request.kind, error.usage, 0),
            )
        else:
            goes_on = isinstance(error, TimeoutUnknown | AuthOrBilling) and attempt.remote_id
            young = attempt.dispatch_age_s < RESUME_S_MAX
            if goes_on and young and not claim.steering.is_overdue:
                await self._store.put_back(claim, RESUME_DELAY_S, crashed=False)
                raise TryLater(RESUME_DELAY_S)
            answer = presumed(claim, attempt, failure)
            if error.usage is not None:
                # No more than this was asked of it.
                micros = bill(self._catalogue, claim, attempt, error.usage)
                answer = answer._replace(actual_micros=min(answer.actual_micros, micros))
        return await patiently(lambda: self._store.write_answer(claim, attempt, answer))
