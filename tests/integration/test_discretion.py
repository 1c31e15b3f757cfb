"""No prompt is logged, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import sys

from generating import insert_generation

_CRASH = """
import sys, psycopg, structlog
from {package}.telemetry import configure_logging
configure_logging("json")
try:
    with psycopg.connect(sys.argv[1]) as connection:
        connection.execute("UPDATE generation SET progress_percent = 1000")
except psycopg.Error:
    structlog.get_logger().exception("generation_crashed")
"""


async def test_a_row_that_postgres_refuses_is_not_logged(ledger_url):
    await insert_generation(ledger_url, "my\n(secret).\nwish")
    for package in ("authority", "workers"):
        crash = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CRASH.format(package=package), ledger_url,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, log = await crash.communicate()
        logged = json.loads(log)["exception"]
        assert "CheckViolation" in logged
        assert "secret" not in logged
        assert "wish" not in logged
