"""The wiring of alerts."""

from __future__ import annotations

from typing import NamedTuple

import grpc

from authority.alerting.delivery import Deliveries
from authority.alerting.emails import Emails, MailServer
from authority.alerting.thresholds import ThresholdChecks
from authority.alerting.webhooks import Webhooks
from authority.config import AuthoritySettings
from authority.hotstate.clock import HotClock
from authority.ledger.alert_store import PostgresAlerts
from authority.ledger.database import Database
from authority.ledger.deliveries import PostgresDeliveries
from authority.rpc.alert_servicer import AlertServicer
from authority.rpc.shield import Shield
from authority.usecases.alerts import AlertContext
from authority.usecases.context import Context
from authority.v1 import alert_service_pb2_grpc


class Alerting(NamedTuple):
    """What raises alerts of changed budgets, and what tells all alerts."""

    context: AlertContext
    thresholds: ThresholdChecks
    deliveries: Deliveries
    webhooks: Webhooks


def make_alerting(
    settings: AuthoritySettings, database: Database, context: Context, clock: HotClock
) -> Alerting:
    """Wire what raises and tells alerts."""
    url = settings.smtp_url
    mail = MailServer.of(url.get_secret_value(), settings.smtp_from) if url else None
    webhooks = Webhooks(allow_private=settings.alerts_private)
    deliveries = Deliveries(
        PostgresDeliveries(database),
        webhooks,
        Emails(mail),
        now_ms=clock.now_ms,
        # Receivers compare it with clocks that no test has moved.
        wall_ms=lambda: clock.now_ms() - clock.offset_ms,
    )
    alerts = AlertContext(
        context,
        PostgresAlerts(database),
        deliveries,
        allow_private=settings.alerts_private,
        has_mail=mail is not None,
    )
    return Alerting(alerts, ThresholdChecks(context, database), deliveries, webhooks)


def add_alert_service(server: grpc.aio.Server, alerting: Alerting, shield: Shield) -> None:
    """Let a server serve AlertService."""
    alert_service_pb2_grpc.add_AlertServiceServicer_to_server(
        AlertServicer(alerting.context, shield), server
    )
