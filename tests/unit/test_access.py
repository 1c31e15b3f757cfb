"""Which scope each RPC asks for: every RPC of the proto, and nothing else, is in the table."""

from __future__ import annotations

import pytest

from authority.domain.callers import ROOT, Caller, Scope
from authority.domain.errors import NotAllowed
from authority.rpc.access import PLATFORM_ONLY, SCOPES, check_scope, check_tenant
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import generation_service_pb2 as generation
from calls import METHODS

PATHS = {f"/{method.containing_service.full_name}/{method.name}" for method in METHODS.values()}
READS = ("Get", "List", "BatchGet", "Watch", "Download", "Audit", "Diagnose", "Query", "Export")
CACHE_OF_SUBMITTERS = (
    *("ReportHit", "ListCacheEntries", "GetCacheEntry", "SuggestReuse", "GetCachePolicy"),
    *("GetPriceList", "GetCreditStatus"),
)
CHANGES = ("Create", "Update", "Rev", "Retry", "Discard", "Cancel", "Promote", "Requeue", "Pause")


def caller(tenant, *scopes):
    return Caller("id", "", tenant, frozenset(scopes))


def allowed(method, who):
    try:
        check_scope(method, who)
    except NotAllowed:
        return False
    return True


def test_every_rpc_has_its_scopes():
    assert SCOPES.keys() == PATHS
    assert all(SCOPES.values())
    assert PLATFORM_ONLY <= PATHS


@pytest.mark.parametrize("method", sorted(PATHS))
def test_nothing_is_open_to_a_key_without_scopes_and_all_to_the_root(method):
    assert not allowed(method, caller("platform"))
    assert allowed(method, ROOT)


@pytest.mark.parametrize("method", sorted(PATHS))
def test_who_may_only_read_or_only_spend_changes_nothing_else(method):
    name = method.rpartition("/")[2]
    reads = name.startswith(READS) or name in {"CreateArtifactUrl", "SuggestReuse", "Replay"}
    assert allowed(method, caller("platform", Scope.READ)) == (reads and name != "ListApiKeys")
    # The admin reads everything too, and neither spends nor submits.
    own = name in ("Adjust", "Rebuild", "VoidGrant", "PurgeCache", "ReportHit", "AdjustBillDay")
    own = own or name.startswith(CHANGES)
    own = own or name.startswith(("Resume", "Set", "Unset", "Import", "Withdraw"))
    own = own or name.startswith(("Acknowledge", "Silence", "End", "Delete", "Test"))
    is_users = name == "SetOwnBudget"
    assert allowed(method, caller("platform", Scope.ADMIN)) == (reads or own)
    spends = name in {
        *("Reserve", "Commit", "Release", "Refund", "Extend", "Apply", "GetReservation"),
        *("BatchReserve", "BatchCommit", "BatchRefund", "ListModels", "ListStyles", "BookHits"),
        *("GetPriceList", "GetCreditStatus"),
    }
    assert allowed(method, caller("platform", Scope.SPEND)) == (spends or is_users)
    submits = method.startswith("/authority.v1.GenerationService/") or name in CACHE_OF_SUBMITTERS
    assert allowed(method, caller("platform", Scope.SUBMIT)) == (submits or is_users)


def test_what_is_missing_is_told():
    with pytest.raises(NotAllowed) as refused:
        check_scope("/authority.v1.BudgetService/Reserve", caller("acme", Scope.READ))
    assert refused.value.metadata == {"scope": "SPEND"}
    assert "SPEND" in refused.value.message
    assert "READ" in refused.value.message


def test_the_way_to_a_foreign_name_is_told_and_the_name_is_not():
    requests = [budget.CommitRequest(reservation_id=f"{tenant}/1") for tenant in ("acme", "globex")]
    with pytest.raises(NotAllowed) as refused:
        check_tenant(budget.BatchCommitRequest(requests=requests), caller("acme"))
    assert refused.value.metadata == {"tenant": "acme", "field": "requests[1].reservation_id"}
    assert "globex" not in refused.value.message
    ids = generation.BatchGetGenerationsRequest(generation_ids=["acme/1", "globex/1"])
    with pytest.raises(NotAllowed, match=r"generation_ids\[1\]"):
        check_tenant(ids, caller("acme"))


@pytest.mark.parametrize("request_type", [admin.ListAccountsRequest, admin.AuditRequest])
def test_an_empty_tenant_is_ones_own(request_type):
    request = request_type()
    check_tenant(request, caller("acme"))
    assert request.tenant == "acme"
    request = request_type()
    check_tenant(request, caller("platform"))
    assert not request.tenant
