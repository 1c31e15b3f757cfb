"""`python -m workers`: what is missing or wrong is named, without a traceback."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

UNREACHABLE = "127.0.0.1:1"


async def start(**variables):
    """Start a worker that can't be; return its exit code and what it said."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WORKERS_", "PAYMASTER_", "OPENAI_", "FAL_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers"),
        env={**environment, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert b"Traceback" not in said
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, ["DATABASE_URL", "REDIS_URL"]),
        ({"DATABASE_URL": "mysql://me:hidden@here/db"}, ["DATABASE_URL: must be a URL such as"]),
        (
            {"WORKERS_IMAGE_SLOTS": "many", "WORKERS_LEASE_S": "0"},
            ["WORKERS_IMAGE_SLOTS", "WORKERS_LEASE_S"],
        ),
        (
            {f"WORKERS_{kind}_SLOTS": "0" for kind in ("IMAGE", "CHAT", "VIDEO")},
            ["WORKERS_VIDEO_SLOTS must be more than 0"],
        ),
        ({"WORKERS_PROVIDER_LIMITS": "{fal: 2}"}, ["WORKERS_PROVIDER_LIMITS: must be JSON"]),
        ({"WORKERS_PROVIDER_LIMITS": '{"Fal ": {}}'}, ["'Fal ' is no provider's name"]),
        (
            {"WORKERS_PROVIDER_LIMITS": '{"fal": {"concurrency": -1}}'},
            ["WORKERS_PROVIDER_LIMITS: Input should be greater than or equal to 0"],
        ),
        ({"PAYMASTER_TOKEN_FILE": "/no/such/file"}, ["PAYMASTER_TOKEN_FILE can't be read"]),
        ({"OPENAI_BASE_URL": "nonsense"}, ["OPENAI_BASE_URL"]),
    ],
)
async def test_wrong_settings_are_named(variables, named):
    good = {
        "DATABASE_URL": f"postgresql://a:b@{UNREACHABLE}/c",
        "REDIS_URL": f"redis://{UNREACHABLE}",
    }
    code, said = await start(**(good | variables if variables else {}))
    assert code == 2
    for part in named:
        assert part in said
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"WORKERS_SANDBOX": "false"}, "No provider is switched on"),
        ({"PAYMASTER_ARTIFACTS": "s3://bucket"}, "PAYMASTER_ARTIFACTS"),
        ({"PAYMASTER_CATALOGUE": "no/such/file"}, "PAYMASTER_CATALOGUE: no/such/file can't be"),
        ({"PAYMASTER_ADDRESS": "https://here"}, "PAYMASTER_ADDRESS"),
        ({"REDIS_URL": "redis://:hidden@here/x"}, "REDIS_URL: The database"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL"),
    ],
)
async def test_what_can_not_be_opened_is_named(ledger_url, redis_url, tmp_path, variables, named):
    good = {
        "DATABASE_URL": ledger_url,
        "REDIS_URL": redis_url,
        "PAYMASTER_ARTIFACTS": str(tmp_path / "artifacts"),
    }
    code, said = await start(**(good | variables))
    assert (code, said.count("\n")) == (1, 1)
    assert named in said
    assert "hidden" not in said


async def test_a_database_without_the_schema_is_named(database_url, redis_url, tmp_path):
    code, said = await start(
        DATABASE_URL=database_url, REDIS_URL=redis_url, PAYMASTER_ARTIFACTS=str(tmp_path)
    )
    assert code == 1
    assert "paymaster migrate" in said
