"""`paymaster demo`: the story is true, the books balance, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from support import eventually
from workers.providers.facts import FACTS

COMMAND = (sys.executable, "-m", "paymaster", "demo")


@pytest.fixture
def environment(server_home, request):
    """Data directories below a short path of the test's own; stores that must not be touched."""
    home = server_home / f"demo-{len(request.node.name)}"
    home.mkdir()
    home.chmod(0o711)
    yield os.environ | {
        "TMPDIR": str(home),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/real",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **{facts.variable: "a-real-key" for facts in FACTS if facts.name != "sandbox"},
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    for left in working_below(home):
        left.kill()


async def start(environment, *words):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *COMMAND, *words, env=environment, stdout=pipe, stderr=pipe
    )


def working_below(directory):
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(directory)):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def kept_in(directory):
    return [path.name for path in Path(directory).iterdir()]


async def test_the_story_is_true_and_the_books_balance(environment, tmp_path):
    process = await start(environment, "--out", str(tmp_path / "images"), "--json")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    document = json.loads(out)
    assert all(step["as_told"] for step in document["steps"])
    states = [step["generation"]["state"] for step in document["steps"]]
    assert (states.count("FAILED"), states.count("DENIED")) == (1, 1)
    assert {step["generation"]["cached"] for step in document["steps"]} == {
        "",
        "exact",
        "normalised",
    }
    assert any(step["generation"]["downgraded"] for step in document["steps"])
    assert any("EMULATED" in step["outcome"] for step in document["steps"])

    assert document["balanced"]
    assert document["audit"]["differences"] == []
    paid = sum(step["generation"]["cost"] for step in document["steps"])
    by_account = {item["budget"]["account"]: item["committed"] for item in document["balances"]}
    assert paid == sum(by_account.values()) > 0
    assert all(item["reserved"] == 0 for item in document["balances"])

    for file in document["files"]:
        with Image.open(file) as image:
            image.verify()
    assert len(document["files"]) == states.count("SUCCEEDED") - 2
    assert kept_in(environment["TMPDIR"]) == []
    assert working_below(environment["TMPDIR"]) == []


async def test_a_demo_that_was_killed_is_cleared_away_by_the_next(environment, tmp_path):
    killed = await start(environment, "--out", str(tmp_path))
    home = environment["TMPDIR"]
    await eventually(lambda: working_below(home), 30)
    killed.kill()
    await killed.communicate()
    orphans = working_below(home)
    process = await start(environment, "--out", str(tmp_path), "--keep")
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert not any(
        orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE for orphan in orphans
    )
    (kept,) = kept_in(home)
    assert f"paymaster dev --data-dir {home}/{kept}" in err.decode()


async def test_ctrl_c_ends_a_demo_and_leaves_nothing(environment, tmp_path):
    process = await start(environment, "--out", str(tmp_path))
    home = environment["TMPDIR"]
    await eventually(lambda: any("stack.json" in files for _, _, files in os.walk(home)), 30)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert kept_in(home) == []
    assert working_below(home) == []
