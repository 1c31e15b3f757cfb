"""Accounts that have spent far more today than on such a day of the week before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

from authority.alerting.detectors.base import MINUTE_MS, PAGE, Look, Schedule
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.ids import tenant_of
from authority.domain.money import Unit, amount_text
from authority.domain.outliers import Bounds, Unusual, unusual
from authority.domain.past_days import local_day, same_weekdays
from authority.domain.past_use import PastUse
from authority.domain.watching import DaySpend

_ACCOUNTS_MAX = 20 * PAGE


class UnusualSpend:
    """An account is told once a day of its own time zone; a tenant's counts with all below it.

    What was spent so far is held against whole days: it only grows, so the day that is over and the
    first look that finds it say the same, and looking often makes no alarm more likely.
    """

    schedule = Schedule("unusual_spend", 5 * MINUTE_MS)

    def __init__(self, past: PastUse) -> None:
        self._past = past

    async def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        least = look.widest("unusual_spend.micros", largest=False)
        found = await look.store.spent_today(look.now, max(1, least), _ACCOUNTS_MAX)
        params = await look.params(AlertKind.UNUSUAL_SPEND, [spend.account for spend in found])
        groups: defaultdict[tuple[str, int], list[DaySpend]] = defaultdict(list)
        for spend in found:
            groups[spend.time_zone, params[spend.account]["weeks"]].append(spend)
        for (time_zone, weeks), spends in groups.items():
            days = same_weekdays(time_zone, look.now_ms, weeks)
            for start in range(0, len(spends), PAGE):
                page = spends[start : start + PAGE]
                usual = await self._past.charged_by_each([spend.account for spend in page], days)
                for spend in page:
                    said = _judge(spend, usual[spend.account], params[spend.account])
                    if said is not None:
                        yield _alert(spend, said, look)


def _judge(spend: DaySpend, days: Sequence[int], params: Mapping[str, int]) -> Unusual | None:
    bounds = Bounds(
        score=params["score"],
        percent_of_highest=params["percent_of_highest"],
        amount=params["micros"],
        days=params["weeks"] - params["weeks"] // 4,
    )
    # Weeks before the first use are no history.
    first = next((at for at, day in enumerate(days) if day), len(days))
    return unusual(spend.charged, days[first:], bounds)


def _alert(spend: DaySpend, said: Unusual, look: Look) -> NewAlert:
    day = local_day(spend.time_zone, look.now_ms)
    usual = amount_text(round(said.median), Unit.USD)
    return NewAlert(
        kind=AlertKind.UNUSUAL_SPEND,
        tenant=tenant_of(spend.account),
        account=spend.account,
        dedup_key=f"{spend.account}:{day}",
        severity=Severity.WARNING,
        summary=(
            f"{spend.account} has spent {amount_text(spend.charged, Unit.USD)} on {day};"
            f" on a {day:%A} it is {usual}, and {amount_text(said.highest, Unit.USD)} at most."
        ),
        details={
            "day": str(day),
            "charged": spend.charged,
            "median": round(said.median),
            "highest": said.highest,
            "score": round(said.score),
        },
        raise_time=look.now,
    )
