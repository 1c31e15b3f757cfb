"""The similarity cache as the pipeline has it: finds what may be served, keeps what was made."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

import structlog

from generations.artifacts import ArtifactError, ArtifactStore, StoreFailed
from generations.models import Kind
from similarity.normalise import normalise
from similarity.policy import CachePolicy, Stage
from similarity.scope import Fingerprint, fingerprint
from similarity.stages import Reuse, allowed_stages, is_repeatable, may_fill, possible_stages
from workers.cache.cascade import Cascade
from workers.cache.embeddings import Embeddings, Skipped
from workers.cache.rows import Entry, Hit, Looked, Report, Search
from workers.cache.store import CacheStore
from workers.database import DatabaseAway
from workers.files import are_there, read_text
from workers.rows import Claim, Option

_BY_VECTOR = frozenset({Stage.GUARDED, Stage.CHAT})

log = structlog.get_logger(__name__)


class SimilarityCache:
    """Every method raises DatabaseAway; whatever else fails is gone without."""

    def __init__(self, store: CacheStore, artifacts: ArtifactStore, embeddings: Embeddings) -> None:
        self._store = store
        self._artifacts = artifacts
        self._embeddings = embeddings
        self._cascade = Cascade(store, embeddings)

    async def allowed(self, claim: Claim) -> tuple[CachePolicy, tuple[Stage, ...]]:
        """Return the policy that counts for a generation, and the stages that may serve it."""
        policy = await self._store.find_policy(claim.request.account)
        # Who wants another one wants it made, and has nothing against its being served later.
        is_off = claim.wish.reuse is Reuse.OFF
        reuse = Reuse.REFRESH if claim.is_anew and not is_off else claim.wish.reuse
        has_context = claim.wish.context is not None
        return policy, allowed_stages(claim.request, policy, reuse, has_context=has_context)

    async def find(
        self, claim: Claim, best: Option, policy: CachePolicy, stages: tuple[Stage, ...]
    ) -> tuple[Hit | None, Looked]:
        """Look a generation up; return what may be served, and how it was looked for.

        Only what the best option has made will do: the rest is not what was asked for.
        """
        report = Report()
        known, stages = await self._known(claim, best, policy, stages, report)
        search = Search(
            claim.generation_id, claim.request, known, stages, policy, claim.wish.context
        )
        looked = await self._cascade.look_up(search, report)
        if looked.found is None:
            return None, looked
        return await self._delivered(claim, looked), looked

    async def accepted(self, claim: Claim, best: Option, policy: CachePolicy) -> Hit | None:
        """Return the entry that its sender has chosen, if all but the prompt is the same."""
        report = Report()
        known, _ = await self._known(claim, best, policy, (Stage.EXACT,), report)
        found = await self._store.find_entry(claim.tenant, claim.wish.accept_entry_id, known)
        return None if found is None else await self._delivered(claim, Looked(report, found=found))

    async def entry(self, claim: Claim, option: Option, cost_micros: int) -> Entry | None:
        """Return what to keep of what an option has made; None if it is not to be kept."""
        try:
            return await self._entry(claim, option, cost_micros)
        except DatabaseAway:
            raise
        except Exception:
            log.exception("cache_fill_failed")
            return None

    async def judge(self, claim: Claim) -> None:
        """Compare a chat that was made as a sample with what would have been served.

        Only the same text is a match. Another may say the same, but to take it for that would let
        the gate believe what nobody has looked at. Pictures are for people.
        """
        if claim.request.kind is not Kind.CHAT or not is_repeatable(claim.request):
            return
        try:
            sample = await self._store.find_unjudged_sample(claim.tenant, claim.generation_id)
            if sample is None:
                return
            made, other = [
                normalise(await read_text(self._artifacts, artifacts))
                for artifacts in (sample.made, sample.other)
            ]
            if made or other:
                await self._store.write_verdict(
                    claim.tenant, claim.generation_id, sample, same=made == other
                )
        except (ArtifactError, DatabaseAway) as error:
            # It stays without a verdict, and counts for nothing.
            log.warning("sample_not_compared", reason=type(error).__name__)

    async def _entry(self, claim: Claim, option: Option, cost_micros: int) -> Entry | None:
        request, context = claim.request, claim.wish.context
        policy = await self._store.find_policy(request.account)
        if not may_fill(policy, claim.wish.reuse):
            return None
        stages = possible_stages(request, has_context=context is not None)
        known, _ = await self._known(claim, option, policy, stages, Report())
        entry = Entry(
            known,
            option.quality,
            cost_micros,
            policy.lifetime(request.kind, random.random()),  # noqa: S311  # No secret.
            context if known.structured is not None else None,
        )
        wanted = _BY_VECTOR.intersection(stages)
        if not self._embeddings.is_free:
            # What costs something is made for those who use it.
            wanted &= policy.stages(request.kind)
        if not wanted or not self._store.has_vectors:
            return entry
        try:
            vector = await self._embeddings.vector(
                request.account, claim.generation_id, request.prompt
            )
        except Skipped:
            return entry
        return entry._replace(embedding=vector, embedder=self._embeddings.name)

    async def _delivered(self, claim: Claim, looked: Looked) -> Hit | None:
        """Return what was made for an entry; without it there is no entry either."""
        assert looked.found is not None, "it was found"
        hit = await self._store.find_hit(claim.tenant, looked.found)
        try:
            if hit is not None and await are_there(self._artifacts, hit.artifacts):
                return hit
        except StoreFailed as error:
            log.warning("cache_entry_unreadable", reason=str(error))
            return None
        await self._store.forget(claim.tenant, looked.found.source_id)
        log.warning("cache_entry_forgotten", entry_id=looked.found.entry_id)
        return None

    async def _known(
        self,
        claim: Claim,
        option: Option,
        policy: CachePolicy,
        stages: tuple[Stage, ...],
        report: Report,
    ) -> tuple[Fingerprint, tuple[Stage, ...]]:
        """Return what a generation is known by, and the stages that it can be known to."""

        def make(stages: Collection[Stage]) -> Fingerprint:
            return fingerprint(
                claim.request,
                model=option.model,
                quality=option.quality,
                stages=stages,
                embedder=self._embeddings.name,
                context=claim.wish.context,
                structured=policy.structured,
            )

        if Stage.SIGNATURE not in stages:
            return make(stages), stages
        try:
            return await asyncio.to_thread(make, stages), stages
        except Exception:
            # The dictionary may be missing.
            log.exception("cache_stage_failed", stage=Stage.SIGNATURE)
            report.skipped[Stage.SIGNATURE] = "failed"
            left = tuple(stage for stage in stages if stage is not Stage.SIGNATURE)
            return make(left), left
