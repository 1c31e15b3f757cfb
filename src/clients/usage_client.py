"""What was used, what will be, and what there is to pay with."""

from __future__ import annotations

from clients.usage_calls import UsageCalls


class UsageClient(UsageCalls):
    """What owners and users of accounts look at. Errors are those of `clients.errors`."""
