"""A generation as submitters see it, and what taking one in asks of the stores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


class GenerationState(StrEnum):
    """The life of a generation: QUEUED, RUNNING, then one of the others."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DENIED = "DENIED"
    CANCELLED = "CANCELLED"


class Visibility(StrEnum):
    """Who may see what was made: callers of the tenant, or everybody who knows its URL."""

    PRIVATE = "PRIVATE"
    PUBLIC = "PUBLIC"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file made. `object_key` is where the artifact store has its bytes.

    Since `delete_time` it can be had no more.
    """

    artifact_id: str
    object_key: str
    media_type: str
    size_bytes: int
    sha256: str
    delete_time: datetime | None = None
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """A user's piece of work. Amounts are in micros of USD.

    `request` is canonical: what was submitted, with defaults filled in; `expire_after` of it is in
    milliseconds, or None, and `context` None where there is none. `stage` is a word of the
    provider's, `progress_percent` 0 to 100 or None.
    """

    generation_id: str
    request: dict[str, Any]
    requeue_number: int
    state: GenerationState
    attempt_count: int
    provider: str
    model: str
    downgraded: bool
    cached: str
    cost_micros: int
    saved_micros: int
    reservation_id: str
    error_reason: str
    error_message: str
    artifacts: tuple[Artifact, ...]
    create_time: datetime
    end_time: datetime | None
    deadline_time: datetime | None
    stage: str
    progress_percent: int | None
    favourite: bool
    visibility: Visibility
    downgrade_reason: str = ""
    downgrade_budget: str = ""

    @property
    def is_final(self) -> bool:
        """Whether its state changes no more by itself."""
        return self.state not in (GenerationState.QUEUED, GenerationState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFilter:
    """Which generations of an account to list; what is empty or 0 leaves none out.

    `start_ms` and `end_ms` bound the time of submission, the latter from above.
    """

    account: str
    kind: str = ""
    state: str = ""
    model: str = ""
    favourites_only: bool = False
    parent_id: str = ""
    start_ms: int = 0
    end_ms: int = 0


class OpenCounts(NamedTuple):
    """How many generations are not at their end."""

    queued: int
    running: int


class GenerationStore(Protocol):
    """Keeps generations. Every method raises Unavailable if the store does not answer."""

    async def insert(
        self, generation_id: str, key: str, request: dict[str, Any]
    ) -> Generation | None:
        """Add a generation, QUEUED; None if the tenant has used the key."""
        ...

    async def find_by_key(self, tenant: str, key: str) -> Generation | None:
        """Return the generation that was submitted with the key."""
        ...

    async def find(self, generation_ids: Sequence[str]) -> dict[str, Generation]:
        """Return those that exist, by id."""
        ...

    async def list_generations(
        self, wanted: GenerationFilter, before: str, limit: int
    ) -> list[Generation]:
        """Return a page, the latest first, of those older than the id `before`; all if ''."""
        ...

    async def cancel(self, generation_id: str) -> Generation | None:
        """Ask for a generation to be cancelled, which ends it if nothing is under way or held.

        Returns it, or None if it is at its end or unknown.
        """
        ...

    async def retry(self, generation_id: str) -> Generation | None:
        """Make a generation that FAILED QUEUED again, its attempts forgiven.

        Returns it, or None if it is in another state, past its deadline or unknown.
        """
        ...

    async def update(
        self, generation_id: str, *, favourite: bool | None, visibility: Visibility | None
    ) -> Generation | None:
        """Change what is not None, and return the generation; None if there is no such one."""
        ...

    async def artifact(self, artifact_id: str) -> Artifact | None:
        """Return an artifact of a generation that SUCCEEDED, if it was not deleted since."""
        ...

    async def find_artifacts(self, artifact_ids: Sequence[str]) -> dict[str, Artifact]:
        """Return those that generations which SUCCEEDED have, by id."""
        ...

    async def count_open(self) -> OpenCounts:
        """Return how many wait and how many run."""
        ...


class GenerationFeed(Protocol):
    """Says when generations change."""

    def watch(self, generation_id: str) -> AbstractContextManager[asyncio.Event]:
        """Give an event that is set at each change, and when changes may have been missed."""
        ...


class Jobs(Protocol):
    """Wakes workers up."""

    async def enqueue(self, generation: Generation) -> None:
        """Put the generation's job into its queue, if the queue can be reached; never raises.

        The row is what counts: a job that is missing is put in by the workers' reconciler.
        """
        ...
