"""The clients without `await`, for threads. All but `concurrency` is generated."""

from __future__ import annotations

from clients.sync.admin_client import SyncAdminClient
from clients.sync.alert_client import SyncAlertClient
from clients.sync.authority_client import SyncAuthorityClient
from clients.sync.cache_client import SyncCacheClient
from clients.sync.generation_client import SyncGenerationClient
from clients.sync.health_client import SyncHealthClient
from clients.sync.insight_client import SyncInsightClient
from clients.sync.queue_client import SyncQueueClient
from clients.sync.reconciliation_client import SyncReconciliationClient
from clients.sync.usage_client import SyncUsageClient

__all__ = [
    "SyncAdminClient",
    "SyncAlertClient",
    "SyncAuthorityClient",
    "SyncCacheClient",
    "SyncGenerationClient",
    "SyncHealthClient",
    "SyncInsightClient",
    "SyncQueueClient",
    "SyncReconciliationClient",
    "SyncUsageClient",
]
