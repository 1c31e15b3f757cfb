"""What is known of an account's past generations: their rows, and what the ledger says of them.

Amounts are micros of USD. `charged` and `refunded` are the ledger's, `actual` is what the provider
was paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.reservations import ReservationLeg
from generations.models import Kind
from generations.pricing import Usage
from generations.requests import GenerationRequest


class PastOption(NamedTuple):
    """What an attempt might have been made by, and for how much at most."""

    provider: str
    model: str
    quality: str
    estimate: int
    tier: str = ""  # its class, where it was written down
    lesser: str = ""  # why the tier that was asked for was not offered


class Counted(NamedTuple):
    """What a provider has billed for, over all that was made; None where nobody has counted."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    milliseconds: int | None = None


NOT_COUNTED = Counted()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """One try to make a generation. Times are Unix milliseconds; 0 is never.

    `reserve_ms` is when its Reserve was decided and `settle_ms` when its hold ended, by the hot
    store's clock. `option_index` is None where nothing was held, `legs` are those of what was, and
    `granted` what was charged to grants of it. `denial` is why it was denied, and by which budget.
    """

    number: int
    options: tuple[PastOption, ...]
    option_index: int | None = None
    legs: tuple[ReservationLeg, ...] = ()
    granted: tuple[tuple[Unit, int], ...] = ()
    actual: int = 0
    charged: int = 0
    refunded: int = 0
    made: int = 0
    counted: Counted = NOT_COUNTED
    is_paid: bool = False
    presumed_spent: bool = False
    error: str = ""
    denial: str = ""
    denied_by: WindowRef | None = None
    reserve_ms: int = 0
    settle_ms: int = 0

    @property
    def option(self) -> PastOption | None:
        """Return what it was made by."""
        return None if self.option_index is None else self.options[self.option_index]

    @property
    def paid(self) -> int:
        """Return what the account was charged in the end."""
        return self.charged - self.refunded


@dataclass(frozen=True, slots=True, kw_only=True)
class PastGeneration:
    """A generation that has ended, with the attempts to make it in their order.

    `cached` is how the cache has served it, '' if it was made. `is_anew` says that its sender
    wanted another one than what was there.
    """

    generation_id: str
    request: GenerationRequest = field(repr=False)  # it has the prompt
    create_ms: int
    state: str
    cached: str = ""
    saved: int = 0
    is_anew: bool = False
    has_context: bool = False
    downgraded: bool = False
    attempts: tuple[PastAttempt, ...] = ()

    @property
    def delivered(self) -> PastAttempt | None:
        """Return the attempt that has brought what was asked for, if one was paid that has."""
        if self.state != "SUCCEEDED" or self.cached:
            return None
        return next((found for found in self.attempts if found.is_paid and not found.error), None)


@dataclass(frozen=True, slots=True)
class Made:
    """A generation as one attempt has made it: what a rule looks at.

    `elsewhere` is its usage as far as that would be the same by another model or size. What the
    request says itself stays: its tokens, as near as tokenizers agree, the length of a video, how
    many were made. What a picture is made of, such as output tokens, does not.
    """

    generation: PastGeneration
    attempt: PastAttempt
    option: PastOption
    elsewhere: Usage = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "elsewhere", _elsewhere(self.request, self.attempt))

    @property
    def request(self) -> GenerationRequest:
        """Return what was asked for."""
        return self.generation.request

    @property
    def paid(self) -> int:
        """Return what the account was charged for it in the end."""
        return self.attempt.paid


def _elsewhere(request: GenerationRequest, attempt: PastAttempt) -> Usage:
    counted = attempt.counted
    if request.kind is Kind.CHAT:
        return Usage(
            text_input_tokens=counted.input_tokens, text_output_tokens=counted.output_tokens
        )
    if request.kind is Kind.VIDEO:
        if counted.milliseconds is None:
            return Usage(videos=attempt.made)
        return Usage(seconds=Decimal(counted.milliseconds).scaleb(-3))
    has_pictures = request.settings.references or request.settings.mask
    # Of a picture's input, the tokens are not told apart from those of the text.
    return Usage(
        images=attempt.made, text_input_tokens=None if has_pictures else counted.input_tokens
    )
