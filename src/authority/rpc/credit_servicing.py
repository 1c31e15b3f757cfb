"""UsageService: what an account has to pay with."""

from __future__ import annotations

from typing import Any

import grpc

from authority.domain.money import Unit
from authority.rpc.convert import balance_to_proto, set_time, unit_to_proto, window_to_proto
from authority.rpc.price_servicing import price_list_to_proto
from authority.rpc.requests import Reader
from authority.usecases.context import Context
from authority.usecases.credits import CreditStatus, credit_status
from authority.usecases.grants import GrantBalance
from authority.v1 import credits_pb2 as messages
from authority.v1 import usage_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class CreditServicing(usage_service_pb2_grpc.UsageServiceServicer):
    """The part of UsageService that is about what an account has to pay with."""

    _context: Context

    async def GetCreditStatus(
        self, request: messages.GetCreditStatusRequest, context: Call
    ) -> messages.GetCreditStatusResponse:
        reader = Reader()
        account = reader.account(request.account)
        reader.finish()
        return credit_status_to_proto(await credit_status(self._context, account))


def credit_status_to_proto(status: CreditStatus) -> messages.GetCreditStatusResponse:
    """Return the proto's message."""
    month = status.month
    message = messages.GetCreditStatusResponse(
        account=status.account,
        plan=status.plan,
        tier=status.tier,
        prepaid_units=[unit_to_proto(unit) for unit in Unit if unit in status.prepaid_units],
        allowances=map(_allowance, status.allowances),
        free_images=status.free_images,
        credits=status.credits,
        paid_credits=status.paid_credits,
        reserved_credits=status.reserved_credits,
        month=balance_to_proto(month) if month else None,
        month_spend=month.counts.committed - month.counts.refunded if month else 0,
        windows=map(balance_to_proto, status.balance.budgets),
        price_list=price_list_to_proto(status.price_list),
    )
    set_time(message.read_time, status.balance.read_ms)
    return message


def _allowance(balance: GrantBalance) -> messages.Allowance:
    grant = balance.lot.grant
    message = messages.Allowance(
        grant_id=grant.grant_id,
        unit=unit_to_proto(grant.unit),
        recurrence=window_to_proto(grant.recurrence),
        amount=grant.amount,
        available=balance.left,
        reserved=balance.counts.reserved,
    )
    set_time(message.reset_time, balance.lot.span.end_ms)
    return message
