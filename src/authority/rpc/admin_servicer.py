"""AdminService: accounts, budgets, the audit, and how things are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import grpc

from authority.domain.budgets import Account, AccountState, Budget, Enforcement, OveragePolicy
from authority.domain.errors import NotFound
from authority.domain.ids import PLATFORM, is_account, tenant_of
from authority.domain.money import Unit
from authority.domain.windows import Window
from authority.recovery.audit import Report
from authority.recovery.rebuild import Rebuilt
from authority.rpc.api_key_servicing import ApiKeyServicing
from authority.rpc.caller import current_caller
from authority.rpc.convert import account_to_proto, budget_to_proto
from authority.rpc.grant_servicing import GrantServicing
from authority.rpc.ledger_servicing import LedgerServicing
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader, enum_name
from authority.rpc.shield import Shield
from authority.usecases import accounts
from authority.usecases.api_keys import ApiKeys
from authority.usecases.context import Context
from authority.usecases.past import Past
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2

Call = grpc.aio.ServicerContext[Any, Any]
_DISPLAY_NAME_LENGTH_MAX = 128
_NOT_YET = datetime.fromtimestamp(0, UTC)


class AdminServicer(ApiKeyServicing, GrantServicing, LedgerServicing):
    """What the owners and the operators of budgets do."""

    def __init__(
        self,
        context: Context,
        audit: Callable[[str], Awaitable[Report]],
        status: Callable[[], Awaitable[messages.GetStatusResponse]],
        api_keys: ApiKeys,
        shield: Shield,
        past: Past,
        rebuild: Callable[[str], Awaitable[Rebuilt]],
    ) -> None:
        super().__init__(api_keys)
        self._past = past
        self._rebuild = rebuild
        self._context = context
        self._shield = shield
        self._audit = audit
        self._status = status

    async def CreateAccount(
        self, request: messages.CreateAccountRequest, context: Call
    ) -> messages.CreateAccountResponse:
        made = await accounts.create_account(self._context, _read_account(request.account))
        return messages.CreateAccountResponse(account=account_to_proto(made))

    async def UpdateAccount(
        self, request: messages.UpdateAccountRequest, context: Call
    ) -> messages.UpdateAccountResponse:
        reader = Reader()
        wanted = request.account
        account = reader.account(wanted.account, "account.account")
        mask = reader.mask(request.update_mask, {"display_name", "state", "overage_policy"})
        name = _read_display_name(reader, wanted.display_name)
        state = overage = None
        if "state" in mask:
            state = _read_state(reader, wanted.state, None)
        if "overage_policy" in mask:
            overage = _read_overage(reader, wanted.overage_policy, None)
        reader.finish()
        changed = await accounts.update_account(
            self._context,
            account,
            display_name=name if "display_name" in mask else None,
            state=state,
            overage_policy=overage,
        )
        return messages.UpdateAccountResponse(account=account_to_proto(changed))

    async def GetAccount(
        self, request: messages.GetAccountRequest, context: Call
    ) -> messages.GetAccountResponse:
        reader = Reader()
        account = reader.account(request.account)
        reader.finish()
        self._context.policies.forget(tenant_of(account))
        found = await self._context.policies.account(account)
        return messages.GetAccountResponse(account=account_to_proto(found))

    async def ListAccounts(
        self, request: messages.ListAccountsRequest, context: Call
    ) -> messages.ListAccountsResponse:
        reader = Reader()
        size = reader.page_size(request.page_size)
        if request.tenant:
            reader.tenant(request.tenant)
        reader.finish()
        scope = ["accounts", request.tenant]
        (after,) = read_page_token(request.page_token, scope, [""])
        rows = await self._context.ledger.list_accounts(request.tenant, after, size + 1)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].account]) if len(rows) > size else ""
        return messages.ListAccountsResponse(
            accounts=map(account_to_proto, page), next_page_token=more
        )

    async def CreateBudget(
        self, request: messages.CreateBudgetRequest, context: Call
    ) -> messages.CreateBudgetResponse:
        made = await accounts.create_budget(self._context, _read_budget(request.budget))
        return messages.CreateBudgetResponse(budget=budget_to_proto(made))

    async def UpdateBudget(
        self, request: messages.UpdateBudgetRequest, context: Call
    ) -> messages.UpdateBudgetResponse:
        reader = Reader()
        wanted = request.budget
        account = reader.account(wanted.account, "budget.account")
        budget = reader.budget(wanted.budget, "budget.budget")
        mask = reader.mask(request.update_mask, {"limit", "enforcement"})
        limit = enforcement = None
        if "limit" in mask:
            limit = reader.amount("budget.limit", wanted.limit, least=0)
        if "enforcement" in mask:
            enforcement = _read_enforcement(reader, wanted.enforcement, None)
        reader.finish()
        changed = await accounts.update_budget(
            self._context, account, budget, limit=limit, enforcement=enforcement
        )
        return messages.UpdateBudgetResponse(budget=budget_to_proto(changed))

    async def GetBudget(
        self, request: messages.GetBudgetRequest, context: Call
    ) -> messages.GetBudgetResponse:
        reader = Reader()
        account = reader.account(request.account)
        budget = reader.budget(request.budget)
        reader.finish()
        self._context.policies.forget(tenant_of(account))
        found = await accounts.get_budget(self._context, account, budget)
        return messages.GetBudgetResponse(budget=budget_to_proto(found))

    async def ListBudgets(
        self, request: messages.ListBudgetsRequest, context: Call
    ) -> messages.ListBudgetsResponse:
        reader = Reader()
        size = reader.page_size(request.page_size)
        if request.account:
            reader.account(request.account)
        reader.finish()
        if request.account:
            await self._context.policies.of(request.account)
        scope = ["budgets", request.account]
        account, budget = read_page_token(request.page_token, scope, ["", ""])
        rows = await self._context.ledger.list_budgets(
            current_caller().bound_to, request.account, (account, budget), size + 1
        )
        page = rows[:size]
        more = ""
        if len(rows) > size:
            more = make_page_token(scope, [page[-1].account, page[-1].budget])
        return messages.ListBudgetsResponse(
            budgets=map(budget_to_proto, page), next_page_token=more
        )

    async def Audit(self, request: messages.AuditRequest, context: Call) -> messages.AuditResponse:
        if request.tenant:
            reader = Reader()
            reader.tenant(request.tenant)
            reader.finish()
            if await self._context.ledger.policy(request.tenant) is None:
                raise NotFound("tenant", request.tenant)
        report = await self._audit(request.tenant)
        return messages.AuditResponse(
            differences=[messages.AuditDifference(**row._asdict()) for row in report.differences],
            tenant_count=report.tenant_count,
            operation_count=report.operation_count,
            window_count=report.window_count,
            reservation_count=report.reservation_count,
        )

    async def GetStatus(
        self, request: messages.GetStatusRequest, context: Call
    ) -> messages.GetStatusResponse:
        return await self._status()


def _read_account(message: resources_pb2.Account) -> Account:
    reader = Reader()
    account = reader.account(message.account, "account.account")
    made = Account(
        account=account,
        parent=_read_parent(reader, account, message.parent),
        display_name=_read_display_name(reader, message.display_name),
        time_zone=reader.time_zone("account.time_zone", message.time_zone),
        state=_read_state(reader, message.state, AccountState.ACTIVE),
        overage_policy=_read_overage(reader, message.overage_policy, OveragePolicy.AVAILABLE),
        create_time=_NOT_YET,
    )
    reader.finish()
    return made


def _read_parent(reader: Reader, account: str, parent: str) -> str:
    """Read the account above; by default the tenant, or the platform for a tenant."""
    tenant = tenant_of(account)
    if account == tenant:
        if parent not in {"", PLATFORM}:
            reader.wrong("account.parent", "a tenant's parent is `platform`")
        return PLATFORM
    if parent:
        if not is_account(parent) or tenant_of(parent) != tenant:
            reader.wrong("account.parent", "must be the account's tenant or an account below that")
        elif parent == account:
            reader.wrong("account.parent", "must be another account")
    return parent or tenant


def _read_budget(message: resources_pb2.Budget) -> Budget:
    reader = Reader()
    account = reader.account(message.account, "budget.account")
    unit_name = enum_name(resources_pb2.Unit, message.unit)
    unit = reader.word("budget.unit", "UNIT", unit_name, Unit, None)
    window_name = enum_name(resources_pb2.Window, message.window)
    window = reader.word("budget.window", "WINDOW", window_name, Window, None)
    made = Budget(
        key=0,
        account=account,
        budget=reader.budget(message.budget or f"{unit}-{window}".lower(), "budget.budget"),
        unit=unit,
        window=window,
        limit=reader.amount("budget.limit", message.limit, least=0),
        enforcement=_read_enforcement(reader, message.enforcement, Enforcement.BLOCK),
        create_time=_NOT_YET,
        update_time=_NOT_YET,
    )
    reader.finish()
    return made


def _read_display_name(reader: Reader, name: str) -> str:
    return reader.text("account.display_name", name, _DISPLAY_NAME_LENGTH_MAX)


def _read_state(reader: Reader, number: int, default: AccountState | None) -> AccountState:
    name = enum_name(resources_pb2.AccountState, number)
    return reader.word("account.state", "ACCOUNT_STATE", name, AccountState, default)


def _read_overage(reader: Reader, number: int, default: OveragePolicy | None) -> OveragePolicy:
    name = enum_name(resources_pb2.OveragePolicy, number)
    return reader.word("account.overage_policy", "OVERAGE_POLICY", name, OveragePolicy, default)


def _read_enforcement(reader: Reader, number: int, default: Enforcement | None) -> Enforcement:
    name = enum_name(resources_pb2.Enforcement, number)
    return reader.word("budget.enforcement", "ENFORCEMENT", name, Enforcement, default)
