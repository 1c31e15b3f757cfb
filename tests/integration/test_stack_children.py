"""Programs run as processes: waited for, stopped in time, and found again as orphans."""

from __future__ import annotations

import asyncio
import os
import time

import psutil
import pytest

from paymaster.stack.children import Child, end_orphans
from support import eventually

# Says that it is ready, and ends on SIGTERM unless it is told to be stubborn.
PROGRAM = """
import os, signal, sys, time
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
if os.environ.get("FAILS"):
    sys.exit("no luck today")
time.sleep(60)
"""
MODULE = "paymaster_test_program"


@pytest.fixture
async def make_child(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{MODULE}.py").write_text(PROGRAM)
    children = []

    async def make(name="program", **environment):
        (tmp_path / "data").mkdir(exist_ok=True)
        child = Child(MODULE, tmp_path / "data" / name)
        await child.start({"PYTHONPATH": str(tmp_path / "modules"), **environment})
        children.append(child)
        await eventually(lambda: "ready" in child.log.read_text())
        return child

    yield make
    in_a_hurry = asyncio.Event()
    in_a_hurry.set()
    for child in children:
        await child.stop(0, in_a_hurry)


async def test_a_program_that_ends_in_order_is_not_killed(make_child):
    child = await make_child()
    await child.stop(30, asyncio.Event())
    assert "signal 15" in await child.ended()


async def test_a_program_that_does_not_end_is_killed_when_time_is_over(make_child):
    child = await make_child(STUBBORN="1")
    await child.stop(0.1, asyncio.Event())
    assert "signal 9" in await child.ended()


async def test_a_hurry_ends_the_waiting(make_child):
    child = await make_child(STUBBORN="1")
    hurry = asyncio.Event()
    stop = asyncio.create_task(child.stop(60, hurry))
    start = time.monotonic()
    hurry.set()
    await stop
    assert time.monotonic() - start < 30
    assert "signal 9" in await child.ended()


async def test_how_a_program_ended_comes_with_what_it_said_last(make_child):
    child = await make_child(FAILS="1")
    end = await child.ended()
    assert "exit code 1" in end
    assert "no luck today" in end
    assert str(child.log) in end


async def test_the_log_of_the_run_before_is_kept(make_child):
    first = await make_child(FAILS="1")
    await first.ended()
    second = await make_child()
    assert "no luck today" not in second.log.read_text()
    assert "no luck today" in second.log.with_suffix(".log.previous").read_text()


async def test_the_program_runs_in_a_session_of_its_own(make_child):
    # So that Ctrl-C in the terminal reaches the owner alone, who stops it in order.
    child = await make_child()
    assert os.getsid(child.pid) == child.pid


async def test_orphans_are_known_by_program_and_directory(make_child, tmp_path):
    orphan = await make_child("program")
    other_name = await make_child("other")
    assert await end_orphans(tmp_path / "elsewhere", {MODULE: "program"}) == 0
    assert await end_orphans(tmp_path / "data", {"another_module": "program"}) == 0
    assert await end_orphans(tmp_path / "data", {MODULE: "program"}) == 1
    assert "signal 15" in await orphan.ended()
    assert psutil.Process(other_name.pid).is_running()


async def test_a_stubborn_orphan_is_killed(make_child, tmp_path, monkeypatch):
    monkeypatch.setattr("paymaster.stack.children._ORPHAN_SECONDS_MAX", 0.1)
    orphan = await make_child(STUBBORN="1")
    assert await end_orphans(tmp_path / "data", {MODULE: "program"}) == 1
    assert "signal 9" in await orphan.ended()
