"""How often an alert is tried to be told, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from authority.domain.alerts import Alert, Channel, DeliveryState

GIVE_UP_MS = 86_400_000
_FIRST_DELAY_MS = 5_000
_DELAY_MS_MAX = 3_600_000
_DOUBLINGS_MAX = 20  # far behind the longest delay


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this process is to try; `is_gone` if its rule has the channel no more.

    `begin_ms` is since when it is tried: when its alert was raised, or when somebody asked for it
    to be told anew. `attempt_count` is how often that was since then.
    """

    delivery_id: str
    channel: Channel
    is_gone: bool
    attempt_count: int
    begin_ms: int
    alert: Alert


class Answer(NamedTuple):
    """What a channel has answered. `status` is 0 if nobody did.

    `is_final` is for what no further try helps; `retry_ms` is how long the receiver wants to be
    left alone, 0 if it has not said.
    """

    status: int
    answer: str = ""
    error: str = ""
    is_final: bool = False
    retry_ms: int = 0


class Outcome(NamedTuple):
    """What follows from a try."""

    state: DeliveryState
    due_ms: int


def outcome_of(
    delivery: ClaimedDelivery, answer: Answer, now_ms: int, random: Callable[[], float]
) -> Outcome:
    """Return what follows from an answer.

    Tries are farther and farther apart, up to an hour, each by as much as a fifth earlier or later,
    so that what failed together does not come again together; what has not been told a day after it
    was first tried is given up. `random` gives 0 to 1.
    """
    if not answer.error:
        return Outcome(DeliveryState.DELIVERED, now_ms)
    doublings = min(delivery.attempt_count, _DOUBLINGS_MAX)
    delay_ms = min(_FIRST_DELAY_MS * 2**doublings, _DELAY_MS_MAX)
    delay_ms = round(delay_ms * (0.8 + 0.4 * random()))
    due_ms = now_ms + max(delay_ms, min(answer.retry_ms, _DELAY_MS_MAX))
    if answer.is_final or due_ms > delivery.begin_ms + GIVE_UP_MS:
        return Outcome(DeliveryState.FAILED, now_ms)
    return Outcome(DeliveryState.PENDING, due_ms)
