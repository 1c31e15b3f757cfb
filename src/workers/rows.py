"""What workers read from and write to Postgres. Amounts are in micros of USD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from generations.requests import GenerationRequest
from generations.settings import Priority
from similarity.stages import Reuse
from similarity.structured import Context
from workers.steering import Steering


class AttemptState(StrEnum):
    """The life of an attempt; migration 0002 draws the arrows."""

    RESERVING = "RESERVING"
    DENIED = "DENIED"
    DISPATCHED = "DISPATCHED"
    ANSWERED = "ANSWERED"
    COMMITTED = "COMMITTED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    RELEASED = "RELEASED"


class EndState(StrEnum):
    """The final states of a generation that a worker brings about."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DENIED = "DENIED"
    CANCELLED = "CANCELLED"


OPEN_STATES = frozenset(
    {
        AttemptState.RESERVING,
        AttemptState.DISPATCHED,
        AttemptState.ANSWERED,
        AttemptState.FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to make a generation, with the upper bound of its price."""

    provider: str
    model: str
    quality: str
    estimate_micros: int
    # Its quality class; '' in what was written before there were any.
    tier: str = ""
    # The unit that its user pays with: of the kind's count, or CREDITS; '' if it does not.
    paid_by: str = ""
    credits_micros: int = 0
    # Whether there is a leg of how many are made.
    counts: bool = True
    # Why the tier that was asked for is not offered.
    lesser: str = ""


class Downgrade(NamedTuple):
    """Why a lesser tier is made than was asked for, and the budget in the way; '' for none."""

    reason: str = ""
    budget: str = ""


NOT_DOWNGRADED = Downgrade()


class Failure(NamedTuple):
    """Why an attempt has come to nothing. `retry_s` is None where another try is no use.

    `elsewhere` says that the next try is for another provider. The rest is for operators: the class
    of the error, what the provider said and its name for the call.
    """

    reason: str
    message: str
    retry_s: float | None = None
    elsewhere: bool = False
    error_class: str = ""
    error_body: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to make a generation. What is not known yet is '' or None."""

    number: int
    state: AttemptState
    options: tuple[Option, ...]
    option_index: int | None
    reservation_id: str
    remote_id: str
    dispatch_age_s: float
    actual_micros: int | None
    actual_images: int | None
    presumed_spent: bool
    failure: Failure | None
    downgrade: Downgrade = NOT_DOWNGRADED
    # As it was billed: input_tokens, output_tokens, images, milliseconds.
    usage: Mapping[str, int] = field(default_factory=dict)

    @property
    def option(self) -> Option:
        """Return the option that was held."""
        assert self.option_index is not None, "nothing was held yet"
        return self.options[self.option_index]

    @property
    def is_downgraded(self) -> bool:
        """Say whether a lesser tier was held than was asked for."""
        if not self.option.tier:
            # It was written down by a version that knew no tiers.
            return self.option_index != 0
        return bool(self.downgrade.reason)


@dataclass(frozen=True, slots=True)
class Wish:
    """How the sender of a generation would have the cache used.

    `accept_entry_id` names the entry that it would rather have than something new; '' is none.
    """

    reuse: Reuse = Reuse.BY_POLICY
    accept_entry_id: str = ""
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A generation that this worker may write, as long as nobody has claimed it after `fence`."""

    generation_id: str
    fence: int
    request: GenerationRequest = field(repr=False)  # it has the prompt
    create_time: datetime
    crash_count: int
    attempts: tuple[Attempt, ...]
    # Attempts up to this number were forgiven when it was retried by hand.
    forgiven_count: int = 0
    # It has a parent: its sender wants another one, not what is there or under way.
    is_anew: bool = False
    # Whether identical generations wait for this one.
    leads: bool = False
    wish: Wish = Wish()
    priority: Priority = Priority.NORMAL
    # From its creation to its deadline.
    lifetime: timedelta | None = None
    steering: Steering = field(default_factory=Steering, compare=False)

    @property
    def tenant(self) -> str:
        """Return the tenant: the part of the id before the slash."""
        return self.generation_id.partition("/")[0]

    @property
    def open_attempt(self) -> Attempt | None:
        """Return the attempt that an earlier run has left unsettled."""
        if self.attempts and self.attempts[-1].state in OPEN_STATES:
            return self.attempts[-1]
        return None

    @property
    def counted_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that count: all, or those since it was retried by hand."""
        return tuple(found for found in self.attempts if found.number > self.forgiven_count)

    @property
    def paid_count(self) -> int:
        """Return how many attempts were paid for and brought nothing, as far as anybody knows."""
        return sum(found.state is AttemptState.COMMITTED for found in self.counted_attempts)


class Artifact(NamedTuple):
    """A file in the artifact store; its key there is a path."""

    object_key: str
    media_type: str
    size_bytes: int
    sha256: str


class Answer(NamedTuple):
    """What has to be paid for an attempt, and what it brought: artifacts, or else a failure."""

    actual_micros: int
    actual_images: int
    artifacts: tuple[Artifact, ...] = ()
    failure: Failure | None = None
    presumed_spent: bool = False
    usage: Mapping[str, int] = MappingProxyType({})


class Settlement(NamedTuple):
    """How an attempt is closed, and what the account was charged for it."""

    attempt: Attempt
    state: AttemptState
    charged_micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a generation ends. `artifacts` are those that are not written down yet."""

    state: EndState
    provider: str = ""
    model: str = ""
    downgraded: bool = False
    downgrade: Downgrade = NOT_DOWNGRADED
    reservation_id: str | None = None
    cached: str = ""
    saved_micros: int = 0
    error_reason: str = ""
    error_message: str = ""
    dead: bool = False  # for operators to retry or discard
    shared: bool = False  # with identical generations that wait for this one
    artifacts: tuple[Artifact, ...] = ()
