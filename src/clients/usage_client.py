"""What was used, what will be, and what there is to pay with."""

from __future__ import annotations

from clients.export_calls import ExportCalls


class UsageClient(ExportCalls):
    """What owners and users of accounts look at. Errors are those of `clients.errors`."""
