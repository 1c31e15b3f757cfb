"""The README is true: its example runs, its commands and links exist."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from authorities import TOKEN

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


async def test_the_example_runs(authority, stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    environment = {
        **os.environ,
        "PAYMASTER_ADDRESS": f"127.0.0.1:{authority[0].port}",
        "PAYMASTER_TOKEN": TOKEN,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", example, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    assert "COMMITTED" in printed.decode()
    assert await stubs.balance("acme") == {("acme", "usd-day"): (0, 53_000, 0, 947_000)}


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"[$`] ?make ([a-z]+)", README)) <= targets


def test_every_link_exists():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_every_folder_exists():
    (tree,) = re.findall(r"## Where things are\n\n```\n(.+?)```", README, re.DOTALL)
    assert all((ROOT / line.split()[0]).is_dir() for line in tree.splitlines())
