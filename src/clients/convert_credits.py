"""Prices in credits and credit status, from the proto's messages to the values that callers see."""

from __future__ import annotations

from authority.v1 import credits_pb2, generation_service_pb2
from clients.convert import (
    budget_balance_from_proto,
    time_from_proto,
    unit_from_proto,
    window_from_proto,
    word,
)
from clients.credit_types import Allowance, CreditPrice, CreditStatus, PriceList
from clients.generation_types import Kind


def price_list_from_proto(message: credits_pb2.PriceList) -> PriceList:
    """Return the prices."""
    return PriceList(
        version=message.version,
        prices=tuple(
            CreditPrice(
                word(Kind, generation_service_pb2.Kind, "KIND_", price.kind),
                price.tier,
                price.credits,
            )
            for price in message.prices
        ),
        reason=message.reason,
        create_time=time_from_proto(message.create_time),
    )


def credit_status_from_proto(message: credits_pb2.GetCreditStatusResponse) -> CreditStatus:
    """Return what an account has to pay with."""
    return CreditStatus(
        account=message.account,
        plan=message.plan,
        tier=message.tier,
        prepaid_units=tuple(map(unit_from_proto, message.prepaid_units)),
        allowances=tuple(
            Allowance(
                grant_id=row.grant_id,
                unit=unit_from_proto(row.unit),
                recurrence=window_from_proto(row.recurrence),
                amount=row.amount,
                available=row.available,
                reserved=row.reserved,
                reset_time=time_from_proto(row.reset_time),
            )
            for row in message.allowances
        ),
        free_images=message.free_images,
        credits=message.credits,
        paid_credits=message.paid_credits,
        reserved_credits=message.reserved_credits,
        month=budget_balance_from_proto(message.month) if message.HasField("month") else None,
        month_spend=message.month_spend,
        windows=tuple(map(budget_balance_from_proto, message.windows)),
        price_list=price_list_from_proto(message.price_list),
        read_time=time_from_proto(message.read_time),
    )
