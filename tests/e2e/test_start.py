"""An authority that can't start says why and what to do, in one line, without a secret."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from authority.embedded import ports
from authority.ledger.migrate import migrate


async def _start(**environment):
    """Run `python -m authority` with these variables; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "authority",
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "postgresql://user:s3cret@host:99999/name"),
        ("REDIS_URL", "http://:s3cret@host"),
        ("AUTHORITY_PORT", "70000"),
        ("AUTHORITY_POOL_SIZE_MAX", "many"),
        ("PAYMASTER_TOKEN_FILE", "/does/not/exist"),
    ],
)
async def test_a_malformed_setting_is_named(variable, value):
    good = {"DATABASE_URL": "postgresql://host/name", "REDIS_URL": "redis://host"}
    code, said = await _start(**{**good, variable: value})
    assert code == 2
    assert said.startswith(f"error: {variable}")
    assert "s3cret" not in said
    assert "Traceback" not in said


async def test_wrong_passwords_are_refused_at_once(ledger_url, redis_url, postgres, valkey):
    wrong = ledger_url.replace(postgres.password, "s3cret")
    code, said = await _start(DATABASE_URL=wrong, REDIS_URL=redis_url)
    assert (code, said.count("\n")) == (1, 1)
    assert "DATABASE_URL" in said
    wrong = redis_url.replace(valkey.password, "s3cret")
    code, said = await _start(DATABASE_URL=ledger_url, REDIS_URL=wrong)
    assert (code, said.count("\n")) == (1, 1)
    assert "REDIS_URL" in said
    assert "s3cret" not in said


async def test_a_database_without_the_schema(database_url, redis_url):
    code, said = await _start(DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert code == 1
    assert "paymaster migrate" in said


async def test_a_port_in_use(ledger_url, redis_url, tmp_path):
    port = ports.choose()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with server:
        code, said = await _start(
            DATABASE_URL=ledger_url,
            REDIS_URL=redis_url,
            AUTHORITY_PORT=str(port),
            PAYMASTER_ARTIFACTS=str(tmp_path),
        )
    assert code == 1
    assert f"127.0.0.1:{port}" in said.splitlines()[-1]
    assert "AUTHORITY_PORT" in said


async def test_a_catalogue_that_is_no_good_is_named(ledger_url, redis_url, tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text("[[model]]")
    code, said = await _start(
        DATABASE_URL=ledger_url,
        REDIS_URL=redis_url,
        PAYMASTER_ARTIFACTS=str(tmp_path),
        PAYMASTER_CATALOGUE=str(file),
    )
    assert code == 1
    assert "PAYMASTER_CATALOGUE: prices.toml: model 1: model: must be given" in said


async def test_migrations_started_together_apply_once(database_url):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(migrate(database_url)) for _ in range(3)]
    applied = [name for task in tasks for name in task.result()]
    assert len(applied) == len(set(applied)) > 1
