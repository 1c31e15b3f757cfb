"""A tenant's key can name nothing of another tenant: every RPC, found by reflection.

A new RPC, or a new text in a request, fails here until somebody has said what it is.
"""

from __future__ import annotations

import asyncio
import uuid

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from authority.rpc.access import NAMING_FIELDS, PLATFORM_ONLY
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import resources_pb2
from calls import METHODS, REQUESTS, send
from keys import make_key, with_key
from refusals import Refusal, refused

# Texts that name nothing that a tenant owns, by message and field.
HARMLESS = {
    "ExportUsageRequest.resume_token",
    # Models and plans are of the platform.
    "ReplayRequest.model",
    "ReplayRequest.plan",
    "AcknowledgeAlertRequest.reason",
    "AlertChannel.addresses",
    "AlertChannel.secret",
    "AlertChannel.url",
    "AlertRule.display_name",
    "CreateAlertRuleRequest.reason",
    "DeleteAlertRuleRequest.reason",
    "EndSilenceRequest.reason",
    "ListAlertDeliveriesRequest.page_token",
    "ListAlertRulesRequest.page_token",
    "ListAlertsRequest.page_token",
    "ListSilencesRequest.page_token",
    "ParamsEntry.key",
    "RetryAlertDeliveryRequest.reason",
    "SilenceAlertsRequest.reason",
    "UpdateAlertRuleRequest.reason",
    # Bills are of the platform.
    *(
        f"{request}.{name}"
        for request, names in {
            "BillHeader": "provider source file_name start_day end_day reason",
            "ListBillDaysRequest": "start_day end_day provider model page_token",
            "ListPresumedAttemptsRequest": "start_day end_day provider model page_token",
            "AdjustBillDayRequest": "idempotency_key day provider model reason",
            "ListBillsRequest": "provider page_token",
            "ListBillAdjustmentsRequest": "provider page_token",
            "WithdrawBillRequest": "bill_id reason",
        }.items()
        for name in names.split()
    ),
    "UsageFilter.users",
    "UsageFilter.kinds",
    "UsageFilter.providers",
    "UsageFilter.models",
    "UsageFilter.sizes",
    "UsageFilter.qualities",
    "UsageFilter.stages",
    "UsageFilter.downgrade_reasons",
    "UsageFilter.error_classes",
    "QueryUsageRequest.page_token",
    "ListUsageEventsRequest.page_token",
    "Account.display_name",
    "Account.plan",
    "Account.time_zone",
    "AdjustRequest.idempotency_key",
    "AdjustRequest.reason",
    "ApiKey.display_name",
    "Budget.budget",
    "CommitRequest.idempotency_key",
    "CommitRequest.receipt",
    "CreateAccountRequest.reason",
    "CreateApiKeyRequest.reason",
    "CreateBudgetRequest.reason",
    "CreateGrantRequest.idempotency_key",
    "CreateGrantRequest.reason",
    "CreatePlanRequest.reason",
    "CreditPrice.tier",
    "CancelJobsRequest.reason",
    "DiscardJobsRequest.reason",
    "ExtendRequest.idempotency_key",
    "FieldMask.paths",
    "GetBudgetRequest.budget",
    "GetProjectionRequest.budget",
    "GetPlanRequest.plan",
    "ListPlanVersionsRequest.page_token",
    "ListPlanVersionsRequest.plan",
    "Plan.tier",
    "SetOwnBudgetRequest.reason",
    "Grant.source",
    "LabelsEntry.key",
    "LabelsEntry.value",
    "JobFilter.error_reason",
    "JobFilter.provider",
    "Limit.name",
    # The account of a limit: limits are for keys of the platform.
    "Limit.subject",
    "ListAccountsRequest.order_by",
    "ListAccountsRequest.page_token",
    "ListApiKeysRequest.page_token",
    "ListBudgetsRequest.page_token",
    "ListChangesRequest.page_token",
    "ListGenerationsRequest.model",
    "ListGenerationsRequest.page_token",
    "ListGrantsRequest.page_token",
    "ListJobsRequest.page_token",
    "ListLedgerEntriesRequest.order_by",
    "ListLedgerEntriesRequest.page_token",
    "ListPlansRequest.page_token",
    "ListReservationsRequest.order_by",
    "ListReservationsRequest.page_token",
    "Option.name",
    "PauseQueueRequest.reason",
    "PauseQueueRequest.target",
    "Plan.plan",
    "PromoteJobsRequest.reason",
    "RefundRequest.idempotency_key",
    "RefundRequest.reason",
    "ReleaseRequest.idempotency_key",
    "ReleaseRequest.reason",
    "RequeueJobsRequest.reason",
    "ReserveRequest.idempotency_key",
    "ResumeQueueRequest.reason",
    "ResumeQueueRequest.target",
    "RetryJobsRequest.reason",
    "RevokeApiKeyRequest.reason",
    "ChatMessage.content",
    "Settings.negative_prompt",
    "Settings.output_format",
    "Settings.style",
    "Settings.system",
    "SetLimitRequest.reason",
    "SubmitGenerationRequest.idempotency_key",
    "SubmitGenerationRequest.model",
    "SubmitGenerationRequest.prompt",
    "SubmitGenerationRequest.quality",
    "SubmitGenerationRequest.size",
    "UnsetLimitRequest.name",
    "UnsetLimitRequest.reason",
    "UnsetLimitRequest.subject",
    "UpdateAccountRequest.reason",
    "UpdateApiKeyRequest.reason",
    "UpdatePlanRequest.reason",
    "UpdatePriceListRequest.reason",
    "UpdateBudgetRequest.reason",
    "VoidGrantRequest.idempotency_key",
    "VoidGrantRequest.reason",
    "BookHitRequest.idempotency_key",
    "BookHitRequest.stage",
    "CacheField.name",
    "ContextEntry.key",
    "ContextValues.values",
    "ListCacheEntriesRequest.model",
    "ListCacheEntriesRequest.page_token",
    "ListCacheEntriesRequest.stage",
    "ListCacheEntriesRequest.text",
    "PurgeCacheRequest.model",
    "PurgeCacheRequest.reason",
    "ReportHitRequest.reason",
    "StagesEntry.key",
    "StagesEntry.value",
    "SuggestReuseRequest.model",
    "SuggestReuseRequest.prompt",
    "SuggestReuseRequest.quality",
    "SuggestReuseRequest.size",
    "TtlEntry.key",
    "UpdateCachePolicyRequest.reason",
}
# Names a tenant's thing without telling the tenant: its use case looks it up.
LOOKED_UP = {"ApiKey.api_key_id", "RevokeApiKeyRequest.api_key_id"}
# Nothing of a tenant's can be named in these.
NAMELESS = {
    *("CreatePlanRequest", "DiagnoseRequest", "GetHealthRequest", "GetPlanRequest"),
    *("GetPriceListRequest", "GetStatusRequest", "ImportBillRequest", "ListBillAdjustmentsRequest"),
    *("ListBillDaysRequest", "ListBillsRequest", "ListLimitsRequest", "ListModelsRequest"),
    *("ListPlanVersionsRequest", "ListPlansRequest", "ListPresumedAttemptsRequest"),
    *("ListQueuesRequest", "ListStylesRequest", "ListWorkersRequest", "PauseQueueRequest"),
    *("ResumeQueueRequest", "SetLimitRequest", "UnsetLimitRequest", "UpdatePlanRequest"),
    *("UpdatePriceListRequest", "WithdrawBillRequest"),
}


