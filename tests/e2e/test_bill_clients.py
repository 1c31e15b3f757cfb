"""Bills and exports through the Python clients, with and without await."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from authorities import TOKEN
from billing import MODEL, openai_file, openai_row
from clients import (
    InvalidRequest,
    NotFound,
    ReconciliationClient,
    Unavailable,
    UsageClient,
    UsageExportFormat,
)
from clients.sync import SyncReconciliationClient, SyncUsageClient

DAY = date(2026, 11, 2)
ITEM = f"{MODEL}, image output"


@pytest.fixture
def address(authority):
    return f"127.0.0.1:{authority[0].port}"


@pytest.fixture
def path(tmp_path):
    """A file of more than one piece."""
    made = tmp_path / "costs.csv"
    rows = [openai_row("2026-11-02", "0.001", ITEM) for _ in range(5_000)]
    made.write_bytes(openai_file(*rows))
    assert made.stat().st_size > 512 * 1024
    return made


async def test_a_bill_and_its_days(address, path, stubs):
    await stubs.account("acme")
    async with ReconciliationClient(address, token=TOKEN) as bills:
        imported = await bills.import_bill(path, "openai", source="eu", end_day=date(2026, 11, 3))
        bill = imported.bill
        assert (bill.line_count, bill.billed, bill.start_day) == (5_000, 5_000_000, DAY)
        assert (bill.end_day, bill.file_name, bill.source) == (
            *(date(2026, 11, 3), "costs.csv", "eu"),
        )
        assert [found async for found in bills.list_bills()] == [bill]
        made = await bills.adjust_day(DAY, "openai", MODEL, account="acme", reason="r")
        assert (made.amount, [part.account for part in made.parts]) == (5_000_000, ["acme"])
        assert [found.amount async for found in bills.list_adjustments()] == [5_000_000]
        assert [found async for found in bills.list_presumed()] == []
        assert (await bills.withdraw_bill(bill.bill_id)).withdraw_time is not None
        (day,) = [found async for found in bills.list_days(start_day=DAY, end_day=DAY)]
        assert (day.adjusted, day.state) == (5_000_000, "NO_BILL")


async def test_a_file_that_is_refused_in_its_midst(address, path):
    bad = path.read_bytes().replace(b"0.001", b"much", 1)
    path.write_bytes(bad + bad)
    async with ReconciliationClient(address, token=TOKEN) as bills:
        with pytest.raises(InvalidRequest) as refused:
            await bills.import_bill(path, "openai")
        assert refused.value.violations[0].field == "line 2, column amount_value"
        with pytest.raises(InvalidRequest):
            await bills.import_bill(path, "No Provider")
        with pytest.raises(FileNotFoundError):
            await bills.import_bill(path.with_name("none"), "openai")


async def test_without_await(address, path, stubs):
    await stubs.account("acme")

    def work():
        with SyncReconciliationClient(address, token=TOKEN) as bills:
            bill = bills.import_bill(path, "openai").bill
            assert bills.import_bill(path, "openai").replayed
            assert [found.billed for found in bills.list_days(start_day=DAY, end_day=DAY)] == [
                5_000_000
            ]
            with pytest.raises(InvalidRequest):
                bills.import_bill(path, "x y")
        with SyncUsageClient(address, token=TOKEN) as usage:
            pieces = list(usage.export_usage(form=UsageExportFormat.FOCUS))
            with pytest.raises(NotFound):
                list(usage.export_usage(account="acme/nobody"))
        return bill.billed, b"".join(piece.content for piece in pieces)

    billed, content = await asyncio.to_thread(work)
    assert billed == 5_000_000
    assert content.startswith(b"BilledCost,")


async def test_an_authority_that_is_not_there():
    async with UsageClient("127.0.0.1:1", token=TOKEN) as usage:
        with pytest.raises(Unavailable):
            [piece async for piece in usage.export_usage()]
