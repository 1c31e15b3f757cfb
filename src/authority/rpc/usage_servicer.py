"""UsageService: each part of it is in a file of its own."""

from __future__ import annotations

from authority.domain.usage_export import UsageExporter
from authority.rpc.credit_servicing import CreditServicing
from authority.rpc.projection_servicing import ProjectionServicing
from authority.rpc.usage_exporting import UsageExporting
from authority.rpc.usage_reading import UsageReading
from authority.usecases.context import Context
from authority.usecases.projection import Projections
from authority.usecases.usage import UsageContext


class UsageServicer(UsageReading, UsageExporting, ProjectionServicing, CreditServicing):
    """What was used, what will be, and what there is to pay with."""

    def __init__(
        self,
        context: Context,
        usage: UsageContext,
        projections: Projections,
        exporter: UsageExporter,
    ) -> None:
        self._context = context
        self._usage = usage
        self._projections = projections
        self._exporter = exporter
