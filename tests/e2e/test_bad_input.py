"""What is malformed is INVALID_ARGUMENT, names every field that is wrong, and holds nothing."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authorities import legs_of
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import generation_service_pb2 as generation
from authority.v1.resources_pb2 import Account, Budget, Grant, Leg
from calls import REQUESTS, send, send_bytes
from refusals import invalid, refused

MAX = 2**53 - 1
ID = f"acme/{uuid.UUID(int=7)}"
USD = legs_of({"USD": 1})
LONG = "x" * 100_000
NAME = FieldMask(paths=["display_name"])


def reserve(**fields):
    """Return a Reserve that is good but for the given fields."""
    good = {"idempotency_key": "k", "account": "acme", "options": [budget.Option(legs=USD)]}
    return budget.ReserveRequest(**{**good, **fields})


def legs(*pairs):
    """Return legs from (unit's number, amount) pairs."""
    return [Leg(unit=unit, amount=amount) for unit, amount in pairs]


def option(*pairs):
    return [budget.Option(legs=legs(*pairs))]


def settle(kind, **fields):
    """Return a Commit, Release or Refund that is good but for the given fields."""
    return kind(**{"idempotency_key": "k", "reservation_id": ID, **fields})


def token(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


KEYS = ["", "x" * 129, "a\x00b", "a\nb", "\x7f", "\u200b"]
ACCOUNTS = ["", "platform", "platform/alice", "ACME", "acme/", "acme/a/b", "acme\n", "a" * 41, LONG]
BELOW = [account for account in ACCOUNTS if account != "platform"]  # which may have budgets
IDS = ["", "acme", "acme/", "acme/1", str(uuid.UUID(int=7)), ID.upper(), ID + "\n", LONG]
AMOUNTS = [0, -1, MAX + 1, 2**63 - 1, -(2**63)]

BUDGET_CASES = [
    *((reserve(idempotency_key=key), ["idempotency_key"]) for key in KEYS),
    *((reserve(account=account), ["account"]) for account in ACCOUNTS),
    *((reserve(options=option((1, n))), ["options[0].legs[0].amount"]) for n in AMOUNTS),
    *(
        (reserve(options=option((n, 1))), ["options[0].legs[0].unit"])
        for n in (0, 6, -1, 2**31 - 1)
    ),
    (reserve(options=[]), ["options"]),
    (reserve(options=option((1, 1)) * 9), ["options"]),
    (reserve(options=option((1, 1)) * 5_000), ["options"]),
    (reserve(options=option()), ["options[0].legs"]),
    (reserve(options=option(*[(1, 1)] * 9)), ["options[0].legs"]),
    (reserve(options=option(*[(1, 1)] * 9_000)), ["options[0].legs"]),
    (reserve(options=option((1, 1), (3, 1), (1, 2))), ["options[0].legs[2].unit"]),
    (reserve(options=option((6, 1), (1, 1))), ["options[0].legs[0].unit"]),
    (reserve(options=[budget.Option(legs=USD, name="x" * 65)]), ["options[0].name"]),
    (reserve(options=[budget.Option(legs=USD, name="a\tb")]), ["options[0].name"]),
    *(
        (reserve(ttl=Duration(seconds=seconds, nanos=nanos)), ["ttl"])
        for seconds, nanos in [(0, 0), (0, 999_999_999), (-1, 0), (86_400, 1_000_000), (2**62, 0)]
    ),
    (reserve(labels={str(n): "" for n in range(17)}), ["labels"]),
    (reserve(labels={"": "x"}), ["labels"]),
    (reserve(labels={"x" * 65: "x"}), ["labels"]),
    (reserve(labels={"a\x00": "x"}), ["labels"]),
    (reserve(labels={"a": "x" * 257}), ["labels['a']"]),
    (reserve(labels={"a": "x\x1b"}), ["labels['a']"]),
    (
        budget.ReserveRequest(options=option((0, 0)), ttl=Duration(seconds=-1)),
        [
            *["idempotency_key", "account", "options[0].legs[0].unit"],
            *["options[0].legs[0].amount", "ttl"],
        ],
    ),
    *(
        (settle(kind, **{field: value}), [field])
        for kind in (budget.CommitRequest, budget.ReleaseRequest, budget.RefundRequest)
        for field, values in {"idempotency_key": KEYS, "reservation_id": IDS}.items()
        for value in values
    ),
    *(
        (settle(kind, reason=reason), ["reason"])
        for kind in (budget.ReleaseRequest, budget.RefundRequest)
        for reason in ("x" * 257, "a\nb", "\x00")
    ),
    *(
        (settle(budget.CommitRequest, actual=legs((1, n))), ["actual[0].amount"])
        for n in AMOUNTS
        if n
    ),
    (settle(budget.CommitRequest, actual=legs((1, 1), (1, 1))), ["actual[1].unit"]),
    (settle(budget.CommitRequest, actual=legs(*[(1, 1)] * 9)), ["actual"]),
    (settle(budget.CommitRequest, actual=legs((9, 1))), ["actual[0].unit"]),
    *((settle(budget.RefundRequest, legs=legs((1, n))), ["legs[0].amount"]) for n in AMOUNTS),
    (settle(budget.RefundRequest, legs=legs((0, 1))), ["legs[0].unit"]),
    *((budget.GetReservationRequest(reservation_id=name), ["reservation_id"]) for name in IDS),
    *((budget.GetBalanceRequest(account=account), ["account"]) for account in BELOW),
    (
        budget.GetBalanceRequest(account="platform", as_of_time=Timestamp(seconds=1)),
        ["as_of_time"],
    ),
]


def make_account(**fields):
    return admin.CreateAccountRequest(account=Account(**{"account": "acme/alice", **fields}))


def make_budget(**fields):
    good = {"account": "acme", "unit": 1, "window": 2, "limit": 5, "budget": "other"}
    return admin.CreateBudgetRequest(budget=Budget(**{**good, **fields}))


def change_account(*paths, **fields):
    return admin.UpdateAccountRequest(
        account=Account(**{"account": "acme", **fields}), update_mask=FieldMask(paths=paths)
    )


def change_budget(*paths, **fields):
    return admin.UpdateBudgetRequest(
        budget=Budget(**{"account": "acme", "budget": "usd-day", **fields}),
        update_mask=FieldMask(paths=paths),
    )


ALL_ACCOUNTS = ["accounts", "", "", "", "False"]
TOKENS = [
    *["x", "!", "é", LONG, token([]), token(7), token(None), token({"a": 1})],
    *[token([[*ALL_ACCOUNTS], [7]]), token([[*ALL_ACCOUNTS], ["a\x00"]])],
    *[token([[*ALL_ACCOUNTS], ["\ud800"]]), token([["accounts", "acme"], ["acme"]])],
    *[token([["changes", "", ""], [text]]) for text in ("x", "-1", "٣", "9" * 19, "1 ", 7)],
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]

ADMIN_CASES = [
    (admin.CreateAccountRequest(), ["account.account"]),
    *((make_account(account=account), ["account.account"]) for account in ACCOUNTS),
    *(
        (make_account(parent=parent), ["account.parent"])
        for parent in ("platform", "other", "acme/alice", "acme/", "acme/a b", "acme/" + LONG)
    ),
    (make_account(account="globex", parent="acme"), ["account.parent"]),
    (make_account(display_name="x" * 129), ["account.display_name"]),
    (make_account(display_name="a\nb"), ["account.display_name"]),
    *(
        (make_account(time_zone=zone), ["account.time_zone"])
        for zone in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "UTC\x00", "utc ", LONG)
    ),
    (make_account(state=9), ["account.state"]),
    (make_account(overage_policy=-1), ["account.overage_policy"]),
    (change_account(), ["update_mask"]),
    (change_account("state", "time_zone", state=1), ["update_mask"]),
    (change_account("*"), ["update_mask"]),
    (change_account("state"), ["account.state"]),
    (change_account("overage_policy", overage_policy=77), ["account.overage_policy"]),
    (change_account("state", account="platform", state=1), ["update_mask"]),
    (change_account("parent", account="acme/alice"), ["account.parent"]),
    (change_account("parent", account="acme/alice", parent="acme/alice"), ["account.parent"]),
    (change_account("parent", account="acme/alice", parent="globex/bob"), ["account.parent"]),
    (change_account("parent", account="acme/alice", parent="platform"), ["account.parent"]),
    (change_account("parent", parent="acme/alice"), ["account.parent"]),
    *(
        case
        for number in (-1, 1_000_001, 2**31 - 1)
        for case in (
            (make_account(reserves_per_minute=number), ["account.reserves_per_minute"]),
            (
                change_account("reserves_per_minute", reserves_per_minute=number),
                ["account.reserves_per_minute"],
            ),
        )
    ),
    *(
        case
        for limits, field in [
            (legs((1, 0)), "[0].amount"),
            (legs((1, MAX + 1)), "[0].amount"),
            (legs((6, 1)), "[0].unit"),
            (legs((0, 1)), "[0].unit"),
            (legs((1, 1), (3, 1), (1, 2)), "[2].unit"),
            (legs(*[(1, 1)] * 9), ""),
        ]
        for case in (
            (make_account(per_request_limits=limits), [f"account.per_request_limits{field}"]),
            (
                change_account("per_request_limits", per_request_limits=limits),
                [f"account.per_request_limits{field}"],
            ),
        )
    ),
    (admin.GetAccountRequest(account="platform/alice"), ["account"]),
    (admin.ListAccountsRequest(page_size=-1), ["page_size"]),
    *(
        (admin.ListAccountsRequest(tenant=tenant), ["tenant"])
        for tenant in ("ACME", "platform", "acme/alice")
    ),
    *((admin.ListAccountsRequest(page_token=text), ["page_token"]) for text in TOKENS),
    *((admin.ListAccountsRequest(parent=name), ["parent"]) for name in ("ACME", "acme/", LONG)),
    *((admin.ListAccountsRequest(state=number), ["state"]) for number in (4, -1)),
    *(
        (admin.ListAccountsRequest(order_by=text), ["order_by"])
        for text in ("parent", "account asc", "account  desc", "desc", "account desc,state", LONG)
    ),
    (admin.CreateBudgetRequest(), ["budget.account", "budget.unit", "budget.window"]),
    *((make_budget(account=account), ["budget.account"]) for account in BELOW),
    *((make_budget(budget=name), ["budget.budget"]) for name in ("A", "-", "x" * 64, "a/b")),
    *((make_budget(unit=number), ["budget.unit"]) for number in (0, 7, -1)),
    (make_budget(unit=6), ["budget.window"]),
    (make_budget(unit=6, window=5, enforcement=2), ["budget.enforcement"]),
    (make_budget(unit=6, enforcement=3), ["budget.window", "budget.enforcement"]),
    *((make_budget(window=number), ["budget.window"]) for number in (0, 6)),
    *((make_budget(limit=limit), ["budget.limit"]) for limit in (-1, MAX + 1, 2**63 - 1)),
    (make_budget(enforcement=4), ["budget.enforcement"]),
    (change_budget(), ["update_mask"]),
    (change_budget("unit"), ["update_mask"]),
    (change_budget("limit", limit=-1), ["budget.limit"]),
    (change_budget("enforcement"), ["budget.enforcement"]),
    (change_budget("limit", account="", budget=""), ["budget.account", "budget.budget"]),
    (admin.GetBudgetRequest(), ["account", "budget"]),
    (admin.ListBudgetsRequest(page_size=-5, account="A"), ["page_size", "account"]),
    *((admin.ListBudgetsRequest(page_token=text), ["page_token"]) for text in TOKENS),
    *((admin.ListBudgetsRequest(unit=number), ["unit"]) for number in (7, -1)),
    *((admin.ListChangesRequest(page_token=text), ["page_token"]) for text in TOKENS),
    (
        admin.ListChangesRequest(page_size=-1, tenant="acme/alice", account="A"),
        ["page_size", "tenant", "account"],
    ),
    *(
        (change(reason), ["reason"])
        for reason in ("x" * 257, "a\nb", "\x00", "\u200b")
        for change in (
            lambda reason: admin.CreateAccountRequest(
                account=Account(account="acme/bob"), reason=reason
            ),
            lambda reason: admin.UpdateAccountRequest(
                account=Account(account="acme"), update_mask=NAME, reason=reason
            ),
            lambda reason: admin.CreateBudgetRequest(
                budget=Budget(account="acme", unit=1, window=1, limit=1), reason=reason
            ),
            lambda reason: admin.UpdateBudgetRequest(
                budget=Budget(account="acme", budget="usd-day"),
                update_mask=FieldMask(paths=["limit"]),
                reason=reason,
            ),
            lambda reason: admin.CreateGrantRequest(
                idempotency_key="k",
                grant=Grant(account="acme", unit=1, amount=1),
                reason=reason,
            ),
            lambda reason: admin.VoidGrantRequest(idempotency_key="k", grant_id=ID, reason=reason),
            lambda reason: admin.CreateApiKeyRequest(
                api_key=admin.ApiKey(tenant="acme", scopes=[1]), reason=reason
            ),
            lambda reason: admin.RevokeApiKeyRequest(api_key_id="a" * 12, reason=reason),
        )
    ),
    *(
        (admin.AuditRequest(tenant=tenant), ["tenant"])
        for tenant in ("platform", "acme/alice", "ACME", LONG)
    ),
]

GENERATION_CASES = [
    *((generation.GetGenerationRequest(generation_id=name), ["generation_id"]) for name in IDS),
    (generation.BatchGetGenerationsRequest(), ["generation_ids"]),
    (generation.BatchGetGenerationsRequest(generation_ids=[ID] * 501), ["generation_ids"]),
    *((generation.ListGenerationsRequest(account=account), ["account"]) for account in ACCOUNTS),
    *(
        (generation.ListGenerationsRequest(account="acme", page_token=text), ["page_token"])
        for text in TOKENS
    ),
    *(
        (generation.DownloadArtifactRequest(artifact_id=name), ["artifact_id"])
        for name in ("", ID, f"{ID}/", f"{ID}/x", f"{ID}/../../0", "acme/../x/0", LONG)
    ),
    (generation.ListModelsRequest(kind=9), ["kind"]),
]


@pytest.fixture
async def acme(stubs):
    """An account that may spend."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return stubs


@pytest.mark.parametrize("cases", [BUDGET_CASES, ADMIN_CASES, GENERATION_CASES])
async def test_every_wrong_field_is_named(acme, core, cases):
    for request, fields in cases:
        assert await invalid(send(acme, request)) == fields, str(request)[:200]
    assert await acme.balance("acme") == {("acme", "usd-day"): (0, 0, 0, 1_000_000)}
    assert [key async for key in core.hot.redis.scan_iter("*:answer:*")] == []


@pytest.mark.parametrize(
    "request_",
    [
        reserve(options=option(*[(7, 0)] * 8) * 8, account="\U0001f98a" * 1_000),
        reserve(labels={"\x00" * 60 + str(n): "\U0001f98a" * 300 for n in range(3_000)}),
        generation.BatchGetGenerationsRequest(generation_ids=["\U0001f98a" * 100] * 500),
    ],
    ids=["legs", "labels", "ids"],
)
async def test_more_that_is_wrong_than_a_status_can_hold(acme, request_):
    refusal = await refused(send(acme, request_))
    assert refusal.reason == "INVALID_FIELD"
    assert len(refusal.fields) == 16
    assert "more" in refusal.message


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe\xff"])
async def test_bytes_that_are_no_message(acme, body):
    for request in REQUESTS:
        assert await invalid(send_bytes(acme, request, body)) == ["request"]


async def test_what_does_not_exist_is_not_found(acme):
    for call in (
        acme.reserve("nobody", {"USD": 1}),
        acme.reserve("acme/nobody", {"USD": 1}),
        acme.commit(ID, {"USD": 1}),
        acme.release(ID.replace("acme", "nobody")),
        acme.refund(ID),
        acme.get(ID),
        acme.balance("acme/nobody"),
        acme.set_budget("nobody", 1),
        acme.account("acme/child", parent="acme/nobody"),
        acme.differences("nobody"),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "NOT_FOUND")


async def test_a_page_token_of_another_listing(acme):
    for number in range(3):
        await acme.account(f"acme/user-{number}")
    page = await send(acme, admin.ListAccountsRequest(page_size=2))
    assert [row.account for row in page.accounts] == ["acme", "acme/user-0"]
    for text in (page.next_page_token, "x", "bnVsbA==", "\ud7ff"):
        other = admin.ListBudgetsRequest(page_token=text)
        assert await invalid(send(acme, other)) == ["page_token"]
