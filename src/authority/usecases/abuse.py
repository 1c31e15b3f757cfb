"""Abuse guards: what is too much by a plan raises an alert, and may freeze the account for a time.

An operator's own freeze is no matter of theirs: it is neither made longer nor ended here.
"""

from __future__ import annotations

import asyncio

import structlog

from authority.domain.abuse import Abuse, AbuseCase, AbuseLedger, too_many
from authority.domain.errors import PaymasterError, Unavailable
from authority.domain.plans import AbusePolicy
from authority.usecases.context import Context
from authority.usecases.plans import bind

TICK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class AbuseGuard:
    """Tells cases, freezes and thaws. Safe in many processes at once: each case has one key."""

    def __init__(self, context: Context, ledger: AbuseLedger) -> None:
        self._context = context
        self._ledger = ledger

    async def run(self) -> None:
        """Look every few seconds until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.thaw()
                await self.look()
            except Unavailable as error:
                log.warning("abuse_postponed", reason=error.message)
            except Exception:
                log.exception("abuse_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def report_burst(self, account: str, policy: AbusePolicy) -> None:
        """Tell that too many submissions of an account were refused; never raises Unavailable."""
        now_ms = self._context.clock.now_ms()
        try:
            await self._report(
                AbuseCase(
                    account=account,
                    what=Abuse.BURSTS,
                    most=policy.bursts,
                    within_ms=policy.within_ms,
                    freeze_ms=policy.freeze_ms,
                    key=str(now_ms),
                    through_us=now_ms * 1000,
                )
            )
        except Unavailable as error:
            log.warning("abuse_not_told", account=account, reason=error.message)

    async def look(self) -> None:
        """Look for content that was refused too often. Raises Unavailable."""
        for account, times_us in (await self._ledger.refusals()).items():
            policy = (await self._context.policies.of(account)).abuse(account)
            if not policy.refusals:
                continue
            last_us = too_many(times_us, policy.refusals, policy.within_ms)
            if last_us is not None:
                await self._report(
                    AbuseCase(
                        account=account,
                        what=Abuse.REFUSALS,
                        most=policy.refusals,
                        within_ms=policy.within_ms,
                        freeze_ms=policy.freeze_ms,
                        key=str(last_us),
                        through_us=last_us,
                    )
                )

    async def thaw(self) -> None:
        """End the freezes whose time is over. Raises Unavailable."""
        now_ms = self._context.clock.now_ms()
        for account in await self._ledger.thawing(now_ms):
            try:
                version = await self._ledger.thaw(account, now_ms)
                if version is not None:
                    await bind(self._context, account, version)
                    log.info("account_thawed", account=account)
            except PaymasterError as error:
                if isinstance(error, Unavailable):
                    raise
                log.exception("account_not_thawed", account=account)

    async def _report(self, case: AbuseCase) -> None:
        version = await self._ledger.report(case, self._context.clock.now_ms())
        log.warning("abuse_seen", account=case.account, what=case.what, frozen=version is not None)
        if version is not None:
            await bind(self._context, case.account, version)
