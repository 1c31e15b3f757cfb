"""Providers' bills: imported whole or not at all, once, and each day counted by one bill."""

from __future__ import annotations

import psycopg
import pytest

from authorities import Stubs
from authority.v1 import reconciliation_service_pb2 as messages
from authority.v1 import usage_service_pb2 as usage
from authority.v1 import usage_service_pb2_grpc
from billing import MODEL, Billing, fal_file, fal_row, openai_file, openai_row
from keys import with_key
from refusals import invalid, refused
from support import eventually


@pytest.fixture
async def bills(stubs: Stubs, ledger_url: str):
    """The service, and a connection for what workers write."""
    await stubs.account("acme")
    await stubs.account("globex")
    for account in ("acme", "globex"):
        await stubs.set_budget(account, 1_000_000_000, window="TOTAL")
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        yield Billing(stubs, connection)


def summary(day):
    state = messages.BillDayState.Name(day.state).removeprefix("BILL_DAY_STATE_")
    return (day.day, day.model, day.billed, day.booked, day.adjusted, day.difference, state)


async def test_a_bill_is_beside_what_is_booked(bills):
    await bills.attempt("acme", 40_000, "2026-11-02T10:00:00")
    await bills.attempt("globex", 50_000, "2026-11-02T23:59:59")
    await bills.attempt("acme", 7_000, "2026-11-03T00:00:00")
    await bills.attempt("acme", 3_000, "2026-11-04T00:00:00", model="dall-e-3")
    await bills.attempt("acme", 1_000, "2026-11-09T00:00:00")
    imported = await bills.import_file(
        openai_file(
            openai_row("2026-11-02", "0.06", f"{MODEL}, image output", "2"),
            openai_row("2026-11-02", "0.030000000000000000000000000000", f"{MODEL}, text input"),
            openai_row("2026-11-03", "0.0071", f"{MODEL}-2025-04-23, image output"),
            openai_row("2026-11-03", "1.5", "web search tool calls"),
            openai_row("2026-11-04"),
        ),
        file_name="costs.csv",
        reason="November",
    )
    bill = imported.bill
    assert not imported.replayed
    assert (bill.start_day, bill.end_day, bill.line_count) == ("2026-11-02", "2026-11-04", 4)
    assert (bill.billed, bill.format) == (1_597_100, messages.BILL_FORMAT_OPENAI)
    assert (bill.file_name, bill.reason, bill.actor) == (
        "costs.csv",
        "November",
        "root token (root)",
    )
    assert [summary(day) for day in await bills.days(page_size=2)] == [
        ("2026-11-09", MODEL, 0, 1_000, 0, 0, "NO_BILL"),
        ("2026-11-04", "dall-e-3", 0, 3_000, 0, -3_000, "NOT_BILLED"),
        ("2026-11-03", MODEL, 7_100, 7_000, 0, 100, "BILLED_MORE"),
        ("2026-11-03", "web search tool calls", 1_500_000, 0, 0, 1_500_000, "NOT_BOOKED"),
        ("2026-11-02", MODEL, 90_000, 90_000, 0, 0, "MATCHED"),
    ]
    assert [day.day for day in await bills.days(difference_min=3_000)] == [
        "2026-11-04",
        "2026-11-03",
    ]
    assert [day.day for day in await bills.days(model="dall-e-3")] == ["2026-11-04"]
    assert await bills.days(provider="fal") == []


async def test_the_same_content_is_imported_once(bills):
    content = openai_file(openai_row("2026-11-02", "0.5", f"{MODEL}, image output"))
    first = await bills.import_file(content, size=7)
    again = await bills.import_file(content, file_name="other.csv")
    assert again.replayed
    assert again.bill == first.bill
    assert (await bills.day()).billed == 500_000
    # What is of another account at the provider adds up, though it has the same content.
    assert not (await bills.import_file(content, source="org-2")).replayed
    assert (await bills.day()).billed == 1_000_000
    assert len(await bills.bills(page_size=1)) == 2


