"""AdminService: accounts and budgets."""

from __future__ import annotations

from typing import Any

import grpc

from authority.domain.ids import tenant_of
from authority.domain.money import Unit
from authority.rpc.account_requests import (
    read_account,
    read_account_change,
    read_account_filter,
    read_budget,
    read_budget_change,
    read_own_budget,
    read_unit,
)
from authority.rpc.caller import current_caller, read_cause
from authority.rpc.convert import account_to_proto, budget_to_proto
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.usecases import accounts
from authority.usecases.context import Context
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import admin_service_pb2_grpc, resources_pb2

Call = grpc.aio.ServicerContext[Any, Any]


class AccountServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """The part of AdminService that is about accounts and budgets."""

    _context: Context
    _shield: Shield

    async def CreateAccount(
        self, request: messages.CreateAccountRequest, context: Call
    ) -> messages.CreateAccountResponse:
        reader = Reader()
        account = read_account(reader, request.account)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = accounts.create_account(self._context, account, cause)
        made = await self._shield.run(work)
        return messages.CreateAccountResponse(account=account_to_proto(made))

    async def UpdateAccount(
        self, request: messages.UpdateAccountRequest, context: Call
    ) -> messages.UpdateAccountResponse:
        reader = Reader()
        account = reader.account(request.account.account, "account.account", or_platform=True)
        change = read_account_change(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = accounts.update_account(self._context, account, change, cause)
        changed = await self._shield.run(work)
        return messages.UpdateAccountResponse(account=account_to_proto(changed))

    async def GetAccount(
        self, request: messages.GetAccountRequest, context: Call
    ) -> messages.GetAccountResponse:
        reader = Reader()
        account = reader.account(request.account, or_platform=True)
        reader.finish()
        self._context.policies.forget(tenant_of(account))
        found = await self._context.policies.account(account)
        return messages.GetAccountResponse(account=account_to_proto(found))

    async def ListAccounts(
        self, request: messages.ListAccountsRequest, context: Call
    ) -> messages.ListAccountsResponse:
        reader = Reader()
        size = reader.page_size(request.page_size)
        wanted = read_account_filter(reader, request)
        descending = reader.is_descending(request.order_by, "account")
        reader.finish()
        scope = ["accounts", wanted.tenant, wanted.parent, wanted.state or "", str(descending)]
        (after,) = read_page_token(request.page_token, scope, [""])
        rows = await self._context.ledger.list_accounts(
            wanted, after, size + 1, descending=descending
        )
        page = rows[:size]
        more = make_page_token(scope, [page[-1].account]) if len(rows) > size else ""
        return messages.ListAccountsResponse(
            accounts=map(account_to_proto, page), next_page_token=more
        )

    async def CreateBudget(
        self, request: messages.CreateBudgetRequest, context: Call
    ) -> messages.CreateBudgetResponse:
        reader = Reader()
        budget = read_budget(reader, request.budget)
        cause = read_cause(reader, request.reason)
        reader.finish()
        made = await accounts.create_budget(self._context, budget, cause)
        return messages.CreateBudgetResponse(budget=budget_to_proto(made))

    async def UpdateBudget(
        self, request: messages.UpdateBudgetRequest, context: Call
    ) -> messages.UpdateBudgetResponse:
        reader = Reader()
        account = reader.account(request.budget.account, "budget.account", or_platform=True)
        budget = reader.budget(request.budget.budget, "budget.budget")
        change = read_budget_change(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        changed = await accounts.update_budget(self._context, account, budget, change, cause)
        return messages.UpdateBudgetResponse(budget=budget_to_proto(changed))

    async def SetOwnBudget(
        self, request: messages.SetOwnBudgetRequest, context: Call
    ) -> messages.SetOwnBudgetResponse:
        reader = Reader()
        account = reader.account(request.account)
        limit = read_own_budget(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = accounts.set_own_budget(self._context, account, limit, cause)
        budget = await self._shield.run(work)
        return messages.SetOwnBudgetResponse(budget=budget_to_proto(budget))

    async def GetBudget(
        self, request: messages.GetBudgetRequest, context: Call
    ) -> messages.GetBudgetResponse:
        reader = Reader()
        account = reader.account(request.account, or_platform=True)
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
            reader.account(request.account, or_platform=True)
        unit: Unit | None = None
        if request.unit != resources_pb2.UNIT_UNSPECIFIED:
            unit = read_unit(reader, "unit", request.unit)
        reader.finish()
        if request.account:
            await self._context.policies.of(request.account)
        scope = ["budgets", request.account, unit or ""]
        account, budget = read_page_token(request.page_token, scope, ["", ""])
        rows = await self._context.ledger.list_budgets(
            current_caller().bound_to, request.account, unit, (account, budget), size + 1
        )
        page = rows[:size]
        more = ""
        if len(rows) > size:
            more = make_page_token(scope, [page[-1].account, page[-1].budget])
        return messages.ListBudgetsResponse(
            budgets=map(budget_to_proto, page), next_page_token=more
        )
