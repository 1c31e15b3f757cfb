"""Plants one fault at a time into a copy of the sources, and runs the tests that must see it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from authority.embedded import EmbeddedValkey
from planted_faults.fault import Fault

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
_SECONDS_MAX = 300.0
# What a fault that was written down wrongly looks like, rather than one that does wrong.
_MISWRITTEN = re.compile(
    r"psycopg\.errors\.(?:SyntaxError|Undefined\w+|Ambiguous\w+)"
    r"|NameError|ImportError|ModuleNotFoundError|nonexistent global"
)


class Unusable(Exception):
    """A fault that can't be planted, or tests that are red without one."""


class Outcome(NamedTuple):
    """How a run of pytest ended."""

    code: int
    failed: list[str]
    text: str


def plant(fault: Fault, sources: Path) -> None:
    """Change the copy of the sources. Raises Unusable."""
    path = sources / "authority" / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.before) != 1:
        raise Unusable(f"its text occurs {text.count(fault.before)} times in {fault.file}")
    path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")


async def run(home: Path, faults: Sequence[Fault]) -> int:
    """Run all; return how many were caught."""
    # A snapshot, so that nobody's editing comes in between; the working tree is never changed.
    for folder in ("src", "tests"):
        await asyncio.to_thread(shutil.copytree, ROOT / folder, home / folder)
    shutil.copy(ROOT / "pyproject.toml", home)
    async with EmbeddedValkey(home / "valkey") as valkey:
        await _check_clean(home, valkey.url, faults)
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_try(home, valkey.url, number, fault, turns))
                for number, fault in enumerate(faults, 1)
            ]
        return sum(task.result() for task in tasks)


async def _check_clean(home: Path, redis_url: str, faults: Sequence[Fault]) -> None:
    """Raise Unusable unless all the tests are green without a fault."""
    await _load(home, home / "src", redis_url)
    tests = sorted({test for fault in faults for test in fault.tests})
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_pytest(home, home / "src", f"clean-{part}", tests[part::AT_ONCE]))
            for part in range(min(AT_ONCE, len(tests)))
        ]
    for task in tasks:
        if task.result().code != 0:
            raise Unusable(f"the tests are not green without a fault:\n{task.result().text}")
    print(f"{len(tests)} tests are green without a fault", flush=True)


async def _try(
    home: Path, redis_url: str, number: int, fault: Fault, turns: asyncio.Semaphore
) -> bool:
    async with turns:
        started = time.monotonic()
        sources = home / f"fault-{number}"
        await asyncio.to_thread(shutil.copytree, home / "src", sources)
        try:
            plant(fault, sources)
            await _load(home, sources, redis_url)
            told = _told(await _pytest(home, sources, str(number), fault.tests))
            is_caught = True
        except Unusable as problem:
            told, is_caught = f"NOT CAUGHT: {problem}", False
        await asyncio.to_thread(shutil.rmtree, sources)
        seconds = time.monotonic() - started
        print(f"{number:3} {seconds:5.1f} s  {fault.name}: {told}", flush=True)
        return is_caught


def _told(outcome: Outcome) -> str:
    """Return which test has caught the fault. Raises Unusable if none has."""
    if outcome.code == 0:
        raise Unusable("no test is red")
    if outcome.code != 1 or not outcome.failed:
        raise Unusable(f"pytest ended with {outcome.code}, no test failed:\n{outcome.text}")
    if _MISWRITTEN.search(outcome.text):
        raise Unusable(f"the fault itself is wrong:\n{outcome.text}")
    return f"caught by {outcome.failed[0]}"


async def _load(home: Path, sources: Path, redis_url: str) -> None:
    arguments = ["-m", "planted_faults.loads", str(sources), redis_url]
    code, text = await _python(home, [sources, home / "tests"], arguments)
    if code != 0:
        raise Unusable(f"the sources do not load:\n{text}")


async def _pytest(home: Path, sources: Path, name: str, tests: Sequence[str]) -> Outcome:
    report = home / f"report-{name}.xml"
    arguments = [
        *("-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider"),
        *(f"--junitxml={report}", "-o", "junit_logging=all"),
        *(f"tests/{test}" for test in tests),
    ]
    code, text = await _python(home, [sources], arguments)
    failed: list[str] = []
    if report.exists():
        text += report.read_text(encoding="utf-8", errors="replace")
        cases = ET.parse(report).getroot().iter("testcase")
        failed = [case.get("name", "") for case in cases if case.find("failure") is not None]
    return Outcome(code, failed, text)


async def _python(home: Path, path: Sequence[Path], arguments: Sequence[str]) -> tuple[int, str]:
    """Run Python with the given path in front of the environment's; return how it ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=home,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS_MAX):
            output, _ = await process.communicate()
    except TimeoutError:
        raise Unusable(f"it took more than {_SECONDS_MAX:.0f} seconds") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
