"""What `clients` offers is what it says, and the sync clients offer the same as the async ones."""

from __future__ import annotations

import inspect

import pytest

import clients
from clients import (
    alert_types,
    balance_types,
    budget_requests,
    cache_types,
    change_types,
    errors,
    generation_types,
    insight_types,
    key_types,
    ledger_types,
    queue_types,
    sync,
    types,
    usage_types,
)

PAIRS = [
    (clients.AuthorityClient, sync.SyncAuthorityClient),
    (clients.AdminClient, sync.SyncAdminClient),
    (clients.GenerationClient, sync.SyncGenerationClient),
    (clients.QueueClient, sync.SyncQueueClient),
    (clients.CacheClient, sync.SyncCacheClient),
    (clients.AlertClient, sync.SyncAlertClient),
    (clients.InsightClient, sync.SyncInsightClient),
    (clients.UsageClient, sync.SyncUsageClient),
]


def test_all_that_is_listed_exists_once():
    for package in (clients, sync):
        assert all(hasattr(package, name) for name in package.__all__)
        assert sorted(set(package.__all__)) == package.__all__


@pytest.mark.parametrize(
    "module",
    [
        alert_types,
        *(balance_types, budget_requests, cache_types, change_types, errors),
        *(generation_types, insight_types, key_types, ledger_types, queue_types, types),
        usage_types,
    ],
)
def test_every_type_and_error_is_offered(module):
    own = {
        name
        for name, item in vars(module).items()
        if inspect.isclass(item) and item.__module__ == module.__name__ and name[0] != "_"
    }
    assert own <= set(clients.__all__)


@pytest.mark.parametrize(("asynchronous", "synchronous"), PAIRS)
def test_the_sync_clients_have_the_same_methods(asynchronous, synchronous):
    renamed = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    methods = dict(inspect.getmembers(asynchronous, inspect.isfunction))
    others = dict(inspect.getmembers(synchronous, inspect.isfunction))
    assert {renamed.get(name, name) for name in methods} == others.keys()
    for name, method in methods.items():
        other = others[renamed.get(name, name)]
        parameters = set(inspect.signature(method).parameters) - {"streaming"}  # threads have calls
        assert parameters == set(inspect.signature(other).parameters)
        assert not inspect.iscoroutinefunction(other)
        assert not inspect.isasyncgenfunction(other)