def name_of(field, other):
    """Return a name of the kind that a field holds, of a thing of the tenant `other`."""
    match field:
        case "tenant":
            return other
        case "account" | "parent":
            return f"{other}/alice"
        case "artifact_id" | "mask" | "references":
            return f"{other}/{uuid.uuid4()}/0"
        case _:
            return f"{other}/{uuid.uuid4()}"


def texts(descriptor, seen=()):
    """Yield every text field that a request can have, with the path of fields that leads to it."""
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (*seen, field)
        elif field.message_type is not None and field.message_type not in {
            step.message_type for step in seen
        }:
            yield from texts(field.message_type, (*seen, field))


def filled(descriptor, path, name):
    """Return a request in which one text, at the end of the path, is set."""
    request = message = GetMessageClass(descriptor)()
    for step in path[:-1]:
        message = getattr(message, step.name)
        if step.is_repeated:
            message = message.add()
    if path[-1].is_repeated:
        getattr(message, path[-1].name).append(name)
    else:
        setattr(message, path[-1].name, name)
    return request


def path_of(descriptor):
    """Return the path of the method that takes a request."""
    method = METHODS[descriptor]
    return f"/{method.containing_service.full_name}/{method.name}"


def full_name(field):
    return f"{field.containing_type.name}.{field.name}"


