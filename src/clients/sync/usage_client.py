# Generated from clients/usage_client.py by tools/sync_client.py; edit that one.
"""What was used, what will be, and what there is to pay with."""

from __future__ import annotations

from clients.sync.usage_calls import SyncUsageCalls


class SyncUsageClient(SyncUsageCalls):
    """What owners and users of accounts look at. Errors are those of `clients.errors`."""
