"""The wiring of what is looked for as time passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from authority.alerting.detectors.drift import Found, LedgerDrift
from authority.alerting.detectors.grants import ExpiringGrants
from authority.alerting.detectors.idle_holds import AccountsWithIdleHolds
from authority.alerting.detectors.projections import PassingProjections
from authority.alerting.detectors.provider_errors import FailingProviders
from authority.alerting.detectors.unusual_spend import UnusualSpend
from authority.alerting.watch import Watch
from authority.ledger.alert_retention import AlertRetention
from authority.ledger.database import Database
from authority.ledger.light_audit import LightAudit
from authority.ledger.past_use import PostgresPastUse
from authority.ledger.watching import PostgresWatch
from authority.recovery.audit import Auditor
from authority.usecases.context import Context
from authority.usecases.projection import Projections

# Books that are longer are read in part; a whole audit reads every entry there ever was.
WHOLE_AUDIT_OPERATIONS_MAX = 20_000


def make_watch(
    database_url: str,
    database: Database,
    context: Context,
    auditor: Auditor,
    tenants: Callable[[], Awaitable[Sequence[str]]],
    alerts_kept: timedelta,
) -> Watch:
    """Wire the detectors, who runs them, and for how long alerts are kept."""
    light = LightAudit(database)
    past = PostgresPastUse(database)

    async def audit(tenant: str, now_ms: int) -> Sequence[Found]:
        if await light.size(tenant) > WHOLE_AUDIT_OPERATIONS_MAX:
            return await light.audit(tenant, now_ms)
        report = await auditor.audit([tenant])
        return [difference[1:] for difference in report.differences]

    detectors = (
        ExpiringGrants(),
        PassingProjections(Projections(context, past), context.policies),
        AccountsWithIdleHolds(),
        FailingProviders(),
        UnusualSpend(past),
        LedgerDrift(audit, tenants),
    )
    store, retention = PostgresWatch(database), AlertRetention(database, alerts_kept)
    return Watch(database_url, store, context.clock, detectors, retention)
