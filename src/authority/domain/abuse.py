"""What looks like abuse: content refused again and again, or bursts of submissions.

What is watched, and whether the account is frozen for a time, is its plan's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.ids import tenant_of

_MINUTE_MS = 60_000


class Abuse(StrEnum):
    """What was too much."""

    REFUSALS = "refusals"
    BURSTS = "bursts"


class AbuseCase(NamedTuple):
    """So many within a time. `key` makes it one case; `through_us` is when the last one was."""

    account: str
    what: Abuse
    most: int
    within_ms: int
    freeze_ms: int
    key: str
    through_us: int

    def alert(self, now_ms: int) -> NewAlert:
        """Return the alert to be raised."""
        minutes = self.within_ms / _MINUTE_MS
        things = {
            Abuse.REFUSALS: "generations were refused for their content",
            Abuse.BURSTS: "submissions were refused for their rate",
        }
        frozen = (
            f" It is frozen for {self.freeze_ms / _MINUTE_MS:g} minutes." if self.freeze_ms else ""
        )
        return NewAlert(
            kind=AlertKind.ABUSE,
            tenant=tenant_of(self.account),
            account=self.account,
            dedup_key=f"{self.what}:{self.account}:{self.key}",
            severity=Severity.CRITICAL if self.freeze_ms else Severity.WARNING,
            summary=f"{self.most} {things[self.what]} of {self.account} within {minutes:g}"
            f" minutes.{frozen}",
            details={
                "what": self.what,
                "count": self.most,
                "within_ms": self.within_ms,
                "freeze_ms": self.freeze_ms,
                "through_us": self.through_us,
            },
            raise_time=datetime.fromtimestamp(now_ms / 1000, UTC),
        )


def too_many(times_us: Sequence[int], most: int, within_ms: int) -> int | None:
    """Return when there were `most` within a time, by times in order; None if there never were."""
    for first, last in zip(times_us, times_us[most - 1 :], strict=False):
        if last - first <= within_ms * 1000:
            return last
    return None


class AbuseLedger(Protocol):
    """Where cases are told and accounts frozen. Every method raises Unavailable."""

    async def report(self, case: AbuseCase, now_ms: int) -> int | None:
        """Raise a case's alert, once, and freeze the account for as long as it says.

        Return the new version of the policy if it was frozen; not if somebody else has frozen it.
        """
        ...

    async def refusals(self) -> Mapping[str, Sequence[int]]:
        """Return when content was refused within a day and since the last case, by account."""
        ...

    async def thawing(self, now_ms: int) -> list[str]:
        """Return the accounts whose freeze is over."""
        ...

    async def thaw(self, account: str, now_ms: int) -> int | None:
        """End a freeze that is over; return the new version of the policy, None if it is not."""
        ...
