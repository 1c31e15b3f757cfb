# Generated from clients/account_calls.py by tools/sync_client.py; edit that one.
"""Accounts: who may spend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.amounts import Leg
from clients.convert import account_from_proto
from clients.requests import (
    changed_mask,
    legs_to_proto,
    message,
    policy_to_proto,
    state_to_proto,
    time_to_proto,
)
from clients.sync.channel import SyncClient
from clients.types import Account, AccountState, OveragePolicy

_PAGE_SIZE = 500


class SyncAccountCalls(SyncClient):
    """The part of the admin's client that is about accounts."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    def create_account(
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
        end_time: datetime | None = None,
        submissions_per_minute: int = 0,
        reason: str = "",
    ) -> Account:
        """Make an account. `parent` is the tenant unless given, `time_zone` is UTC.

        One with an `end_time` is closed from then on, as a session is.
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
            end_time=time_to_proto(end_time),
            submissions_per_minute=submissions_per_minute,
        )
        request = message(messages.CreateAccountRequest, account=wanted, reason=reason)
        response = self._call(self._stub.CreateAccount, request, repeatable=False)
        return account_from_proto(response.account)

    def update_account(
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
        end_time: datetime | None = None,
        no_end: bool = False,
        submissions_per_minute: int | None = None,
        reason: str = "",
    ) -> Account:
        """Change what is given; it binds the next Reserve.

        `parent` moves the account within its tenant, with all below it; open reservations stay
        where they were made. `per_request_limits` takes the place of all that there were. An empty
        `plan` takes the account out of the one that it has. `no_end` takes its end away, unless it
        has come.
        """
        mask = changed_mask(
            {
                "display_name": display_name,
                "state": state,
                "overage_policy": overage_policy,
                "parent": parent,
                "per_request_limits": per_request_limits,
                "reserves_per_minute": reserves_per_minute,
                "plan": plan,
                "end_time": end_time or (no_end or None),
                "submissions_per_minute": submissions_per_minute,
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
            end_time=time_to_proto(end_time),
            submissions_per_minute=submissions_per_minute or 0,
        )
        request = message(
            messages.UpdateAccountRequest, account=wanted, update_mask=mask, reason=reason
        )
        response = self._call(self._stub.UpdateAccount, request)
        return account_from_proto(response.account)

    def get_account(self, account: str) -> Account:
        """Return an account."""
        request = message(messages.GetAccountRequest, account=account)
        response = self._call(self._stub.GetAccount, request)
        return account_from_proto(response.account)

    def list_accounts(
        self,
        *,
        tenant: str = "",
        parent: str = "",
        state: AccountState | None = None,
        descending: bool = False,
    ) -> Iterator[Account]:
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
            response = self._call(self._stub.ListAccounts, request)
            for account in response.accounts:
                yield account_from_proto(account)
            token = response.next_page_token
            if not token:
                return
