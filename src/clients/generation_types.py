"""What callers see of generations: plain, frozen values. Times are in UTC.

Every word has a value UNKNOWN, which stands for one that this client is too old to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a generation makes."""

    IMAGE = "IMAGE"
    UNKNOWN = "UNKNOWN"


class GenerationState(StrEnum):
    """The life of a generation: QUEUED, RUNNING, then one of the others."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DENIED = "DENIED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def final(self) -> bool:
        """Whether the generation has ended."""
        return self in _FINAL


_FINAL = frozenset(
    {
        GenerationState.SUCCEEDED,
        GenerationState.FAILED,
        GenerationState.DENIED,
        GenerationState.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that was made; `sha256` is in lower-case hexadecimal."""

    artifact_id: str
    media_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A user's piece of work. `cost` and `saved` are micros of USD.

    `requested_model`, `size`, `quality` and `count` are what was asked for; `provider` and `model`
    made it. `cached` is empty, `exact` or `normalised`. `end_time` is None before a final state.
    """

    generation_id: str
    account: str
    kind: Kind
    state: GenerationState
    prompt: str = field(repr=False)
    requested_model: str
    size: str
    quality: str
    count: int
    provider: str
    model: str
    downgraded: bool
    cached: str
    cost: int
    saved: int
    reservation_id: str
    error_reason: str
    error_message: str
    attempt_count: int
    artifacts: tuple[Artifact, ...]
    create_time: datetime | None
    end_time: datetime | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the price catalogue; `status` is `live`, `retiring` or `retired`."""

    provider: str
    model: str
    kind: Kind
    status: str
    retire_date: date | None
    substitute: str
    sizes: tuple[str, ...]
    qualities: tuple[str, ...]
    note: str
