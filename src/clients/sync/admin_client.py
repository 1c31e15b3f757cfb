# Generated from clients/admin_client.py by tools/sync_client.py; edit that one.
"""Budgets, API keys, and the health of the books."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2
from clients.amounts import Unit
from clients.change_types import Change
from clients.convert import (
    budget_from_proto,
    change_from_proto,
    report_from_proto,
    status_from_proto,
)
from clients.requests import (
    changed_mask,
    enforcement_to_proto,
    message,
    optional_unit_to_proto,
    thresholds_to_proto,
    unit_to_proto,
    window_to_proto,
)
from clients.sync.account_calls import SyncAccountCalls
from clients.sync.grant_calls import SyncGrantCalls
from clients.sync.key_calls import KeyCalls
from clients.sync.ledger_calls import SyncLedgerCalls
from clients.sync.plan_calls import SyncPlanCalls
from clients.sync.price_calls import SyncPriceCalls
from clients.types import (
    AuditReport,
    Budget,
    Enforcement,
    Status,
    Window,
)

_PAGE_SIZE = 500
_AUDIT_SECONDS = 600.0


class SyncAdminClient(
    SyncAccountCalls, SyncGrantCalls, KeyCalls, SyncPlanCalls, SyncPriceCalls, SyncLedgerCalls
):
    """What the owners and the operators of budgets do. Errors are those of `clients.errors`.

    Making something twice is refused as AlreadyExists, so a call whose answer was lost may be
    repeated, and that error then means that it had worked.
    """

    def create_budget(
        self,
        account: str,
        *,
        unit: Unit,
        window: Window,
        limit: int,
        enforcement: Enforcement | None = None,
        alert_thresholds: Sequence[int] | None = None,
        budget: str = "",
        reason: str = "",
    ) -> Budget:
        """Make a budget; it binds the next Reserve. `budget` is its id, by default as `usd-day`.

        `alert_thresholds` are percents of the limit that raise alerts: 75, 80, 90 and 100 if not
        given, and none if there are none.
        """
        wanted = message(
            resources_pb2.Budget,
            account=account,
            budget=budget,
            unit=unit_to_proto(unit),
            window=window_to_proto(window),
            limit=limit,
            enforcement=enforcement_to_proto(enforcement),
            alert_thresholds=thresholds_to_proto(alert_thresholds),
        )
        request = message(messages.CreateBudgetRequest, budget=wanted, reason=reason)
        response = self._call(self._stub.CreateBudget, request, repeatable=False)
        return budget_from_proto(response.budget)

    def update_budget(
        self,
        account: str,
        budget: str,
        *,
        limit: int | None = None,
        enforcement: Enforcement | None = None,
        alert_thresholds: Sequence[int] | None = None,
        reason: str = "",
    ) -> Budget:
        """Change what is given; it binds the next Reserve."""
        wanted = message(
            resources_pb2.Budget,
            account=account,
            budget=budget,
            limit=limit or 0,
            enforcement=enforcement_to_proto(enforcement),
            alert_thresholds=thresholds_to_proto(alert_thresholds),
        )
        mask = changed_mask(
            {"limit": limit, "enforcement": enforcement, "alert_thresholds": alert_thresholds}
        )
        request = message(
            messages.UpdateBudgetRequest, budget=wanted, update_mask=mask, reason=reason
        )
        response = self._call(self._stub.UpdateBudget, request)
        return budget_from_proto(response.budget)

    def set_own_budget(self, account: str, limit: int = 0, *, reason: str = "") -> Budget:
        """Set the monthly budget that a user wants for itself; it binds the next Reserve.

        It is from 1 to 1000 USD, and at most the plan's own of a month. 0 is for the default: 10
        USD, or the plan's where that is lower.
        """
        request = message(messages.SetOwnBudgetRequest, account=account, limit=limit, reason=reason)
        response = self._call(self._stub.SetOwnBudget, request)
        return budget_from_proto(response.budget)

    def get_budget(self, account: str, budget: str) -> Budget:
        """Return a budget."""
        request = message(messages.GetBudgetRequest, account=account, budget=budget)
        response = self._call(self._stub.GetBudget, request)
        return budget_from_proto(response.budget)

    def list_budgets(self, *, account: str = "", unit: Unit | None = None) -> Iterator[Budget]:
        """Yield all budgets, those of one account, or those in one unit, by account and id."""
        token = ""
        while True:
            request = message(
                messages.ListBudgetsRequest,
                page_size=_PAGE_SIZE,
                page_token=token,
                account=account,
                unit=optional_unit_to_proto(unit),
            )
            response = self._call(self._stub.ListBudgets, request)
            for budget in response.budgets:
                yield budget_from_proto(budget)
            token = response.next_page_token
            if not token:
                return

    def list_changes(self, *, tenant: str = "", account: str = "") -> Iterator[Change]:
        """Yield who changed what, the latest first: all, those of one tenant or of one account."""
        token = ""
        while True:
            request = message(
                messages.ListChangesRequest,
                page_size=_PAGE_SIZE,
                page_token=token,
                tenant=tenant,
                account=account,
            )
            response = self._call(self._stub.ListChanges, request)
            for change in response.changes:
                yield change_from_proto(change)
            token = response.next_page_token
            if not token:
                return

    def audit(self, *, tenant: str = "", timeout: float = _AUDIT_SECONDS) -> AuditReport:
        """Recompute every number of a tenant, or of all, from the ledger's entries."""
        request = message(messages.AuditRequest, tenant=tenant)
        response = self._call(self._stub.Audit, request, timeout=timeout)
        return report_from_proto(response)

    def get_status(self) -> Status:
        """Say how the authority, its stores, its queue and the workers are."""
        response = self._call(self._stub.GetStatus, messages.GetStatusRequest())
        return status_from_proto(response)
