"""The wiring of reconciliation."""

from __future__ import annotations

import grpc

from authority.ledger.bill_adjustments import PostgresBillStore
from authority.ledger.database import Database
from authority.rpc.reconciliation_servicer import ReconciliationServicer
from authority.rpc.shield import Shield
from authority.usecases.bills import BillContext
from authority.usecases.context import Context
from authority.usecases.locate import Locator
from authority.v1 import reconciliation_service_pb2_grpc
from authority.wiring.queues import wall_clock
from generations.catalogue import Catalogue


def make_reconciling(
    database: Database, context: Context, locator: Locator, catalogue: Catalogue
) -> BillContext:
    """Wire what compares bills with the books."""
    return BillContext(context, locator, PostgresBillStore(database), catalogue, wall_clock)


def add_reconciliation_service(server: grpc.aio.Server, bills: BillContext, shield: Shield) -> None:
    """Let a server serve ReconciliationService."""
    reconciliation_service_pb2_grpc.add_ReconciliationServiceServicer_to_server(
        ReconciliationServicer(bills, shield), server
    )
