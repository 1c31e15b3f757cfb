"""What every detector is, and what it works with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from authority.domain.alert_params import RuleParams, params_of, widest
from authority.domain.alerts import AlertKind, NewAlert
from authority.domain.watching import WatchStore

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
# Rows that are looked at together; there may be many such pages.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Look:
    """One look of a detector: the time by the hot store's clock, and what rules set by then."""

    store: WatchStore
    now_ms: int
    rules: tuple[RuleParams, ...]

    @property
    def now(self) -> datetime:
        """Return the time."""
        return moment(self.now_ms)

    def widest(self, name: str, *, largest: bool = True) -> int:
        """Return the largest or the least that a param is for anybody."""
        return widest(name, self.rules, largest=largest)

    async def params(self, kind: AlertKind, accounts: list[str]) -> Mapping[str, Mapping[str, int]]:
        """Return the params of a kind for accounts that there are."""
        chains = await self.store.chains(accounts)
        return {account: params_of(kind, chain, self.rules) for account, chain in chains.items()}


class Schedule(NamedTuple):
    """The name of a detector, and how often it looks."""

    name: str
    every_ms: int


class Detector(Protocol):
    """Looks for one kind of case. A case that was told before may be found again."""

    schedule: Schedule

    def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        ...


def moment(milliseconds: int) -> datetime:
    """Return Unix milliseconds as a time, to the second."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)
