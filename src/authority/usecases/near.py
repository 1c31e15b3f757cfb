"""What the cache has near a request, and whether it would serve it by itself.

Similarity alone serves nothing: it finds what a person may choose. What can't be told, because the
embedder or the dictionary is missing, is left out, and never an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import structlog

from authority.domain.cache import CacheEntry
from authority.domain.ids import tenant_of
from authority.domain.reuse import SUGGESTIONS_MAX, Candidate, EntrySearch, Suggestion
from generations.catalogue import Catalogue, CatalogueError, Choice
from generations.requests import GenerationRequest
from similarity.guard import objection, read
from similarity.policy import CachePolicy
from similarity.scope import Fingerprint, fingerprint
from similarity.stages import Stage, possible_stages
from similarity.structured import Context, compare
from similarity.wordnet import WordNetMissing

if TYPE_CHECKING:
    from datetime import date

    from authority.usecases.vectors import Vectors

# What is farther away is another prompt.
SCORE_PPM_MIN = 700_000

log = structlog.get_logger(__name__)


class NearSearch:
    """Implements `domain.reuse.Near`."""

    def __init__(
        self,
        search: EntrySearch,
        catalogue: Catalogue,
        *,
        policy_of: Callable[[str], Awaitable[CachePolicy]],
        providers: Callable[[], Awaitable[Collection[str]]],
        today: Callable[[], date],
        embedder: str,
    ) -> None:
        """`providers` returns those that workers serve now, which decide who would make it."""
        self._search = search
        self._catalogue = catalogue
        self._policy_of = policy_of
        self._providers = providers
        self._today = today
        self._embedder = embedder
        self._vectors: Vectors | None = None
        self._loading = asyncio.Lock()

    async def entry(self, entry_id: str) -> CacheEntry | None:
        """Return an entry, unless it has expired. Raises Unavailable."""
        return await self._search.entry(entry_id)

    async def suggest(
        self, request: GenerationRequest, context: Context | None
    ) -> Sequence[Suggestion]:
        """Return at most SUGGESTIONS_MAX, the nearest first.

        Raises NotFound (the account) and Unavailable.
        """
        policy = await self._policy_of(request.account)
        stages = possible_stages(request, has_context=bool(context))
        choice = await self._choice(request)
        vectors = await self._loaded()
        if not policy.is_enabled or not stages or choice is None or vectors is None:
            return ()
        known_by = await asyncio.to_thread(
            fingerprint,
            request,
            model=choice.model.name,
            quality=choice.quality,
            stages=stages,
            embedder=vectors.name,
            context=context,
            structured=policy.structured,
        )
        vector = await vectors.of(request.prompt) if Stage.GUARDED in stages else ()
        found = await self._candidates(tenant_of(request.account), known_by, vector)
        return await asyncio.to_thread(_judged, request.prompt, context, policy, found)

    async def _candidates(
        self, tenant: str, known_by: Fingerprint, vector: Sequence[float]
    ) -> list[Candidate]:
        known = await self._search.known(tenant, known_by)
        near: list[Candidate] = []
        if vector:
            near = await self._search.nearest(tenant, known_by, vector, SUGGESTIONS_MAX)
        by_id = {candidate.entry_id: candidate for candidate in near}
        # One of the same hash is as near as can be.
        by_id |= {candidate.entry_id: candidate for candidate in known}
        return list(by_id.values())

    async def _choice(self, request: GenerationRequest) -> Choice | None:
        """Return who would make the request; None if nobody would now."""
        try:
            return self._catalogue.choices(
                request.kind,
                request.quality,
                request.model,
                await self._providers(),
                self._today(),
                size=request.size,
                count=request.count,
                settings=request.settings,
            )[0]
        except CatalogueError:
            return None

    async def _loaded(self) -> Vectors | None:
        async with self._loading:
            if self._vectors is None:
                try:
                    self._vectors = await asyncio.to_thread(_load, self._embedder)
                except ImportError as error:
                    log.warning("embedder_missing", reason=str(error))
            return self._vectors


def _load(embedder: str) -> Vectors:
    from authority.usecases.vectors import Vectors  # noqa: PLC0415 - it is heavy, and rarely asked for

    return Vectors(embedder)


def _judged(
    prompt: str, context: Context | None, policy: CachePolicy, found: Iterable[Candidate]
) -> Sequence[Suggestion]:
    """Say of each candidate which stage finds it the same, or why none does. Takes a while."""
    made = []
    for candidate in found:
        score = _structured_score(context, policy, candidate)
        stage, why_not = _stage(prompt, candidate, score)
        score_ppm = (
            score if score is not None and stage == Stage.STRUCTURED else candidate.score_ppm
        )
        if score_ppm < SCORE_PPM_MIN:
            continue
        made.append(
            Suggestion(
                entry_id=candidate.entry_id,
                generation_id=candidate.generation_id,
                prompt=candidate.prompt,
                model=candidate.model,
                score_ppm=score_ppm,
                stage=stage,
                objection=why_not,
                saved=candidate.cost,
            )
        )
    made.sort(key=lambda near: (-near.score_ppm, near.objection != "", near.entry_id))
    return made[:SUGGESTIONS_MAX]


def _structured_score(
    context: Context | None, policy: CachePolicy, candidate: Candidate
) -> int | None:
    if policy.structured is None or not context or not candidate.context:
        return None
    other = {name: tuple(values) for name, values in candidate.context.items()}
    return compare(policy.structured, context, other)


def _stage(prompt: str, candidate: Candidate, structured_ppm: int | None) -> tuple[str, str]:
    """Return the stage that finds the two the same, and why none does: one of them is ''."""
    if candidate.is_denied:
        return "", "mismatch"
    if candidate.is_exact_only and not candidate.is_exact:
        return "", "exact_only"
    for stage, is_same in (
        (Stage.EXACT, candidate.is_exact),
        (Stage.NORMALISED, candidate.is_normalised),
        (Stage.SIGNATURE, candidate.is_signature),
        (Stage.STRUCTURED, structured_ppm is not None),
    ):
        if is_same:
            return stage, ""
    try:
        why_not = objection(read(prompt), read(candidate.prompt))
    except WordNetMissing as error:
        log.warning("dictionary_missing", reason=str(error))
        return "", "unproven"
    return ("", why_not) if why_not else (Stage.GUARDED, "")
