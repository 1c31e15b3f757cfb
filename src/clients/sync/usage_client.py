# Generated from clients/usage_client.py by tools/sync_client.py; edit that one.
"""What was used, what will be, and what there is to pay with."""

from __future__ import annotations

from clients.sync.export_calls import SyncExportCalls


class SyncUsageClient(SyncExportCalls):
    """What owners and users of accounts look at. Errors are those of `clients.errors`."""
