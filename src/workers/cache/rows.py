"""What the similarity cache finds, tells and keeps. Scores are in millionths, amounts in micros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from generations.requests import GenerationRequest
from similarity.policy import CachePolicy, Stage
from similarity.scope import Fingerprint
from similarity.structured import Context
from similarity.vectors import Vector
from workers.rows import Artifact


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: by whom, under which policy, in which stages. `key` is the generation."""

    key: str
    request: GenerationRequest = field(repr=False)  # it has the prompt
    known: Fingerprint
    stages: tuple[Stage, ...]
    policy: CachePolicy
    context: Context | None = None

    @property
    def tenant(self) -> str:
        """Return the tenant: the part of the account before the slash."""
        return self.request.account.partition("/")[0]


class Candidate(NamedTuple):
    """An entry that a stage would serve. `source_id` is the generation that has made it."""

    entry_id: str
    source_id: str
    stage: str
    cost_micros: int
    score_ppm: int | None = None


class Neighbour(NamedTuple):
    """An entry of the same scope with a prompt that is near."""

    entry_id: str
    source_id: str
    cost_micros: int
    prompt: str
    score_ppm: int


class Hit(NamedTuple):
    """An entry that is served, with what was made for it."""

    candidate: Candidate
    provider: str
    model: str
    artifacts: tuple[Artifact, ...]


class Sample(NamedTuple):
    """A generation that was made though an entry would have served it, and what that has."""

    score_ppm: int | None
    made: tuple[Artifact, ...]
    other: tuple[Artifact, ...]


@dataclass(slots=True)
class Report:
    """How a generation was looked up; what is not told was not so."""

    tried: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    nearest: dict[str, Any] = field(default_factory=dict)
    held_back: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> Mapping[str, Any]:
        """Return the report, fit for JSON."""
        told = {
            "tried": self.tried,
            "skipped": self.skipped,
            "nearest": self.nearest,
            "held_back": self.held_back,
        }
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look-up has come to: an entry to be served, or one that was held back, or neither."""

    report: Report
    found: Candidate | None = None
    held_back: Candidate | None = None


class Served(NamedTuple):
    """A hit, and how it was found."""

    hit: Hit
    report: Report


class Entry(NamedTuple):
    """What the cache is to keep of a generation that has just been made."""

    fingerprint: Fingerprint
    quality: str
    cost_micros: int
    life: timedelta
    context: Context | None = None
    embedding: Vector | None = None
    embedder: str = ""
