"""Reads when budgets are to raise alerts."""

from __future__ import annotations

from typing import Literal, Protocol

from authority.domain.alerts import DEFAULT_THRESHOLDS, THRESHOLD_MAX, THRESHOLDS_MAX
from authority.rpc.requests import Reader
from authority.v1 import resources_pb2


class HasThresholds(Protocol):
    """A budget, or the budget of a plan."""

    @property
    def alert_thresholds(self) -> resources_pb2.AlertThresholds:
        """Return the field's value."""

    def HasField(self, field_name: Literal["alert_thresholds"], /) -> bool: ...


def read_thresholds(reader: Reader, field: str, message: HasThresholds) -> tuple[int, ...]:
    """Read `alert_thresholds` of a message, in order; the default if it is not set."""
    if not message.HasField("alert_thresholds"):
        return DEFAULT_THRESHOLDS
    percents = message.alert_thresholds.percents
    is_known = all(1 <= percent <= THRESHOLD_MAX for percent in percents)
    if not is_known or len(percents) > THRESHOLDS_MAX or len(set(percents)) < len(percents):
        reader.wrong(
            field,
            f"must be at most {THRESHOLDS_MAX} percentages from 1 to {THRESHOLD_MAX}, each once",
        )
    return tuple(sorted(percents))
