"""What each call asks of its caller: a scope, and that it names nothing of another tenant."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from authority.domain.callers import Caller, Scope
from authority.domain.errors import NotAllowed
from authority.domain.ids import PLATFORM, tenant_of

_SPEND = (Scope.SPEND,)
_READ = (Scope.READ,)
_ADMIN = (Scope.ADMIN,)
_FOLLOW = (Scope.SUBMIT, Scope.READ)
_ANY = tuple(Scope)

# The scopes of which one is needed, by service and method.
_METHODS: dict[str, dict[str, tuple[Scope, ...]]] = {
    "BudgetService": {
        "Reserve": _SPEND,
        "Commit": _SPEND,
        "Release": _SPEND,
        "Refund": _SPEND,
        "Extend": _SPEND,
        "Adjust": _ADMIN,
        "BatchReserve": _SPEND,
        "BatchCommit": _SPEND,
        "BatchRefund": _SPEND,
        "Apply": _SPEND,
        "GetReservation": (Scope.SPEND, Scope.READ),
        "ListReservations": _READ,
        "GetBalance": _READ,
        "WatchBalance": _READ,
    },
    "AdminService": {
        "CreateAccount": _ADMIN,
        "UpdateAccount": _ADMIN,
        "GetAccount": _READ,
        "ListAccounts": _READ,
        "CreateBudget": _ADMIN,
        "UpdateBudget": _ADMIN,
        "GetBudget": _READ,
        "ListBudgets": _READ,
        "SetOwnBudget": (Scope.SPEND, Scope.SUBMIT, Scope.ADMIN),
        "CreatePlan": _ADMIN,
        "UpdatePlan": _ADMIN,
        "GetPlan": _READ,
        "ListPlans": _READ,
        "ListPlanVersions": _READ,
        "CreateGrant": _ADMIN,
        "VoidGrant": _ADMIN,
        "GetGrant": _READ,
        "GetPriceList": _ANY,
        "ListGrants": _READ,
        "UpdatePriceList": _ADMIN,
        "CreateApiKey": _ADMIN,
        "ListApiKeys": _ADMIN,
        "UpdateApiKey": _ADMIN,
        "RevokeApiKey": _ADMIN,
        "ListChanges": _READ,
        "ListLedgerEntries": _READ,
        "Rebuild": _ADMIN,
        "Audit": _READ,
        "GetStatus": _READ,
    },
    "GenerationService": {
        "SubmitGeneration": (Scope.SUBMIT,),
        "BatchSubmitGenerations": (Scope.SUBMIT,),
        "UpdateGeneration": (Scope.SUBMIT, Scope.ADMIN),
        "CancelGeneration": (Scope.SUBMIT, Scope.ADMIN),
        "RetryGeneration": (Scope.SUBMIT, Scope.ADMIN),
        "WatchGeneration": _FOLLOW,
        "GetGeneration": _FOLLOW,
        "BatchGetGenerations": _FOLLOW,
        "ListGenerations": _FOLLOW,
        "DownloadArtifact": _FOLLOW,
        "CreateArtifactUrl": _FOLLOW,
        "ListModels": _ANY,
        "ListStyles": _ANY,
    },
    "QueueService": {
        "ListQueues": _READ,
        "ListJobs": _READ,
        "GetJob": _READ,
        "RetryJobs": _ADMIN,
        "DiscardJobs": _ADMIN,
        "CancelJobs": _ADMIN,
        "PromoteJobs": _ADMIN,
        "RequeueJobs": _ADMIN,
        "PauseQueue": _ADMIN,
        "ResumeQueue": _ADMIN,
        "ListLimits": _READ,
        "SetLimit": _ADMIN,
        "UnsetLimit": _ADMIN,
        "ListWorkers": _READ,
        "Diagnose": _READ,
    },
    "CacheService": {
        "BookHits": _SPEND,
        "ReportHit": (Scope.SUBMIT, Scope.ADMIN),
        "GetCacheStats": _READ,
        "ListCacheEntries": _FOLLOW,
        "GetCacheEntry": _FOLLOW,
        "SuggestReuse": _FOLLOW,
        "PurgeCache": _ADMIN,
        "GetCachePolicy": _FOLLOW,
        "UpdateCachePolicy": _ADMIN,
    },
    "ReconciliationService": {
        "ImportBill": _ADMIN,
        "ListBills": _READ,
        "WithdrawBill": _ADMIN,
        "ListBillDays": _READ,
        "ListPresumedAttempts": _READ,
        "AdjustBillDay": _ADMIN,
        "ListBillAdjustments": _READ,
    },
    "InsightService": {
        "ListInsights": _READ,
        "Replay": _READ,
    },
    "AlertService": {
        "ListAlerts": _READ,
        "GetAlert": _READ,
        "AcknowledgeAlert": _ADMIN,
        "SilenceAlerts": _ADMIN,
        "ListSilences": _READ,
        "EndSilence": _ADMIN,
        "CreateAlertRule": _ADMIN,
        "UpdateAlertRule": _ADMIN,
        "GetAlertRule": _READ,
        "ListAlertRules": _READ,
        "DeleteAlertRule": _ADMIN,
        "TestAlertRule": _ADMIN,
        "ListAlertDeliveries": _READ,
        "RetryAlertDelivery": _ADMIN,
    },
    "HealthService": {
        "GetHealth": _READ,
    },
    "UsageService": {
        "QueryUsage": _READ,
        "ListUsageEvents": _READ,
        "ExportUsage": _READ,
        "GetCreditStatus": (Scope.SPEND, Scope.SUBMIT, Scope.READ),
        "GetProjection": _READ,
    },
}
# The same by the path of a call.
SCOPES = {
    f"/authority.v1.{service}/{method}": scopes
    for service, methods in _METHODS.items()
    for method, scopes in methods.items()
}

# The callers of a client share a stream: what one of them may not do is told to that one alone, by
# the session.
CHECKED_BY_ITEM = {"/authority.v1.BudgetService/Apply"}

# What these answer or do is of no tenant, so that they are not for callers that are bound to one.
# Whoever promotes a job lets those of others wait.
_PLATFORM_METHODS = {
    "AdminService": ("CreatePlan", "GetStatus", "Rebuild", "UpdatePlan", "UpdatePriceList"),
    "QueueService": (
        *("ListQueues", "PromoteJobs", "PauseQueue", "ResumeQueue", "ListLimits", "SetLimit"),
        *("UnsetLimit", "ListWorkers", "Diagnose"),
    ),
    "HealthService": ("GetHealth",),
    # A provider's bill is of all tenants.
    "ReconciliationService": (
        *("ImportBill", "ListBills", "WithdrawBill", "ListBillDays", "ListPresumedAttempts"),
        *("AdjustBillDay", "ListBillAdjustments"),
    ),
}
PLATFORM_ONLY = frozenset(
    f"/authority.v1.{service}/{method}"
    for service, methods in _PLATFORM_METHODS.items()
    for method in methods
)

# The string fields of requests whose value begins with the tenant that it belongs to. The one field
# that names a tenant's thing by another kind of id, `api_key_id`, is checked in its use case.
NAMING_FIELDS = frozenset(
    {
        "accept_entry_id",
        "account",
        "alert_id",
        "artifact_id",
        "delivery_id",
        "entry_id",
        "generation_id",
        "generation_ids",
        "grant_id",
        "mask",
        "parent",
        "parent_id",
        "references",
        "reservation_id",
        "rule_id",
        "silence_id",
        "tenant",
    }
)


def check_scope(method: str, caller: Caller) -> None:
    """Raise NotAllowed unless the caller has a scope that the method asks for."""
    needed = SCOPES[method]
    if not any(map(caller.may, needed)):
        scope = " or ".join(needed)
        raise NotAllowed(
            f"The call needs a key with the scope {scope}; this one has "
            f"{', '.join(sorted(caller.scopes)) or 'none'}.",
            scope=scope,
        )
    if method in PLATFORM_ONLY and caller.bound_to:
        raise NotAllowed(
            f"The call is for keys of the platform; this one is bound to {caller.bound_to!r}.",
            tenant=caller.bound_to,
        )


def check_tenant(request: Message, caller: Caller) -> None:
    """Raise NotAllowed if a caller that is bound to a tenant names something of another one.

    A `tenant` that is left empty means all of them: for such a caller it is filled in, so that
    listings, audits and rebuilds keep to its own.
    """
    tenant = caller.bound_to
    if not tenant:
        return
    plan = _plan_of(request.DESCRIPTOR)
    if "tenant" in plan.names and not getattr(request, "tenant"):  # noqa: B009 - not of every message
        request.tenant = tenant  # type: ignore[attr-defined]  # The plan says that it is there.
    if not _is_own(request, plan, tenant):
        _check(request, plan, tenant, "")


class _Plan(NamedTuple):
    """Where in a message names of tenants' things can stand."""

    names: tuple[str, ...]
    lists_of_names: tuple[str, ...]
    messages: tuple[tuple[str, Descriptor], ...]
    lists_of_messages: tuple[tuple[str, Descriptor], ...]