NAMES = [
    pytest.param(descriptor, path, id=f"{descriptor.name}:{'.'.join(f.name for f in path)}")
    for descriptor in METHODS
    for path in texts(descriptor)
    if path[-1].name in NAMING_FIELDS
]


def test_it_is_known_of_every_text_whether_it_names_something_of_a_tenant():
    found = {full_name(path[-1]) for descriptor in METHODS for path in texts(descriptor)}
    naming = {name for name in found if name.split(".")[1] in NAMING_FIELDS}
    assert found == naming | HARMLESS | LOOKED_UP
    assert not HARMLESS & LOOKED_UP


def test_every_request_can_be_tried():
    tried = {param.values[0].name for param in NAMES} | NAMELESS | {"RevokeApiKeyRequest"}
    assert tried == {descriptor.name for descriptor in METHODS}


@pytest.fixture
async def tenants(stubs):
    """Two tenants, and the services with a key of the first that has every scope."""
    for account in ("acme", "acme/alice", "globex", "globex/alice"):
        await stubs.account(account)
    for account in ("acme", "globex"):
        await stubs.set_budget(account, 1_000_000)
    return await with_key(stubs, "acme")


async def refusal_of(stubs, request):
    """Return why a request is refused; in a frame, it is its one operation that is."""
    if not isinstance(request, budget.ApplyRequest):
        return await refused(send(stubs, request))
    (frame,) = await send(stubs, request)
    (result,) = frame.results
    return Refusal(result.error)


async def test_no_request_may_name_what_is_of_another_tenant(tenants):
    for param in NAMES:
        descriptor, path = param.values
        # One that begins alike, one that does not exist, the root, and one by its own name.
        for other in ("globex", "acme2", "nobody", "ACME", "platform"):
            request = filled(descriptor, path, name_of(path[-1].name, other))
            refusal = await refusal_of(tenants, request)
            assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "NOT_ALLOWED"), param.id
            assert refusal.metadata["tenant"] == "acme"


async def test_every_request_that_names_its_own_tenant_gets_by(tenants):
    for param in NAMES:
        descriptor, path = param.values
        if path_of(descriptor) in PLATFORM_ONLY:
            continue
        try:
            # A stream that goes on for ever has let its caller in.
            async with asyncio.timeout(1):
                await send(tenants, filled(descriptor, path, name_of(path[-1].name, "acme")))
        except TimeoutError:
            assert METHODS[descriptor].server_streaming
        except grpc.aio.AioRpcError as error:
            assert error.code().name not in ("PERMISSION_DENIED", "UNAUTHENTICATED"), param.id


