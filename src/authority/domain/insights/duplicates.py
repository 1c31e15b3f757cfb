"""What was made and paid for again, though the cache had it or might have had it.

It looks for what the cache would: the same scope, and then the same prompt by its first stages,
which need no vectors. So nothing is called a duplicate here that the cache would not serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Insight, InsightKind, Sum
from similarity.policy import CachePolicy, Stage
from similarity.scope import Fingerprint, fingerprint
from similarity.stages import allowed_stages, possible_stages
from similarity.wordnet import WordNetMissing

# A signature takes a millisecond, and the others wait meanwhile.
SIGNATURES_MAX = 2_000
METHOD = (
    "Each was looked for among what the same tenant had been made before it, of the same model, "
    "quality, size, count and settings and no older than the cache keeps it, by the cache's own "
    f"rules: the same text, normalised text or, for the first {SIGNATURES_MAX}, signature. Served "
    "by the cache it would have cost nothing. What was asked for anew on purpose is left out."
)
_STAGES = (Stage.EXACT, Stage.NORMALISED, Stage.SIGNATURE)


class _Found(NamedTuple):
    stage: Stage
    key: bytes


class Duplicates:
    """Looks at what was delivered, the earliest first."""

    def __init__(self, policy: CachePolicy) -> None:
        self._policy = policy
        self._made_ms: dict[bytes, int] = {}
        self._sums: dict[tuple[str, Stage], Sum] = {}
        self._allowed: dict[tuple[str, Stage], int] = {}
        self._signatures_left = SIGNATURES_MAX
        self.paid = 0

    def add(self, made: Made) -> bool:
        """Take in a generation; say whether it is a duplicate of an earlier one."""
        generation, request = made.generation, made.request
        possible = possible_stages(request, has_context=generation.has_context)
        wanted = [stage for stage in _STAGES if stage in possible]
        known = list(self._keys(made, wanted))
        moment = generation.create_ms
        lifetime = self._policy.ttl[request.kind].total_seconds() * 1000
        for stage, key in known:
            earlier = self._made_ms.get(key)
            if earlier is not None and moment - earlier < lifetime:
                if generation.is_anew:
                    return False
                self._count(made, stage)
                return True
        self._made_ms |= {key: moment for _, key in known}
        return False

    def _count(self, made: Made, stage: Stage) -> None:
        request = made.request
        key = request.kind, stage
        self._sums.setdefault(key, Sum()).add(made.generation.generation_id, made.paid)
        self.paid += made.paid
        if stage in allowed_stages(request, self._policy):
            self._allowed[key] = self._allowed.get(key, 0) + 1

    def _keys(self, made: Made, stages: list[Stage]) -> Iterator[_Found]:
        """Yield what a generation is known by, the surest first."""
        if self._signatures_left == 0 or Stage.SIGNATURE not in stages:
            stages = [stage for stage in stages if stage is not Stage.SIGNATURE]
        else:
            self._signatures_left -= 1
        try:
            known = self._fingerprint(made, stages)
        except WordNetMissing:
            known = self._fingerprint(made, [s for s in stages if s is not Stage.SIGNATURE])
        hashes = known.exact, known.normalised, known.signature
        for stage, found in zip(_STAGES, hashes, strict=True):
            if found is not None:
                yield _Found(stage, known.scope + stage.encode() + found)

    def _fingerprint(self, made: Made, stages: list[Stage]) -> Fingerprint:
        return fingerprint(
            made.request, model=made.option.model, quality=made.option.quality, stages=stages
        )

    def insights(self) -> list[Insight]:
        """Return what duplicates have cost, by kind and by the stage that would have served."""
        return [
            Insight(
                kind=InsightKind.CACHING,
                generation_kind=kind,
                cause=stage,
                paid=made.paid,
                saved=made.saved,
                attempt_count=made.count,
                generation_ids=made.generation_ids,
                summary=self._summary(kind, stage, made.count),
                method=METHOD,
            )
            for (kind, stage), made in self._sums.items()
        ]

    def _summary(self, kind: str, stage: Stage, count: int) -> str:
        allowed = self._allowed.get((kind, stage), 0)
        if allowed == 0:
            return f"Let the cache serve {kind}s up to the stage `{stage}`: the policy does not."
        if allowed == count:
            return (
                f"Let requests for {kind}s use the cache: the policy allows the stage `{stage}`, "
                "and these were made all the same, with the cache off or before there was an entry."
            )
        return f"Let the cache serve {kind}s at the stage `{stage}` for every request."