@cache
def _plan_of(descriptor: Descriptor) -> _Plan:
    fields = descriptor.fields
    named = [field for field in fields if field.name in NAMING_FIELDS and _is_text(field)]
    # A message in which no name can stand is not looked into, however often it is sent.
    inner = [
        (field, field.message_type)
        for field in fields
        if field.message_type is not None and _holds_names(field.message_type)
    ]
    return _Plan(
        names=tuple(field.name for field in named if not field.is_repeated),
        lists_of_names=tuple(field.name for field in named if field.is_repeated),
        messages=tuple((field.name, below) for field, below in inner if not field.is_repeated),
        lists_of_messages=tuple((field.name, below) for field, below in inner if field.is_repeated),
    )


def _holds_names(descriptor: Descriptor) -> bool:
    return any(_plan_of(descriptor))


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


def _is_own(message: Any, plan: _Plan, tenant: str) -> bool:
    """Say whether all names are of the tenant; `_check` says which one is not."""
    prefix = f"{tenant}/"
    for field in plan.names:
        name = getattr(message, field)
        if name and name != tenant and not name.startswith(prefix):
            return False
    for field, below in plan.messages:
        if message.HasField(field) and not _is_own(
            getattr(message, field), _plan_of(below), tenant
        ):
            return False
    for field, below in plan.lists_of_messages:
        inner = _plan_of(below)
        if not all(_is_own(item, inner, tenant) for item in getattr(message, field)):
            return False
    return not any(getattr(message, field) for field in plan.lists_of_names)


def _check(message: Any, plan: _Plan, tenant: str, path: str) -> None:
    for name in plan.names:
        _check_name(getattr(message, name), tenant, message, f"{path}{name}")
    for name in plan.lists_of_names:
        for index, value in enumerate(getattr(message, name)):
            _check_name(value, tenant, message, f"{path}{name}[{index}]")
    for name, below in plan.messages:
        if message.HasField(name):
            _check(getattr(message, name), _plan_of(below), tenant, f"{path}{name}.")
    for name, below in plan.lists_of_messages:
        inner = _plan_of(below)
        for index, item in enumerate(getattr(message, name)):
            _check(item, inner, tenant, f"{path}{name}[{index}].")


def _check_name(name: str, tenant: str, message: Any, field: str) -> None:
    """Check one name. What is left empty names nothing, and is for the servicer to judge."""
    if not name or tenant_of(name) == tenant:
        return
    if field == "account.parent" and name == PLATFORM and message.account == tenant:
        return  # The account above a tenant, as every tenant's own account says.
    raise NotAllowed(
        f"The key is bound to {tenant!r}, and `{field}` names something that is not of that "
        "tenant.",
        tenant=tenant,
        field=field,
    )
