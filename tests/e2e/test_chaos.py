"""Everything is broken under load, and then counted. `make chaos` runs it longer, from any seed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent.parent
_WRONG = ("lost", "doubled", "overspent", "disallowed", "audit_differences")


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_or_overspent_in_chaos(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "--duration", "40", "--seed", "7"),
        *("--logs", str(tmp_path)),
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    summary = json.loads(said.splitlines()[-1])
    assert process.returncode == 0, said
    assert [summary[name] for name in _WRONG] == [0] * len(_WRONG)
    assert summary["acknowledged"] > 100
    assert sum(summary["faults"].values()) >= 5
