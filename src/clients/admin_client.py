"""Accounts, budgets, API keys, and the health of the books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2
from clients.amounts import Leg, Unit
from clients.change_types import Change
from clients.convert import (
    account_from_proto,
    budget_from_proto,
    change_from_proto,
    report_from_proto,
    status_from_proto,
)
from clients.grant_calls import GrantCalls
from clients.key_calls import KeyCalls
from clients.ledger_calls import LedgerCalls
from clients.plan_calls import PlanCalls
from clients.price_calls import PriceCalls
from clients.requests import (
    enforcement_to_proto,
    legs_to_proto,
    message,
    optional_unit_to_proto,
    policy_to_proto,
    state_to_proto,
    thresholds_to_proto,
    unit_to_proto,
    window_to_proto,
)
from clients.types import (
    Account,
    AccountState,
    AuditReport,
    Budget,
    Enforcement,
    OveragePolicy,
    Status,
    Window,
)

_PAGE_SIZE = 500
_AUDIT_SECONDS = 600.0


class AdminClient(GrantCalls, KeyCalls, PlanCalls, PriceCalls, LedgerCalls):
    """What the owners and the operators of budgets do. Errors are those of `clients.errors`.

    Making something twice is refused as AlreadyExists, so a call whose answer was lost may be
    repeated, and that error then means that it had worked.
    """

    async def create_account(
        self,
        account: str,
        *,
        parent: str = "",
        display_name: str = "",
        time_zone: str = "",
        overage_policy: OveragePolicy | None = None,
        per_request_limits: Sequence[Leg] = (),
        reserves_per_minute: int = 0,
        plan: str = "",
        reason: str = "",
    ) -> Account:
        """Make an account. `parent` is the tenant unless given, `time_zone` is UTC.

        `reason` is for the record of changes, here and in all that follows.
        """
        wanted = message(
            resources_pb2.Account,
            account=account,
            parent=parent,
            display_name=display_name,
            time_zone=time_zone,
            overage_policy=policy_to_proto(overage_policy),
            per_request_limits=legs_to_proto(per_request_limits),
            reserves_per_minute=reserves_per_minute,
            plan=plan,
        )
        request = message(messages.CreateAccountRequest, account=wanted, reason=reason)
        response = await self._call(self._stub.CreateAccount, request, repeatable=False)
        return account_from_proto(response.account)

    async def update_account(
        self,
        account: str,
        *,
        display_name: str | None = None,
        state: AccountState | None = None,
        overage_policy: OveragePolicy | None = None,
        parent: str | None = None,
        per_request_limits: Sequence[Leg] | None = None,
        reserves_per_minute: int | None = None,
        plan: str | None = None,
        reason: str = "",
    ) -> Account:
        """Change what is given; it binds the next Reserve.

        `parent` moves the account within its tenant, with all below it; open reservations stay
        where they were made. `per_request_limits` takes the place of all that there were. An empty
        `plan` takes the account out of the one that it has.
        """
        mask = _mask(
            {
                "display_name": display_name,
                "state": state,
                "overage_policy": overage_policy,
                "parent": parent,
                "per_request_limits": per_request_limits,
                "reserves_per_minute": reserves_per_minute,
                "plan": plan,
            }
        )
        wanted = message(
            resources_pb2.Account,
            account=account,
            parent=parent or "",
            display_name=display_name or "",
            state=state_to_proto(state),
            overage_policy=policy_to_proto(overage_policy),
            per_request_limits=legs_to_proto(per_request_limits or ()),
            reserves_per_minute=reserves_per_minute or 0,
            plan=plan or "",
        )
        request = message(
            messages.UpdateAccountRequest, account=wanted, update_mask=mask, reason=reason
        )
        response = await self._call(self._stub.UpdateAccount, request)
        return account_from_proto(response.account)

    async def get_account(self, account: str) -> Account:
        """Return an account."""
        request = message(messages.GetAccountRequest, account=account)
        response = await self._call(self._stub.GetAccount, request)
        return account_from_proto(response.account)

    async def list_accounts(
        self,
        *,
        tenant: str = "",
        parent: str = "",
        state: AccountState | None = None,
        descending: bool = False,
    ) -> AsyncIterator[Account]:
        """Yield accounts in the order of their ids, or the other way round.

        All of them; or those of one tenant, right below one account, or in one state.
        """
        token = ""
        while True:
            request = message(
                messages.ListAccountsRequest,
                page_size=_PAGE_SIZE,
                page_token=token,
                tenant=tenant,
                parent=parent,
                state=state_to_proto(state),
                order_by="account desc" if descending else "account",
            )
            response = await self._call(self._stub.ListAccounts, request)
            for account in response.accounts:
                yield account_from_proto(account)
            token = response.next_page_token
            if not token:
                return

    async def create_budget(
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
        response = await self._call(self._stub.CreateBudget, request, repeatable=False)
        return budget_from_proto(response.budget)

    async def update_budget(
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
        mask = _mask(
            {"limit": limit, "enforcement": enforcement, "alert_thresholds": alert_thresholds}
        )
        request = message(
            messages.UpdateBudgetRequest, budget=wanted, update_mask=mask, reason=reason
        )
        response = await self._call(self._stub.UpdateBudget, request)
        return budget_from_proto(response.budget)

    async def get_budget(self, account: str, budget: str) -> Budget:
        """Return a budget."""
        request = message(messages.GetBudgetRequest, account=account, budget=budget)
        response = await self._call(self._stub.GetBudget, request)
        return budget_from_proto(response.budget)

    async def list_budgets(
        self, *, account: str = "", unit: Unit | None = None
    ) -> AsyncIterator[Budget]:
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
            response = await self._call(self._stub.ListBudgets, request)
            for budget in response.budgets:
                yield budget_from_proto(budget)
            token = response.next_page_token
            if not token:
                return

    async def list_changes(self, *, tenant: str = "", account: str = "") -> AsyncIterator[Change]:
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
            response = await self._call(self._stub.ListChanges, request)
            for change in response.changes:
                yield change_from_proto(change)
            token = response.next_page_token
            if not token:
                return

    async def audit(self, *, tenant: str = "", timeout: float = _AUDIT_SECONDS) -> AuditReport:
        """Recompute every number of a tenant, or of all, from the ledger's entries."""
        request = message(messages.AuditRequest, tenant=tenant)
        response = await self._call(self._stub.Audit, request, timeout=timeout)
        return report_from_proto(response)

    async def get_status(self) -> Status:
        """Say how the authority, its stores, its queue and the workers are."""
        response = await self._call(self._stub.GetStatus, messages.GetStatusRequest())
        return status_from_proto(response)


def _mask(changes: Mapping[str, object]) -> FieldMask:
    return FieldMask(paths=[name for name, value in changes.items() if value is not None])
