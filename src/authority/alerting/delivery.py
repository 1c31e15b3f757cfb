"""Tells alerts: by webhooks, by e-mail and in the log, at least once each.

Every alert and channel is a row in the ledger. Whoever tries one has it for LEASE_MS; a process
that dies in a try leaves it to the others after that, and they tell it under the same id, by which
a receiver knows that it has had it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import SystemRandom

import structlog

from authority.alerting.emails import Emails
from authority.alerting.webhooks import Webhooks
from authority.domain.alerts import HEAD_START_MS, Alert, Attempt, ChannelType
from authority.domain.deliveries import Answer, ClaimedDelivery, outcome_of
from authority.domain.errors import Unavailable
from authority.ledger.deliveries import PostgresDeliveries

TICK_SECONDS = 1.0
LEASE_MS = 30_000
# Less than the lease, so that no two processes tell the same at the same time.
_TRY_SECONDS_MAX = 20.0
_AT_ONCE = 32
_AT_ONCE_BY_CHANNEL = 4
_AT_ONCE_BY_TENANT = 8
_TESTS_AT_ONCE = 2

log = structlog.get_logger(__name__)


class Deliveries:
    """Safe in many processes at once."""

    def __init__(
        self,
        store: PostgresDeliveries,
        webhooks: Webhooks,
        emails: Emails,
        *,
        now_ms: Callable[[], int],
        wall_ms: Callable[[], int],
    ) -> None:
        """`now_ms` decides what is due; `wall_ms` is what receivers compare their clocks with."""
        self._store = store
        self._webhooks = webhooks
        self._emails = emails
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self._random = SystemRandom().random
        self._testing = asyncio.Semaphore(_TESTS_AT_ONCE)

    async def run(self) -> None:
        """Tell what is due until cancelled. A store that is away is tried again."""
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    for delivery in await self._claim(_AT_ONCE - len(under_way)):
                        task = group.create_task(self._try(delivery))
                        under_way.add(task)
                        task.add_done_callback(under_way.discard)
                except Unavailable as error:
                    log.warning("deliveries_postponed", reason=error.message)
                except Exception:
                    log.exception("deliveries_failed")
                if under_way:
                    # What has ended makes room for what is behind it.
                    await asyncio.wait(
                        under_way, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                else:
                    await asyncio.sleep(TICK_SECONDS)

    async def deliver(self, alert_id: str) -> None:
        """Try each delivery of a test now, and wait for it. Raises Unavailable."""
        # However many are tried, their connections leave room for alerts.
        async with self._testing:
            claimed = await self._claim(_AT_ONCE, alert_id, HEAD_START_MS)
            async with asyncio.TaskGroup() as group:
                for delivery in claimed:
                    group.create_task(self._try(delivery))

    async def _claim(
        self, limit: int, alert_id: str = "", ahead_ms: int = 0
    ) -> list[ClaimedDelivery]:
        if limit <= 0:
            return []
        return await self._store.claim(
            self._now_ms() + ahead_ms,
            lease_ms=LEASE_MS,
            limit=limit,
            of_channel=_AT_ONCE_BY_CHANNEL,
            of_tenant=_AT_ONCE_BY_TENANT,
            alert_id=alert_id,
        )

    async def _try(self, delivery: ClaimedDelivery) -> None:
        """Tell one, and write down what became of it; who can't leaves it to the next."""
        start = time.monotonic()
        try:
            async with asyncio.timeout(_TRY_SECONDS_MAX):
                answer = await self._tell(delivery)
        except TimeoutError:
            answer = Answer(0, error=f"no answer within {_TRY_SECONDS_MAX:.0f} seconds")
        except Exception as error:
            log.exception("delivery_failed", delivery_id=delivery.delivery_id)
            answer = Answer(0, error=f"a fault of the authority's own: {type(error).__name__}")
        latency_ms = round((time.monotonic() - start) * 1000)
        now_ms = self._now_ms()
        attempt = Attempt(now_ms, answer.status, latency_ms, answer.answer, answer.error)
        outcome = outcome_of(delivery, answer, now_ms, self._random)
        try:
            await self._store.end(delivery.delivery_id, attempt, outcome)
        except Unavailable as error:
            log.warning(
                "delivery_not_recorded", delivery_id=delivery.delivery_id, reason=error.message
            )

    async def _tell(self, delivery: ClaimedDelivery) -> Answer:
        if delivery.is_gone:
            return Answer(0, error="the rule has no such channel any more", is_final=True)
        match delivery.channel.type:
            case ChannelType.WEBHOOK:
                return await self._webhooks.tell(delivery, self._wall_ms() // 1000)
            case ChannelType.EMAIL:
                return await self._emails.tell(delivery)
            case ChannelType.LOG:
                _write(delivery.alert)
                return Answer(0)


def _write(alert: Alert) -> None:
    log.warning(
        "alert_raised",
        alert_id=alert.alert_id,
        kind=alert.kind,
        account=alert.account,
        severity=alert.severity,
        summary=alert.summary,
        details=dict(alert.details),
    )
