"""`paymaster usage projection` and both clients, on a real authority."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from authorities import TOKEN
from clients import ProjectionBasis, UsageClient
from clients.sync import SyncUsageClient
from watched import PastUse, midday, now_of

DOLLAR = 1_000_000


@pytest.fixture
async def spending(authority, ledger_url):
    """An account that spends a dollar each day at noon, and one that was never used."""
    running, stubs = authority
    await stubs.account("acme")
    await stubs.account("new")
    await stubs.set_budget("acme", 10 * DOLLAR, window="TOTAL", name="ever")
    await stubs.set_budget("acme", 500 * DOLLAR, window="MONTH", name="month")
    await stubs.set_budget("new", DOLLAR, window="MONTH", name="month")
    now, use = now_of(running), PastUse()
    for back in range(60):
        if midday(now, back) < now:
            use.add("acme", midday(now, back), DOLLAR)
    await use.write(ledger_url)
    return f"127.0.0.1:{running.port}"


async def run(address, *words):
    """Run the command line; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "paymaster", "usage", "projection", *words),
        env={**os.environ, "PAYMASTER_ADDRESS": address, "PAYMASTER_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, told = await process.communicate()
    return process.returncode, printed.decode(), told.decode()


async def test_the_command_says_when_a_limit_is_reached(spending):
    code, printed, told = await run(spending, "acme")
    assert (code, told) == (0, "")
    header, ever, month = (line.split("\t") for line in printed.splitlines())
    row = dict(zip(header, ever, strict=True))
    assert (row["budget"], row["limit"], row["expected"]) == ("ever", "$10.00", "-")
    assert row["exhausted"].startswith(("in 9.", "in 10."))
    row = dict(zip(header, month, strict=True))
    assert row["budget"] == "month"
    assert row["lower"] == row["expected"] == row["upper"]
    assert row["exhausted"] == "-"
    assert row["basis"].startswith("WEEKDAYS (")


async def test_as_json_and_of_one_budget(spending):
    code, printed, _ = await run(spending, "acme", "month", "--json")
    (said,) = json.loads(printed)["projections"]
    assert code == 0
    assert said["balance"]["budget"]["budget"] == "month"
    assert isinstance(said["expected"], int)
    code, printed, _ = await run(spending, "new", "--json")
    (said,) = json.loads(printed)["projections"]
    assert (said["basis"], said["expected"], said["exhaust_time"]) == ("NONE", None, None)


async def test_what_there_is_not_is_told(spending):
    code, _, told = await run(spending, "acme", "no-such")
    assert code != 0
    assert "no-such" in told


async def test_both_clients_say_the_same(spending):
    async with UsageClient(spending, token=TOKEN) as client:
        found = await client.get_projection("acme", "month")
    assert found.projections[0].basis is ProjectionBasis.WEEKDAYS

    def ask():
        with SyncUsageClient(spending, token=TOKEN) as client:
            return client.get_projection("acme", "month")

    other = await asyncio.to_thread(ask)
    assert other.projections[0].balance == found.projections[0].balance
