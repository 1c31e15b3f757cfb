"""docs/clients.md is true: its examples run, one after the other, in a process of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from authorities import TOKEN

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
RUN = """
import ast, asyncio, inspect, json, sys

async def main():
    names = {}
    for number, block in enumerate(json.load(sys.stdin), 1):
        code = compile(block, f"block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    await names["authority"].close()
    await names["admin"].close()

asyncio.run(main())
"""


async def test_every_example_runs(authority, stubs):
    blocks = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    assert len(blocks) > 5
    environment = {
        **os.environ,
        "PAYMASTER_ADDRESS": f"127.0.0.1:{authority[0].port}",
        "PAYMASTER_TOKEN": TOKEN,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, told = await process.communicate(json.dumps(blocks).encode())
    assert process.returncode == 0, told.decode()
    assert printed.decode() == "COMMITTED\n"
    assert await stubs.differences() == []
