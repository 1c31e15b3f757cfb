"""Workers and stores are broken while generations are made, and then the money is counted.

`make chaos-workers` runs it longer, from any seed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent.parent
_WRONG = (
    "lost",
    "unexplained_micros",
    "reserved_micros",
    "duplicate_submits",
    "audit_differences",
)


@pytest.mark.timeout(300)
async def test_every_generation_ends_and_is_paid_for_once_in_chaos(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos_workers", "--duration", "40", "--seed", "7"),
        *("--generations", "90", "--logs", str(tmp_path)),
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    summary = json.loads(said.splitlines()[-1])
    assert process.returncode == 0, said
    assert [summary[name] for name in _WRONG] == [0] * len(_WRONG)
    assert summary["generations"] == 90
    assert summary["billed_micros"] > 0
    assert summary["faults"]["kill_worker"] == 20
