"""`paymaster doctor`: what it tells and ends with, reached or not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys

import grpc
import pytest
from click.testing import CliRunner

from authorities import TOKEN
from authority.health import machine
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import health_service_pb2 as messages
from cli_authority import Refusal, ScriptedAuthority
from clients import health_client
from paymaster.cli.app import paymaster

HEALTHY, DEGRADED, UNHEALTHY = range(1, 4)


def run(*words):
    return CliRunner().invoke(paymaster, ["doctor", *words])


def told(*words):
    """Return the exit code, the status and the rows of the document by check and subject."""
    result = run("--json", *words)
    document = json.loads(result.stdout)
    rows = {(row["check"], row["subject"]): row for row in document["checks"]}
    return result.exit_code, document["status"], rows


def answer(*statuses):
    checks = [
        messages.HealthCheck(check=f"c{number}", status=status, value="seen", advice="Mend it.")
        for number, status in enumerate(statuses)
    ]
    return messages.GetHealthResponse(status=max(statuses), checks=checks, version="1.2.3")


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("ADDRESS", "TOKEN_FILE", "TLS_CA"):
        monkeypatch.delenv(f"PAYMASTER_{name}", raising=False)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAYMASTER_TOKEN", "the-token")
    monkeypatch.setenv("PAYMASTER_DATA_DIR", str(tmp_path / "default"))


@pytest.fixture
def scripted(monkeypatch):
    with ScriptedAuthority() as authority:
        monkeypatch.setenv("PAYMASTER_ADDRESS", authority.address)
        yield authority


@pytest.fixture
def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("statuses", "code", "status"),
    [
        ((HEALTHY, HEALTHY), 0, "HEALTHY"),
        ((HEALTHY, DEGRADED), 1, "DEGRADED"),
        ((DEGRADED, UNHEALTHY, HEALTHY), 2, "UNHEALTHY"),
        ((HEALTHY, 17), 1, "DEGRADED"),
    ],
)
def test_the_exit_code_is_the_worst_status(scripted, statuses, code, status):
    scripted.answers["GetHealth"] = answer(*statuses)
    found = told()
    assert found[:2] == (code, status)
    assert ("authority", "") in found[2]


def test_a_person_sees_the_worst_first_with_what_to_do(scripted):
    scripted.answers["GetHealth"] = answer(HEALTHY, UNHEALTHY, DEGRADED)
    result = run()
    lines = result.stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [
        ["status", "check"],
        ["unhealthy", "c1"],
        ["degraded", "c2"],
        ["healthy", "authority"],
        ["healthy", "c0"],
    ]
    assert "Mend it." in lines[1]
    assert result.stderr == "Unhealthy: 2 of 4 checks found something; see the advice above.\n"


def test_the_books_are_audited_before_if_asked_for(scripted):
    scripted.answers["GetHealth"] = answer(HEALTHY)
    scripted.answers["Audit"] = admin.AuditResponse()
    told()
    assert not scripted.asked("Audit")
    told("--audit")
    assert [method for method, _ in scripted.requests][-2:] == ["Audit", "GetHealth"]


@pytest.mark.parametrize(
    ("code", "reason", "word"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "NOT_SIGNED_IN", "PAYMASTER_TOKEN"),
        (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED", "scope read"),
    ],
)
def test_who_may_not_look_is_told_so(scripted, code, reason, word):
    scripted.answers["GetHealth"] = Refusal(code, reason)
    found = told()
    assert found[:2] == (2, "UNHEALTHY")
    assert word in found[2]["sign_in", ""]["advice"]


def test_without_an_authority_it_says_where_the_way_ends(monkeypatch, free_port):
    monkeypatch.setenv("PAYMASTER_ADDRESS", f"127.0.0.1:{free_port}")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://a:secret@127.0.0.1:{free_port}/x")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@[::1")
    code, status, rows = told()
    assert (code, status) == (2, "UNHEALTHY")
    assert "refused" in rows["address", f"127.0.0.1:{free_port}"]["value"]
    assert rows["store_address", "DATABASE_URL"]["status"] == "UNHEALTHY"
    assert rows["store_address", "REDIS_URL"]["value"] == "- is no URL of a store"
    assert all("secret" not in json.dumps(row) for row in rows.values())


def test_what_listens_and_is_no_authority_is_told(monkeypatch):
    monkeypatch.setattr(health_client, "_TIMEOUT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("PAYMASTER_ADDRESS", f"127.0.0.1:{port}")
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}")
        _, _, rows = told()
    assert "TLS" in rows["address", f"127.0.0.1:{port}"]["advice"]
    assert rows["store_address", "REDIS_URL"]["status"] == "HEALTHY"


def test_where_no_authority_is_known_it_says_how_to_start_one():
    code, status, rows = told()
    assert (code, status) == (2, "UNHEALTHY")
    assert "paymaster dev" in rows["configuration", ""]["advice"]


@pytest.mark.parametrize("address", ["nowhere", ""])
def test_an_address_that_can_not_be_is_told(monkeypatch, address):
    monkeypatch.setenv("PAYMASTER_ADDRESS", address or "host:99999")
    code, _, rows = told()
    assert code == 2
    assert any("PAYMASTER_ADDRESS" in row["advice"] for row in rows.values())


def make_stack(directory, address, **fields):
    """Write what a stack on this machine leaves in its data directory."""
    directory.mkdir()
    state = {
        "pid": 2**22 + 1,
        "start_time": "2026-12-01T08:00:00+00:00",
        "ephemeral": False,
        "address": address,
        "token": "t",
        "worker_token": "t",
        "database_url": f"postgresql://{address}/x",
        "redis_url": f"redis://{address}",
        "artifacts": "a",
        "authority_pid": 2**22 + 2,
        "worker_pid": 2**22 + 3,
        **fields,
    }
    (directory / "stack.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("artifacts", "told_by_the_authority", "shown"),
    [
        ("stack", "disk", {"disk"}),
        ("stack", "loops", {"loops", "data_directory"}),
        ("gone", "disk", {"disk", "data_directory"}),
        ("s3://bucket", "disk", {"disk", "data_directory"}),
    ],
)
def test_a_disk_is_shown_once(
    scripted, monkeypatch, tmp_path, artifacts, told_by_the_authority, shown
):
    monkeypatch.delenv("PAYMASTER_ADDRESS")
    directory = tmp_path / "stack"
    folder = artifacts if "://" in artifacts else str(tmp_path / artifacts)
    make_stack(directory, scripted.address, artifacts=folder)
    scripted.answers["GetHealth"] = messages.GetHealthResponse(
        status=HEALTHY, checks=[messages.HealthCheck(check=told_by_the_authority, status=HEALTHY)]
    )
    _, _, rows = told("--data-dir", str(directory))
    assert {check for check, _ in rows} - {"authority", "process"} == shown
    if "data_directory" in shown:
        assert rows["data_directory", ""]["value"].endswith(f"GB free in {directory}")


def test_a_stack_whose_processes_have_died_is_told(tmp_path, free_port):
    directory = tmp_path / "stack"
    make_stack(directory, f"127.0.0.1:{free_port}")
    code, _, rows = told("--data-dir", str(directory))
    assert code == 2
    dead = {subject for check, subject in rows if check == "process"}
    assert dead == {"stack", "authority", "worker"}
    assert ("data_directory", "") in rows
    assert ("store_address", "DATABASE_URL") in rows


async def test_on_a_real_authority(authority, monkeypatch):
    usage = shutil.disk_usage("/")._replace(total=100, used=40, free=60)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    environment = {
        **os.environ,
        "PAYMASTER_ADDRESS": f"127.0.0.1:{authority[0].port}",
        "PAYMASTER_TOKEN": TOKEN,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "paymaster", "doctor", "--json", "--audit"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    document = json.loads(output)
    assert (process.returncode, document["status"]) == (0, "HEALTHY")
    checks = {row["check"] for row in document["checks"]}
    assert {"hot_store", "ledger", "drift", "workers"} <= checks
