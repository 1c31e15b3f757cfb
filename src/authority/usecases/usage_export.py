"""The usage log as a file, as its owners ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from authority.domain.usage import EventQuery
from authority.domain.usage_export import (
    ExportFormat,
    ExportPiece,
    ExportPlace,
    UsageExporter,
)
from authority.usecases.usage import UsageContext, owners_of


async def end_of_export(
    context: UsageContext, exporter: UsageExporter, wanted: EventQuery
) -> datetime:
    """Return the end of what is wanted, or of what the log has whole if that is sooner.

    Raises Unavailable.
    """
    tenant = wanted.tenant
    known = await exporter.complete_until(tenant) or context.now()
    return min(wanted.end, known) if wanted.end else known


async def export_usage(
    context: UsageContext,
    exporter: UsageExporter,
    wanted: EventQuery,
    account: str,
    form: ExportFormat,
    after: ExportPlace | None,
) -> AsyncIterator[ExportPiece]:
    """Yield the file, or what of it is behind a place.

    Raises NotFound (the account) and Unavailable.
    """
    tenant, accounts = await owners_of(context, wanted.tenant, account)
    wanted = replace(wanted, tenant=tenant, accounts=accounts)
    async for piece in exporter.pieces(wanted, form, after):
        yield piece
