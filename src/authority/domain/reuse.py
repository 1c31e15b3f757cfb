"""What of the cache is near to a request, and what a request is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from authority.domain.cache import CacheEntry
from generations.requests import GenerationRequest
from similarity.scope import Fingerprint
from similarity.structured import Context

SUGGESTIONS_MAX = 5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something of the cache that is near to a request.

    `stage` finds the two the same, or `objection` says why the cache would not serve it by itself:
    one of the two is ''. `saved` is in micros of USD, the score in millionths.
    """

    entry_id: str
    generation_id: str
    prompt: str = field(repr=False)
    model: str
    score_ppm: int
    stage: str
    objection: str
    saved: int


class Candidate(NamedTuple):
    """An entry of the scope that may be near. `score_ppm` is by the cosine, or of the same hash.

    `is_denied` says that the pair was reported not to match, `is_exact_only` that the entry was.
    """

    entry_id: str
    generation_id: str
    prompt: str
    model: str
    context: Mapping[str, Sequence[str]]
    cost: int
    score_ppm: int
    is_exact: bool
    is_normalised: bool
    is_signature: bool
    is_denied: bool
    is_exact_only: bool


class EntrySearch(Protocol):
    """Finds entries of one tenant. Every method raises Unavailable."""

    async def entry(self, entry_id: str) -> CacheEntry | None:
        """Return an entry, unless it has expired."""
        ...

    async def known(self, tenant: str, known_by: Fingerprint) -> list[Candidate]:
        """Return what has a hash of the request's."""
        ...

    async def nearest(
        self, tenant: str, known_by: Fingerprint, vector: Sequence[float], limit: int
    ) -> list[Candidate]:
        """Return the nearest in the scope, by the cosine; none where the store has no vectors."""
        ...


class Near(Protocol):
    """Looks for what the cache has near a request."""

    async def suggest(
        self, request: GenerationRequest, context: Context | None
    ) -> Sequence[Suggestion]:
        """Return at most SUGGESTIONS_MAX, the nearest first. Raises Unavailable."""
        ...

    async def entry(self, entry_id: str) -> CacheEntry | None:
        """Return an entry, unless it has expired. Raises Unavailable."""
        ...


def encode_context(context: Context | None) -> dict[str, list[str]] | None:
    """Return a context fit for JSON; None for one without names."""
    return {name: list(values) for name, values in sorted(context.items())} if context else None


def decode_context(held: Mapping[str, Sequence[str]] | None) -> Context | None:
    """Return what `encode_context` wrote."""
    return {name: tuple(values) for name, values in held.items()} if held else None
