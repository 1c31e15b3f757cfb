"""AdminService: the prices in credits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

from authority.domain.prices import PRICE_CREDITS_MAX, PRICES_MAX, CreditPrice, PriceList
from authority.rpc.caller import read_cause
from authority.rpc.requests import Reader, enum_name
from authority.usecases.context import Context
from authority.usecases.plans import now
from authority.v1 import admin_service_pb2_grpc, generation_service_pb2
from authority.v1 import credits_pb2 as messages
from generations.models import Kind, Quality

Call = grpc.aio.ServicerContext[Any, Any]


class PriceServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """The part of AdminService that is about prices in credits."""

    _context: Context

    async def GetPriceList(
        self, request: messages.GetPriceListRequest, context: Call
    ) -> messages.GetPriceListResponse:
        reader = Reader()
        version = _read_version(reader, "version", request.version)
        reader.finish()
        found = await self._context.ledger.price_list(version)
        return messages.GetPriceListResponse(price_list=price_list_to_proto(found))

    async def UpdatePriceList(
        self, request: messages.UpdatePriceListRequest, context: Call
    ) -> messages.UpdatePriceListResponse:
        reader = Reader()
        prices = _read_prices(reader, request.prices)
        base_version = _read_version(reader, "base_version", request.base_version)
        cause = read_cause(reader, request.reason)
        reader.finish()
        made = await self._context.ledger.update_price_list(
            prices, base_version, cause, now(self._context)
        )
        return messages.UpdatePriceListResponse(price_list=price_list_to_proto(made))


def price_list_to_proto(found: PriceList) -> messages.PriceList:
    """Return the proto's message."""
    message = messages.PriceList(
        version=found.version,
        prices=[
            messages.CreditPrice(
                kind=generation_service_pb2.Kind.Value(f"KIND_{price.kind.upper()}"),
                tier=price.tier,
                credits=price.credits,
            )
            for price in found.prices
        ],
        reason=found.cause.reason,
    )
    message.create_time.FromDatetime(found.create_time)
    return message


def _read_version(reader: Reader, field: str, version: int) -> int:
    if not 0 <= version < 2**53:
        reader.wrong(field, "must be 0 for the latest, or a version that there is")
    return version


def _read_prices(reader: Reader, prices: Iterable[messages.CreditPrice]) -> list[CreditPrice]:
    read: dict[tuple[Kind, Quality], CreditPrice] = {}
    listed = list(prices)
    if not 1 <= len(listed) <= PRICES_MAX:
        reader.wrong("prices", f"must have 1 to {PRICES_MAX} prices, for all that is for sale")
    for place, price in enumerate(listed[:PRICES_MAX]):
        field = f"prices[{place}]"
        name = enum_name(generation_service_pb2.Kind, price.kind)
        kinds = {f"KIND_{kind.upper()}": kind for kind in Kind}
        if name not in kinds:
            reader.wrong(f"{field}.kind", f"must be one of {', '.join(kinds)}")
            continue
        if price.tier not in tuple(Quality):
            reader.wrong(f"{field}.tier", f"must be one of {', '.join(Quality)}")
            continue
        key = kinds[name], Quality(price.tier)
        if key in read:
            reader.wrong(field, f"{key[0]} {key[1]} has a price already")
        if not 0 <= price.credits <= PRICE_CREDITS_MAX:
            reader.wrong(f"{field}.credits", f"must be from 0 to {PRICE_CREDITS_MAX}")
        read[key] = CreditPrice(*key, price.credits)
    return list(read.values())
