"""What the emulator has been asked, in order, and what it would have billed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

UNANSWERED = "unanswered"


@dataclass(slots=True)
class Call:
    """One call. `seconds` is when it came, since the start; `outcome` is what became of it.

    `signed` is whether it carried a key, right or wrong; `attempt` is the caller's own id of the
    call. The bill stands at the call that asked for the work.
    """

    number: int
    seconds: float
    provider: str
    step: str
    method: str
    path: str
    signed: bool
    model: str = ""
    prompt: str = ""
    attempt: str = ""
    outcome: str = UNANSWERED
    status: int | None = None
    billed_micros: int = 0
    billed_units: str = ""


class Journal:
    """Every call since the start."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def next_number(self) -> int:
        """Return the number of the next call."""
        return len(self._calls) + 1

    def add(self, call: Call) -> None:
        """Note a call that has just come; the rest is filled in as it becomes known."""
        self._calls.append(call)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the calls in the order in which they came."""
        return [asdict(call) for call in self._calls]
