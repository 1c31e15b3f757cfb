"""What callers see of generations: plain, frozen values. Times are in UTC.

Every word has a value UNKNOWN, which stands for one that this client is too old to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TypedDict


class Kind(StrEnum):
    """What a generation makes."""

    IMAGE = "IMAGE"
    CHAT = "CHAT"
    VIDEO = "VIDEO"
    UNKNOWN = "UNKNOWN"


class Priority(StrEnum):
    """Which of the generations that wait comes first; none waits for ever."""

    HIGH = "HIGH"
    NORMAL = "NORMAL"
    BATCH = "BATCH"
    UNKNOWN = "UNKNOWN"


class Role(StrEnum):
    """Who said a message of a chat."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What was said in a chat before the prompt."""

    role: Role
    content: str = field(repr=False)


class SettingsFields(TypedDict, total=False):
    """What `submit` takes by name besides the common fields: `Settings` says what each means."""

    negative_prompt: str
    seed: int | None
    steps: int | None
    style: str
    output_format: str
    references: Sequence[str]
    mask: str
    system: str
    messages: Sequence[ChatMessage]
    max_tokens: int | None
    temperature: float | None
    seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What steers a generation; empty or None is not set.

    Of images and videos: `negative_prompt`, `seed` and `style`, a preset of `list_styles`; of
    images: `steps`, `output_format` (png, webp or jpeg), `references` and `mask`, which are ids of
    artifacts; of videos: `seconds`; of chat: `system`, the `messages` said before the prompt,
    `max_tokens` of an answer, `temperature` and `seed`.
    """

    negative_prompt: str = field(default="", repr=False)
    seed: int | None = None
    steps: int | None = None
    style: str = ""
    output_format: str = ""
    references: tuple[str, ...] = ()
    mask: str = ""
    system: str = field(default="", repr=False)
    messages: tuple[ChatMessage, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    seconds: int | None = None


class Reuse(StrEnum):
    """What of the cache may serve a generation; POLICY is what the account's policy says.

    OFF neither serves nor keeps it; REFRESH keeps what is made; EXACT, NORMALISED and GUARDED are
    the deepest stage that may serve it; with SUGGEST near matches are answered in its place.
    """

    POLICY = "UNSPECIFIED"
    OFF = "OFF"
    REFRESH = "REFRESH"
    EXACT = "EXACT"
    NORMALISED = "NORMALISED"
    GUARDED = "GUARDED"
    SUGGEST = "SUGGEST"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ReuseSuggestion:
    """Something of the cache that is near to a request, to be named by `accept_entry_id`.

    `generation_id` has the artifacts. `score_ppm` is how near it is, in millionths; `stage` finds
    the two the same, or `objection` says why the cache would not serve it by itself. `saved` is
    what would be saved, in micros of USD.
    """

    entry_id: str
    generation_id: str
    prompt: str = field(repr=False)
    model: str
    score_ppm: int
    stage: str
    objection: str
    saved: int


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


class Visibility(StrEnum):
    """Who may see what was made: callers of the tenant, or everybody who knows its URL."""

    PRIVATE = "PRIVATE"
    PUBLIC = "PUBLIC"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that was made; `sha256` is in lower-case hexadecimal.

    Since `delete_time` it can be had no more, as it was older than it is to be kept.
    """

    artifact_id: str
    media_type: str
    size_bytes: int
    sha256: str
    delete_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArtifactUrl:
    """Where a browser finds an artifact, for whoever has the URL: it is a secret of its own.

    `expire_time` is when it ends; None for what is public, which has one that does not.
    """

    url: str = field(repr=False)
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Generation:
    """A user's piece of work. `cost` and `saved` are micros of USD.

    `requested_model`, `size`, `quality` and `count` are what was asked for; `provider` and `model`
    made it. `cached` is empty, a stage of the cache, `accepted` or `joined`. `end_time` is None
    before a final state. `stage` and `progress_percent` are what a running one has come to, where
    its provider tells. `downgrade_reason` says why a lesser tier was made than was asked for:
    `soft_cap`, `budget`, `grants`, `plan_tier` or `unavailable`; and `downgrade_budget` which
    budget was in the way, as `account#budget`. `warning` is what its submitter should know, such as
    that the model ends soon.
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
    settings: Settings = Settings()
    priority: Priority = Priority.NORMAL
    deadline_time: datetime | None = None
    parent_id: str = ""
    stage: str = ""
    progress_percent: int | None = None
    favourite: bool = False
    visibility: Visibility = Visibility.PRIVATE
    reuse: Reuse = Reuse.POLICY
    accept_entry_id: str = ""
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    downgrade_reason: str = ""
    downgrade_budget: str = ""
    replayed: bool = False
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the price catalogue; `status` is `live`, `retiring` or `retired`.

    `settings` names the fields of Settings that it takes, besides `style` and `max_tokens`.
    """

    provider: str
    model: str
    kind: Kind
    status: str
    retire_date: date | None
    substitute: str
    sizes: tuple[str, ...]
    qualities: tuple[str, ...]
    note: str
    settings: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Style:
    """A style preset: what it adds to the prompt, and to the negative prompt where one is taken."""

    name: str
    suffix: str
    negative_prompt: str
    note: str
