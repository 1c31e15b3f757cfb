"""Cases of abuse in Postgres: told once, and accounts frozen for a time by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from authority.domain.abuse import AbuseCase
from authority.domain.budgets import Account, AccountState
from authority.domain.callers import Cause
from authority.domain.changes import make_change
from authority.ledger.accounts import AccountStore, Changing
from authority.ledger.alerts import raise_alert
from authority.ledger.queries import statements

_SQL = statements("abuse.sql")
_ACTOR = "abuse guard"


class PostgresAbuse(AccountStore):
    """Implements `domain.abuse.AbuseLedger`."""

    async def report(self, case: AbuseCase, now_ms: int) -> int | None:
        """Raise a case's alert, once, and freeze the account for as long as it says."""
        async with self._changing(case.account) as changing:
            if not await raise_alert(changing.connection, case.alert(now_ms)):
                return None
            before = await changing.account(case.account)
            if not case.freeze_ms or before.state is not AccountState.ACTIVE:
                return None
            after = replace(
                before, state=AccountState.FROZEN, freeze_end_ms=now_ms + case.freeze_ms
            )
            why = f"{case.most} {case.what} within {case.within_ms // 1000} s"
            await _put(changing, before, after, why, now_ms)
        return changing.version

    async def refusals(self) -> Mapping[str, Sequence[int]]:
        """Return when content was refused within a day and since the last case, by account."""
        rows = await self.database.rows(_SQL["refusals"], {})
        return {row["account"]: row["times_us"] for row in rows}

    async def thawing(self, now_ms: int) -> list[str]:
        """Return the accounts whose freeze is over."""
        rows = await self.database.rows(_SQL["thawing"], {"now_ms": now_ms})
        return [row["account"] for row in rows]

    async def thaw(self, account: str, now_ms: int) -> int | None:
        """End a freeze that is over; return the new version of the policy, None if it is not."""
        async with self._changing(account) as changing:
            before = await changing.account(account)
            if not 0 < before.freeze_end_ms <= now_ms:
                return None
            after = replace(before, state=AccountState.ACTIVE, freeze_end_ms=0)
            await _put(changing, before, after, "the time of the freeze is over", now_ms)
        return changing.version


async def _put(changing: Changing, before: Account, after: Account, why: str, now_ms: int) -> None:
    parameters = {
        "account": after.account,
        "state": after.state,
        "freeze_end_ms": after.freeze_end_ms,
    }
    await changing.connection.execute(_SQL["freeze_account"], parameters)
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    change = make_change("UpdateAccount", Cause(_ACTOR, why), before, after, moment)
    await changing.record(change)
