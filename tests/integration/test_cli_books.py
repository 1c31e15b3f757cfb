"""Grants, balances, reservations and the ledger on the command line, on a real authority."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import sys
from datetime import timedelta

import pytest

from authorities import TOKEN
from paymaster.cli.ledger import COLUMNS


@pytest.fixture
async def acme(stubs):
    """An account that may spend a dollar."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return stubs


@pytest.fixture
def start(authority, tmp_path):
    """A function that starts the command line on the running authority."""
    environment = {
        **os.environ,
        "PAYMASTER_ADDRESS": f"127.0.0.1:{authority[0].port}",
        "PAYMASTER_TOKEN": TOKEN,
    }

    async def started(*words):
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paymaster", *words),
            env=environment,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    return started


@pytest.fixture
def run(start):
    """A function that runs the command line; it returns the exit code and both outputs."""

    async def ended(*words):
        process = await start(*words)
        printed, told = await process.communicate()
        return process.returncode, printed.decode(), told.decode()

    return ended


async def document(run, *words):
    """Return the JSON document of a command that must work."""
    code, printed, told = await run(*words, "--json")
    assert code == 0, told
    return json.loads(printed)


async def test_a_grant_is_made_once_with_a_key_listed_and_voided(acme, run):
    words = (
        *("grants", "create", "acme", "--unit", "credits", "--amount", "12.50"),
        *("--priority", "2", "--expire-time", "2099-01-01", "--refund-grace-days", "7"),
        *("--source", "purchase", "--reason", "order 1", "--key", "order-1"),
    )
    made = (await document(run, *words))["grant"]
    assert (made["amount"], made["priority"], made["source"]) == (12_500_000, 2, "purchase")
    assert made["expire_time"] == "2099-01-01T00:00:00+00:00"
    assert made["refund_grace"] == "604800s"
    again = (await document(run, *words))["grant"]
    assert (again["grant_id"], again["replayed"]) == (made["grant_id"], True)
    await document(
        run, "grants", "create", "acme", "--unit", "images", "--amount", "3", "--recurrence", "day"
    )
    listed = await document(run, "grants", "list", "acme", "--unit", "images")
    assert [item["recurrence"] for item in listed["grants"]] == ["DAY"]
    voided = await document(run, "grants", "void", made["grant_id"], "--reason", "chargeback")
    assert voided["grant"]["state"] == "VOIDED"
    balance = await document(run, "balance", "acme")
    assert [item["available"] for item in balance["grants"] if item["unit"] == "IMAGES"] == [3]
    changes = await document(run, "changes", "--account", "acme")
    assert "chargeback" in {change["reason"] for change in changes["changes"]}


async def test_a_balance_of_the_past(acme, run):
    held = await acme.reserve("acme", {"USD": 400_000})
    moment = held.reservation.create_time.ToDatetime() + timedelta(milliseconds=1)
    await acme.commit(held.reservation.reservation_id, {"USD": 100_000})
    (now,) = (await document(run, "balance", "acme"))["balances"]
    (then,) = (await document(run, "balance", "acme", "--as-of", moment.isoformat()))["balances"]
    assert (now["reserved"], now["committed"]) == (0, 100_000)
    assert (then["reserved"], then["committed"]) == (400_000, 0)


async def test_a_watch_prints_each_change_below_one_header_until_it_is_interrupted(acme, start):
    process = await start("watch", "acme")
    header = (await process.stdout.readline()).decode().rstrip("\n").split("\t")
    first = (await process.stdout.readline()).decode().split("\t")
    await acme.reserve("acme", {"USD": 400_000})
    second = (await process.stdout.readline()).decode().split("\t")
    place = header.index("reserved")
    assert (first[place], second[place]) == ("$0.00", "$0.40")
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    process = await start("watch", "acme", "--json")
    balance = json.loads(await process.stdout.readline())
    assert balance["balances"][0]["reserved"] == 400_000
    process.kill()
    await process.wait()


async def test_reservations_are_listed_with_their_amounts(acme, run):
    names = [
        (await acme.reserve("acme", {"USD": 80_000, "IMAGES": 1})).reservation.reservation_id
        for _ in range(3)
    ]
    await acme.release(names[1])
    code, printed, _ = await run("reservations", "list", "acme", "--count", "2")
    first, *rows = csv.reader(io.StringIO(printed), delimiter="\t")
    assert (code, [row[0] for row in rows]) == (0, [names[2], names[1]])
    assert rows[0][first.index("reserved")] == "usd=$0.08, images=1"
    held = await document(run, "reservations", "list", "acme", "--state", "held", "--ascending")
    assert [item["reservation_id"] for item in held["reservations"]] == [names[0], names[2]]


async def test_the_ledger_is_exported_whole_as_csv_and_as_json(acme, run, tmp_path):
    for _ in range(300):  # more than a page of entries
        held = await acme.reserve("acme", {"USD": 100})
        await acme.release(held.reservation.reservation_id)
    code, printed, told = await run("ledger", "export", "--account", "acme")
    assert (code, told) == (0, "")
    header, *rows = csv.reader(io.StringIO(printed))
    assert tuple(header) == COLUMNS
    assert len(rows) == 1_200
    assert sum(int(row[header.index("amount")]) for row in rows) == 0
    assert {row[header.index("kind")] for row in rows} == {"RESERVE", "RELEASE"}
    sequences = [int(row[header.index("sequence")]) for row in rows]
    assert sequences == sorted(sequences)

    path = tmp_path / "entries.jsonl"
    path.write_text("old")
    since, until = rows[4][header.index("create_time")], rows[-1][header.index("create_time")]
    summary = await document(
        run,
        "ledger",
        "export",
        "--account",
        "acme",
        "--format",
        "jsonl",
        "--since",
        since,
        "--until",
        until,
        "--output",
        str(path),
    )
    found = [json.loads(line) for line in path.read_text().splitlines()]
    expected = [row for row in rows if since <= row[header.index("create_time")] < until]
    assert summary == {"path": str(path), "entry_count": len(expected)}
    assert [
        [str(value if value is not None else "") for value in item.values()] for item in found
    ] == expected
    assert not list(tmp_path.glob(".*"))


async def test_an_export_that_fails_leaves_the_file_as_it_was(acme, run, tmp_path):
    path = tmp_path / "entries.csv"
    path.write_text("old")
    code, _, told = await run("ledger", "export", "--account", "nobody", "--output", str(path))
    assert (code, "nobody" in told) == (5, True)
    assert path.read_text() == "old"
    assert not list(tmp_path.glob(".*"))
    missing = str(tmp_path / "no" / "entries.csv")
    code, _, told = await run("ledger", "export", "--account", "acme", "--output", missing)
    assert (code, told) == (1, f"error: {missing} can't be written: No such file or directory.\n")


async def test_hot_state_is_made_anew(acme, run):
    await acme.reserve("acme", {"USD": 400_000})
    report = await document(run, "rebuild", "acme")
    assert report["tenant_count"] == 1
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 400_000
