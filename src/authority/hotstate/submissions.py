"""Rates of submissions in the hot store."""

from __future__ import annotations

from collections.abc import Sequence

from authority.domain.ports import Verdict
from authority.domain.submissions import Bursts, Rate, Taken
from authority.hotstate.scripts import Script
from authority.hotstate.store import HotStore


class HotSubmissionRates:
    """Implements `domain.submissions.SubmissionRates`."""

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot

    async def take(
        self, tenant: str, idempotency_key: str, rates: Sequence[Rate], bursts: Bursts
    ) -> Taken | None:
        """Take one from each rate, all or none; None if this process must enter the epoch first."""
        keys = self._hot.keys(tenant)
        names = [
            keys.admitted(idempotency_key),
            keys.bursts(bursts.account),
            *(keys.submissions(rate.subject) for rate in rates),
        ]
        arguments = [self._hot.clock.offset_ms, bursts.most, bursts.within_ms]
        arguments += [rate.per_minute for rate in rates]
        verdict, *detail = await self._hot.call(Script.SUBMIT, names, arguments)
        if verdict == Verdict.NOT_LOADED:
            return None
        if verdict == Verdict.DONE:
            return Taken()
        is_burst, *waits = detail
        return Taken([int(wait) for wait in waits], is_burst == "1")