async def test_a_later_bill_takes_the_days_that_it_covers(bills):
    item = f"{MODEL}, image output"
    await bills.import_file(
        openai_file(*(openai_row(f"2026-11-0{n}", f"0.{n}", item) for n in (1, 2, 3)))
    )
    later = openai_file(openai_row("2026-11-02", "0.9", item), openai_row("2026-11-03"))
    bill = (await bills.import_file(later)).bill
    assert {day.day: day.billed for day in await bills.days()} == {
        "2026-11-01": 100_000,
        "2026-11-02": 900_000,
    }
    # It should not have been imported: the bills before it count again.
    withdrawn = await bills.withdraw(bill.bill_id, reason="the wrong file")
    assert withdrawn.HasField("withdraw_time")
    assert await bills.withdraw(bill.bill_id) == withdrawn
    assert {day.day: day.billed for day in await bills.days()} == {
        "2026-11-01": 100_000,
        "2026-11-02": 200_000,
        "2026-11-03": 300_000,
    }
    assert not (await bills.import_file(later)).replayed
    missing = "01999999-9999-7999-8999-999999999999"
    assert (await refused(bills.withdraw(missing))).code == "NOT_FOUND"


async def test_less_than_a_micro_is_not_lost(bills):
    rows = [openai_row("2026-11-02", "0.0000004", f"{MODEL}, text input") for _ in range(10)]
    rows.append(openai_row("2026-11-02", "-2e-06", f"{MODEL}, credit"))
    assert (await bills.import_file(openai_file(*rows))).bill.billed == 2
    assert (await bills.day()).billed == 2


async def test_fal_bills_by_endpoint_and_bucket(bills):
    await bills.attempt(
        "acme", 25_000, "2026-11-02T05:30:00", provider="fal", model="fal-ai/flux/dev"
    )
    content = fal_file(
        fal_row("2026-11-02T00:00:00-05:00", "fal-ai/flux/dev", "0.025"),
        fal_row("2026-11-03T00:00:00Z", "fal-ai/flux/schnell", "0.1", "3.5", "megapixel"),
    )
    bill = (await bills.import_file(b"\xef\xbb\xbf" + content, "fal", start_day="2026-11-01")).bill
    assert (bill.format, bill.start_day) == (messages.BILL_FORMAT_FAL, "2026-11-01")
    assert [summary(day) for day in await bills.days()] == [
        ("2026-11-03", "fal-ai/flux/schnell", 100_000, 0, 0, 100_000, "NOT_BOOKED"),
        ("2026-11-02", "fal-ai/flux/dev", 25_000, 25_000, 0, 0, "MATCHED"),
    ]