async def test_every_item_is_looked_at(stubs, tenants):
    own = budget.ReserveRequest(
        idempotency_key="own",
        account="acme",
        options=[budget.Option(legs=[resources_pb2.Leg(unit="UNIT_USD", amount=1)])],
    )
    foreign = budget.ReserveRequest(idempotency_key="foreign", account="globex")
    frames = budget.ApplyRequest(
        operations=[
            budget.ApplyOperation(call_number=1, reserve=own),
            budget.ApplyOperation(call_number=2, reserve=foreign),
        ]
    )
    refusal = await refused(send(tenants, budget.BatchReserveRequest(requests=[own, foreign])))
    assert refusal.code == "PERMISSION_DENIED"
    assert "[1]" in refusal.metadata["field"]
    # Nothing of it took place.
    assert (await stubs.balance("acme"))["acme", "usd-day"][0] == 0
    # The callers of a client share a stream: none of them is in the way of the others.
    told = {
        result.call_number: result
        for frame in await send(tenants, frames)
        for result in frame.results
    }
    assert told[1].HasField("reserve")
    assert Refusal(told[2].error).code == "PERMISSION_DENIED"
    assert (await stubs.balance("acme"))["acme", "usd-day"][0] == 1


async def test_a_key_of_another_tenant_is_not_revoked(stubs, tenants):
    theirs = (await make_key(stubs, "globex")).api_key
    platforms = (await make_key(stubs, "platform")).api_key
    for key in (theirs, platforms):
        request = admin.RevokeApiKeyRequest(api_key_id=key.api_key_id)
        assert (await refused(send(tenants, request))).code == "PERMISSION_DENIED"
    listed = await send(stubs, admin.ListApiKeysRequest())
    assert not any(key.HasField("revoke_time") for key in listed.api_keys)


async def test_listings_without_a_tenant_show_its_own(stubs, tenants):
    await make_key(stubs, "globex")
    await make_key(stubs, "platform")
    accounts = (await send(tenants, admin.ListAccountsRequest())).accounts
    assert [item.account for item in accounts] == ["acme", "acme/alice"]
    budgets = (await send(tenants, admin.ListBudgetsRequest())).budgets
    assert [item.account for item in budgets] == ["acme"]
    keys = (await send(tenants, admin.ListApiKeysRequest())).api_keys
    assert {key.tenant for key in keys} == {"acme"}
    # The same calls show everything to whom everything is open.
    assert len((await send(stubs, admin.ListAccountsRequest())).accounts) == 4
    assert len((await send(stubs, admin.ListBudgetsRequest())).budgets) == 2
    assert len((await send(stubs, admin.ListApiKeysRequest())).api_keys) == 3


async def test_a_page_token_leads_nowhere_else(stubs, tenants):
    page = await send(stubs, admin.ListBudgetsRequest(page_size=1))
    assert page.next_page_token
    rest = await send(tenants, admin.ListBudgetsRequest(page_token=page.next_page_token))
    assert {item.account for item in rest.budgets} <= {"acme"}


async def test_audits_of_all_are_audits_of_its_own(stubs, tenants):
    for account in ("acme", "globex"):
        await stubs.reserve(account, {"USD": 1_000})
    assert (await send(tenants, admin.AuditRequest())).tenant_count == 1
    assert (await send(stubs, admin.AuditRequest())).tenant_count == 2


async def test_what_is_of_no_tenant_is_the_platforms(tenants):
    for request in REQUESTS:
        if path_of(request.DESCRIPTOR) in PLATFORM_ONLY:
            assert (await refused(send(tenants, request()))).code == "PERMISSION_DENIED"


async def test_a_tenants_own_account_may_be_sent_as_it_was_read(tenants):
    account = (await send(tenants, admin.GetAccountRequest(account="acme"))).account
    assert account.parent == "platform"
    account.display_name = "Acme"
    request = admin.UpdateAccountRequest(account=account)
    request.update_mask.paths.append("display_name")
    assert (await send(tenants, request)).account.display_name == "Acme"
    # Elsewhere the root is not theirs to name.
    other = resources_pb2.Account(account="acme/alice", parent="platform")
    refusal = await refused(send(tenants, admin.CreateAccountRequest(account=other)))
    assert refusal.code == "PERMISSION_DENIED"
