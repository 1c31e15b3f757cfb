"""Reads requests of ReconciliationService."""

from __future__ import annotations

import re
from datetime import date, timedelta

from authority.domain.bills import AdjustRequest, BillFormat, BillHeader, DayFilter
from authority.domain.callers import Cause
from authority.rpc.caller import read_cause
from authority.rpc.requests import Reader, enum_name
from authority.usecases.bills import DAYS_DEFAULT, DAYS_MAX
from authority.v1 import reconciliation_service_pb2 as messages
from generations.catalogue import MODEL_NAME_LENGTH_MAX

_PROVIDER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_SOURCE_LENGTH_MAX = 64
_FILE_NAME_LENGTH_MAX = 256
_FIRST_YEAR = 2000
_LAST_YEAR = 2999


def read_header(header: messages.BillHeader) -> tuple[BillHeader, Cause]:
    """Read what a file is, and why it is imported. Raises InvalidRequest."""
    reader = Reader()
    provider = read_provider(reader, "header.provider", header.provider)
    form = _format(reader, header.format, provider)
    start = read_day(reader, "header.start_day", header.start_day)
    end = read_day(reader, "header.end_day", header.end_day)
    made = BillHeader(
        provider=provider,
        form=form,
        source=reader.text("header.source", header.source, _SOURCE_LENGTH_MAX),
        file_name=reader.text("header.file_name", header.file_name, _FILE_NAME_LENGTH_MAX),
        start_day=start,
        end_day=end,
    )
    cause = read_cause(reader, header.reason)
    reader.finish()
    return made, cause


def read_provider(reader: Reader, field: str, provider: str, *, optional: bool = False) -> str:
    """Read a provider's name."""
    if not (optional and not provider) and not _PROVIDER.fullmatch(provider):
        reader.wrong(
            field, "must be 1 to 63 lower-case letters, digits and hyphens, such as `openai`"
        )
    return provider


def read_day(reader: Reader, field: str, text: str) -> date | None:
    """Read a day; None for none."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        reader.wrong(field, f"must be a day such as `2026-11-21`, from the year {_FIRST_YEAR} on")
        return None
    return day


def read_bill_id(reader: Reader, bill_id: str) -> str:
    """Read the id of a bill."""
    if not _UUID.fullmatch(bill_id):
        reader.wrong("bill_id", "must be the id that ImportBill answered: a UUID")
    return bill_id


def read_days(
    reader: Reader,
    request: messages.ListBillDaysRequest | messages.ListPresumedAttemptsRequest,
    today: date,
) -> DayFilter:
    """Read which days are asked for."""
    end = read_day(reader, "end_day", request.end_day) or today
    start = read_day(reader, "start_day", request.start_day)
    start = start or end - timedelta(days=DAYS_DEFAULT - 1)
    if not 0 <= (end - start).days < DAYS_MAX:
        reader.wrong("start_day", f"must be from {DAYS_MAX - 1} days before `end_day` up to it")
    return DayFilter(
        start,
        end,
        read_provider(reader, "provider", request.provider, optional=True),
        reader.text("model", request.model, MODEL_NAME_LENGTH_MAX),
    )


def read_adjustment(reader: Reader, request: messages.AdjustBillDayRequest) -> AdjustRequest:
    """Read what to make the same."""
    day = read_day(reader, "day", request.day)
    if not request.day:
        reader.wrong("day", "must be set, such as `2026-11-21`")
    if not request.model:
        reader.wrong("model", "must be set: days are adjusted by model")
    if not request.reason:
        reader.wrong("reason", "must be set: it is what the ledger has of why")
    return AdjustRequest(
        idempotency_key=reader.key(request.idempotency_key),
        day=day or date.min,
        provider=read_provider(reader, "provider", request.provider),
        model=reader.text("model", request.model, MODEL_NAME_LENGTH_MAX),
        account=reader.account(request.account) if request.account else "",
        keep_charges=request.keep_charges,
    )


def _format(reader: Reader, number: int, provider: str) -> BillFormat:
    if number:
        name = enum_name(messages.BillFormat, number)
        return reader.word("header.format", "BILL_FORMAT", name, BillFormat, None)
    known = {form.lower(): form for form in BillFormat}
    if provider not in known:
        reader.wrong(
            "header.format", f"must be set: by themselves known are those of {', '.join(known)}"
        )
    return known.get(provider, BillFormat.OPENAI)