GOOD = openai_row("2026-11-02", "0.5", f"{MODEL}, image output")
BAD_FILES = {
    "empty": (b"", "line 1"),
    "no header": (b"1,2\n3,4\n", "line 1, column start_time or start_time_iso"),
    "short": (openai_file(GOOD, "1,2"), "line 3"),
    "amount": (openai_file(GOOD, openai_row("2026-11-02", "1,5", "a, b")), "line 3"),
    "word": (
        openai_file(openai_row("2026-11-02", "much", "a, b")),
        "line 2, column amount_value",
    ),
    "huge": (openai_file(openai_row("2026-11-02", "1e99", "a, b")), "line 2, column amount_value"),
    "not grouped": (openai_file(openai_row("2026-11-02", "1")), "line 2, column line_item"),
    "currency": (
        openai_file(GOOD.replace("usd", "eur")),
        "line 2, column amount_currency",
    ),
    "time": (openai_file("x" + GOOD), "line 2, column start_time"),
    "month": (
        openai_file(GOOD.replace("1793664000", "1796256000")),
        "line 2, column end_time",
    ),
    "quotes": (openai_file(GOOD, '"open'), "line 3"),
    "no text": (openai_file(GOOD) + b"\xff\xfe", "line 3"),
    "zeros": (openai_file(GOOD) + b"\0,", "line 3"),
    "days": (openai_file(GOOD, openai_row("2024-11-02", "1", "a, b")), "header.end_day"),
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_a_bad_file_is_told_by_line_and_column_and_nothing_of_it_is_kept(bills, name):
    content, place = BAD_FILES[name]
    assert place in (await invalid(bills.import_file(content)))[0]
    assert await bills.bills() == []
    assert await bills.days() == []


async def test_all_bad_lines_are_told_up_to_a_number(bills):
    rows = [openai_row("2026-11-02", "x", "a, b") for _ in range(30)]
    fields = await invalid(bills.import_file(openai_file(GOOD, *rows)))
    assert fields == [f"line {number}, column amount_value" for number in range(3, 19)]


async def test_a_header_says_what_is_wrong_with_it(bills):
    fields = await invalid(
        bills.import_file(
            b"", "Open AI", source="\n", file_name="x" * 257, start_day="1.1.", end_day="2026-02-30"
        )
    )
    assert set(fields) == {
        "header.provider",
        "header.format",
        "header.source",
        "header.file_name",
        "header.start_day",
        "header.end_day",
    }
    for parts in ([], [messages.ImportBillRequest(chunk=b"x")]):
        call = bills.service.ImportBill(iter(parts), metadata=bills.metadata)
        assert await invalid(call) == ["header"]
    header = messages.ImportBillRequest(header=messages.BillHeader(provider="openai"))
    call = bills.service.ImportBill(iter([header, header]), metadata=bills.metadata)
    assert await invalid(call) == ["header"]
    assert "chunk" in await invalid(bills.import_file(b"x" * 1_100_000, size=1_100_000))
    # Lines outside of the days that it is said to cover.
    for field, day in (("start_day", "2026-11-03"), ("end_day", "2026-11-01")):
        fields = await invalid(bills.import_file(openai_file(GOOD), **{field: day}))
        assert f"header.{field}" in fields
    empty = openai_file()
    assert await invalid(bills.import_file(empty)) == ["chunk"]
    bill = (await bills.import_file(empty, start_day="2026-11-01", end_day="2026-11-02")).bill
    assert (bill.line_count, bill.billed) == (0, 0)


async def test_a_large_file_is_imported(bills):
    day = "2026-11-02T00:00:00Z"
    rows = [fal_row(day, f"fal-ai/model-{number % 50}", "0.001") for number in range(60_000)]
    bill = (await bills.import_file(fal_file(*rows), "fal", size=500_000)).bill
    assert (bill.line_count, bill.billed) == (60_000, 60_000_000)
    found = await bills.days()
    assert len(found) == 50
    assert {day.billed for day in found} == {1_200_000}


async def test_no_name_of_a_person_is_kept(bills, ledger_url):
    await bills.import_file(openai_file(GOOD))
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        for table in ("bill", "bill_line", "admin_audit"):
            cursor = await connection.execute(f"SELECT {table}::text FROM {table}")
            assert not any("example.com" in text for (text,) in await cursor.fetchall())


async def test_bills_are_the_platforms(bills, stubs):
    own = Billing(await with_key(stubs, "acme"))
    for call in (
        own.bills(),
        own.days(),
        own.presumed(),
        own.adjustments(),
        own.adjust("2026-11-02"),
    ):
        assert (await refused(call)).code == "PERMISSION_DENIED"
    assert (await refused(own.import_file(openai_file(GOOD)))).code == "PERMISSION_DENIED"
    reader = Billing(await with_key(stubs, "platform", ["READ"]))
    assert await reader.bills() == []
    assert (await refused(reader.import_file(openai_file(GOOD)))).code == "PERMISSION_DENIED"


async def test_what_services_have_committed_under_a_providers_name_counts_too(bills, stubs):
    held = await stubs.reserve(
        "acme",
        {"USD": 5_000},
        labels={"provider": "openai", "model": "gpt-4.1-mini", "kind": "chat"},
    )
    await stubs.commit(held.reservation.reservation_id, {"USD": 4_200})
    day = str(held.reservation.create_time.ToDatetime().date())
    content = openai_file(openai_row(day, "0.0042", "gpt-4.1-mini-2025-04-14, input_tokens"))
    await bills.import_file(content)

    async def matched():
        (found,) = await bills.days()
        return summary(found) == (day, "gpt-4.1-mini", 4_200, 4_200, 0, 0, "MATCHED")

    # The usage log, which knows it, follows the ledger.
    await eventually(matched)
    await bills.import_file(content.replace(b"0.0042", b"0.0043"))
    await bills.adjust(day, "gpt-4.1-mini")
    service = usage_service_pb2_grpc.UsageServiceStub(stubs.channel)
    asked = usage.QueryUsageRequest(group_by=["USAGE_DIMENSION_MODEL"])

    async def adjusted():
        answer = await service.QueryUsage(asked, metadata=stubs.metadata)
        (group,) = answer.groups
        sums = group.sums
        return (sums.actual, sums.charged, sums.adjusted_count) == (4_300, 4_200, 1)

    await eventually(adjusted)
    (found,) = await bills.days()
    assert summary(found) == (day, "gpt-4.1-mini", 4_300, 4_200, 100, 0, "MATCHED")
