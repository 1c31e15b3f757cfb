"""The usage log as a file: every event once, whatever breaks off, in forms that others read."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from authority.ledger import usage_export
from authority.v1 import usage_service_pb2 as messages
from authority.v1 import usage_service_pb2_grpc
from keys import with_key
from refusals import invalid, refused
from usage_facts import make_events, write_events

START = datetime(2026, 9, 25, tzinfo=UTC)
EVENTS = make_events(11, 500, START, 20)
# Those that FOCUS 1.2 says must be there, and those that are to be where there are such facts.
FOCUS_MANDATORY = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass"),
    *("ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
}
FOCUS_CONDITIONAL = {
    *("ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "PricingCategory", "SkuId"),
    *("SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags", "ServiceSubcategory"),
    "InvoiceId",
}


@pytest.fixture
async def service(stubs, ledger_url):
    """The service of an authority whose log has the events of two tenants, of two months."""
    await stubs.account("acme", display_name="Acme, Inc.")
    await stubs.account("beta")
    async with (
        await psycopg.AsyncConnection.connect(ledger_url) as connection,
        connection.transaction(),
    ):
        await write_events(connection, EVENTS)
    return usage_service_pb2_grpc.UsageServiceStub(stubs.channel)


async def export(service, metadata, **fields):
    """Return the file, and the answers that it came in."""
    request = messages.ExportUsageRequest(**fields)
    answers = [answer async for answer in service.ExportUsage(request, metadata=metadata)]
    return b"".join(answer.chunk for answer in answers), answers


def table(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def in_order(events):
    return sorted(events, key=lambda event: (event["tenant"], event["sequence"]))


async def test_csv_has_every_event_as_it_is(service, stubs):
    content, answers = await export(service, stubs.metadata)
    rows = table(content)
    assert len(rows) == len(EVENTS) == answers[-1].event_count
    for row, event in zip(rows, in_order(EVENTS), strict=True):
        assert (row["tenant"], int(row["sequence"])) == (event["tenant"], event["sequence"])
        assert datetime.fromisoformat(row["event_time"]) == event["event_time"]
        assert row["user"] == event["user_name"]
        assert row["denial_reason"] == event["reason"]
        for name in ("account", "outcome", "kind", "provider", "model", "size", "quality"):
            assert row[name] == event[name]
        for name in ("actual", "charged", "absorbed", "refunded", "credits", "revenue", "saved"):
            assert int(row[name]) == event[f"{name}_micros"]
        assert row["duration_ms"] == (
            "" if event["duration_ms"] is None else str(event["duration_ms"])
        )
        assert row["downgraded"] == str(event["downgraded"]).lower()
        assert row["entry_id"] == (event["entry_id"] or "")


def as_cell(value):
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


async def test_json_lines_say_the_same(service, stubs):
    content, _ = await export(service, stubs.metadata, format="USAGE_EXPORT_FORMAT_JSONL")
    lines = [json.loads(line) for line in content.decode().splitlines()]
    plain, _ = await export(service, stubs.metadata)
    rows = table(plain)
    assert [list(line) for line in lines[:1]] == [list(rows[0])]
    for line, row in zip(lines, rows, strict=True):
        assert {name: as_cell(value) for name, value in line.items()} == row


async def test_what_needs_quoting_is_quoted(stubs, service, ledger_url):
    odd = 'a"b,c\\d\ne\x01\x02é'
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        await connection.execute("UPDATE usage_event SET user_name = %s, model = %s", [odd, odd])
    content, _ = await export(service, stubs.metadata)
    assert {row["user"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))} == {
        odd
    }
    content, _ = await export(service, stubs.metadata, format="USAGE_EXPORT_FORMAT_JSONL")
    lines = [json.loads(line) for line in content.decode().split("\n") if line]
    assert {line["model"] for line in lines} == {odd}


@pytest.mark.parametrize("begin", "=+-@\t\r")
async def test_no_cell_is_a_formula_of_a_spreadsheet(stubs, service, ledger_url, begin):
    text = f"{begin}HYPERLINK(1)"
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        await connection.execute(
            "UPDATE usage_event SET user_name = %(text)s, kind = %(text)s, provider = %(text)s,"
            " model = %(text)s, size = %(text)s, quality = %(text)s",
            {"text": text},
        )
        await connection.execute("UPDATE account SET display_name = %s", [text])
    for form in ("CSV", "FOCUS"):
        content, _ = await export(service, stubs.metadata, format=f"USAGE_EXPORT_FORMAT_{form}")
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        cells = {cell for row in rows for cell in row.values()}
        assert f"'{text}" in cells
        assert not [
            cell for cell in cells if cell.startswith(tuple("=+-@\t\r")) and "HYPER" in cell
        ]
    content, _ = await export(service, stubs.metadata, format="USAGE_EXPORT_FORMAT_JSONL")
    assert {json.loads(line)["user"] for line in content.decode().split("\n") if line} == {text}


async def test_a_tenant_an_account_a_time_and_a_filter(service, stubs):
    own = await with_key(stubs, "acme", ["READ"])
    rows = table((await export(service, own.metadata))[0])
    assert len(rows) == sum(event["tenant"] == "acme" for event in EVENTS)
    foreign = export(service, own.metadata, tenant="beta")
    assert (await refused(foreign)).code == "PERMISSION_DENIED"
    request = messages.ExportUsageRequest(tenant="acme")
    request.start_time.FromDatetime(START + timedelta(days=3))
    request.end_time.FromDatetime(START + timedelta(days=9))
    request.filter.kinds.append("image")
    request.filter.outcomes.append("USAGE_OUTCOME_SUCCEEDED")
    answers = [answer async for answer in service.ExportUsage(request, metadata=stubs.metadata)]
    rows = table(b"".join(answer.chunk for answer in answers))
    wanted = [
        event["sequence"]
        for event in in_order(EVENTS)
        if event["tenant"] == "acme"
        and START + timedelta(days=3) <= event["event_time"] < START + timedelta(days=9)
        and (event["kind"], event["outcome"]) == ("image", "SUCCEEDED")
    ]
    assert [int(row["sequence"]) for row in rows] == wanted
    assert wanted


async def test_an_export_goes_on_where_it_broke_off(service, stubs, monkeypatch):
    forms = [{"format": f"USAGE_EXPORT_FORMAT_{form}"} for form in ("CSV", "JSONL", "FOCUS")]
    in_one = [(await export(service, stubs.metadata, **fields))[0] for fields in forms]
    monkeypatch.setattr(usage_export, "CHUNK_BYTES_MAX", 2_000)
    monkeypatch.setattr(usage_export, "EVENTS_AT_ONCE", 64)
    for fields, page in zip(forms, in_one, strict=True):
        whole, answers = await export(service, stubs.metadata, **fields)
        assert whole == page
        assert len(answers) > 20
        assert all(len(answer.chunk) <= 2_000 for answer in answers)
        written = b""
        for answer in answers:
            written += answer.chunk
            # Some are enough: each is an export of its own.
            if answer.resume_token and answer.event_count % 3 == 0:
                rest, _ = await export(
                    service, stubs.metadata, resume_token=answer.resume_token, **fields
                )
                assert written + rest == whole
    token = answers[0].resume_token or answers[1].resume_token or answers[-1].resume_token
    wrong = export(service, stubs.metadata, resume_token=token)
    assert await invalid(wrong) == ["resume_token"]


async def test_what_is_wrong_is_named(service, stubs):
    request = messages.ExportUsageRequest(tenant="acme", account="beta/x", format=9)
    request.filter.users.append("")
    request.start_time.FromDatetime(START)
    request.end_time.FromDatetime(START)
    call = service.ExportUsage(request, metadata=stubs.metadata)

    async def read():
        return [answer async for answer in call]

    assert set(await invalid(read())) == {"account", "format", "filter.users[0]", "end_time"}
    missing = export(service, stubs.metadata, account="acme/nobody")
    assert (await refused(missing)).code == "NOT_FOUND"


async def test_an_empty_log_is_a_header(stubs):
    service = usage_service_pb2_grpc.UsageServiceStub(stubs.channel)
    for form, lines in (("CSV", 1), ("JSONL", 0), ("FOCUS", 1)):
        content, _ = await export(service, stubs.metadata, format=f"USAGE_EXPORT_FORMAT_{form}")
        assert content.count(b"\n") == lines


async def test_what_the_log_does_not_have_yet_is_left_out_whole(stubs, core):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    service = usage_service_pb2_grpc.UsageServiceStub(stubs.channel)
    held = (await stubs.reserve("acme", {"USD": 10})).reservation
    async with core.database.transaction() as connection:
        # Nobody projects meanwhile.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('paymaster.usage', 0))"
        )
        await stubs.commit(held.reservation_id, {"USD": 10})
        content, answers = await export(service, stubs.metadata)
        assert table(content) == []
        (row,) = await core.database.rows(
            "SELECT min(create_time) AS first FROM operation LEFT JOIN usage_cursor USING (tenant)"
            " WHERE operation.sequence > coalesce(usage_cursor.sequence, 0)",
            {},
        )
        assert answers[-1].end_time.ToDatetime(tzinfo=UTC) == row["first"]


async def test_focus_has_its_columns_and_its_sums(service, stubs):
    content, _ = await export(service, stubs.metadata, format="USAGE_EXPORT_FORMAT_FOCUS")
    rows = table(content)
    columns = set(rows[0])
    assert columns >= FOCUS_MANDATORY | FOCUS_CONDITIONAL
    assert all(name.startswith("x_") for name in columns - FOCUS_MANDATORY - FOCUS_CONDITIONAL)
    costs = [
        event
        for event in EVENTS
        if event["outcome"] in ("SUCCEEDED", "PART")
        or any(event[f"{name}_micros"] for name in ("actual", "charged", "refunded"))
    ]
    assert len(rows) == len(costs)
    billed, actual = Counter(), Counter()
    for event in costs:
        billed[event["account"]] += event["charged_micros"] - event["refunded_micros"]
        actual[event["account"]] += event["actual_micros"]
    for row in rows:
        account = row["SubAccountId"]
        billed[account] -= Decimal(row["BilledCost"]) * 1_000_000
        actual[account] -= Decimal(row["x_ActualCost"]) * 1_000_000
        assert row["BilledCost"] == row["EffectiveCost"]
        moment = datetime.fromisoformat(row["x_EventTime"])
        for kind in ("Charge", "Billing"):
            start, end = (
                datetime.fromisoformat(row[f"{kind}Period{bound}"]) for bound in ("Start", "End")
            )
            assert start <= moment < end
        assert {"acme": "Acme, Inc.", "beta": "beta"}[row["BillingAccountId"]] == row[
            "BillingAccountName"
        ]
        is_usage = row["ChargeCategory"] == "Usage"
        assert bool(row["PricingQuantity"]) == bool(row["ConsumedUnit"]) == is_usage
        assert (row["ListCost"] == row["x_ActualCost"]) or not is_usage
        if row["Tags"]:
            assert json.loads(row["Tags"])["user"] in ("ada", "bob")
    assert not any(billed.values())
    assert not any(actual.values())
