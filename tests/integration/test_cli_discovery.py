"""How commands find the running stack: by option, by environment, or in the data directory."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from authority.v1 import admin_service_pb2 as admin
from cli_authority import ScriptedAuthority
from paymaster.cli.app import paymaster
from paymaster.stack.state import STATE_FILE, StackState

STATUS = admin.GetStatusResponse(hot_store_ok=True, ledger_ok=True)


@pytest.fixture
def authority():
    with ScriptedAuthority() as scripted:
        scripted.answers["GetStatus"] = STATUS
        yield scripted


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("PAYMASTER_ADDRESS", "PAYMASTER_TOKEN", "PAYMASTER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAYMASTER_DATA_DIR", str(tmp_path / "default"))


def state_of(directory, address, token="secret-of-the-state"):
    directory.mkdir(exist_ok=True)
    fields = {field.name: 1 for field in dataclasses.fields(StackState)}
    fields |= {"address": address, "token": token}
    (directory / STATE_FILE).write_text(json.dumps(fields))


def status(*words):
    return CliRunner().invoke(paymaster, ["status", *words])


def test_without_a_stack_it_says_how_to_start_one(tmp_path):
    result = status()
    assert result.exit_code == 69
    assert "`paymaster dev`" in result.stderr
    elsewhere = status("--data-dir", str(tmp_path / "other"))
    assert elsewhere.exit_code == 69
    assert f"`paymaster dev --data-dir {tmp_path / 'other'}`" in elsewhere.stderr


def test_the_default_data_directory_is_looked_into(authority, tmp_path):
    state_of(tmp_path / "default", authority.address)
    assert status().exit_code == 0
    assert authority.tokens == {"Bearer secret-of-the-state"}


def test_the_environment_wins_over_the_default_and_the_option_over_both(
    authority, tmp_path, monkeypatch
):
    state_of(tmp_path / "default", "127.0.0.1:1")
    monkeypatch.setenv("PAYMASTER_ADDRESS", authority.address)
    token = tmp_path / "token"
    token.write_text("from-a-file\n")
    monkeypatch.setenv("PAYMASTER_TOKEN_FILE", str(token))
    assert status().exit_code == 0
    assert authority.tokens == {"Bearer from-a-file"}

    monkeypatch.setenv("PAYMASTER_ADDRESS", "127.0.0.1:1")
    state_of(tmp_path / "other", authority.address)
    assert status("--data-dir", str(tmp_path / "other")).exit_code == 0
    assert "Bearer secret-of-the-state" in authority.tokens


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:7460", "127.0.0.1:port"])
def test_a_malformed_address_is_told_with_its_variable(address, monkeypatch):
    monkeypatch.setenv("PAYMASTER_ADDRESS", address)
    result = status()
    assert result.exit_code == 2
    assert "PAYMASTER_ADDRESS" in result.stderr
    assert "host:port" in result.stderr


def test_a_token_file_that_cannot_be_read_is_told_with_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("PAYMASTER_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("PAYMASTER_TOKEN_FILE", str(tmp_path / "none"))
    result = status()
    assert result.exit_code == 2
    assert "PAYMASTER_TOKEN_FILE" in result.stderr


def test_a_token_that_cannot_be_sent_is_not_shown(monkeypatch):
    monkeypatch.setenv("PAYMASTER_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("PAYMASTER_TOKEN", "two words")
    result = status()
    assert result.exit_code == 2
    assert "two words" not in result.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"other": 1}'])
def test_a_state_file_of_another_version_is_refused_by_name(content, tmp_path):
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / STATE_FILE).write_text(content)
    result = status()
    assert result.exit_code == 1
    assert str(tmp_path / "default" / STATE_FILE) in result.stderr
    assert "paymaster dev" in result.stderr


def test_a_state_is_not_shown_by_accident():
    fields = {field.name: "secret" for field in dataclasses.fields(StackState)}
    assert "secret" not in repr(StackState(**fields))


def test_help_loads_nothing_heavy():
    # What makes it slow is what it imports; a time would depend on the machine.
    code = (
        "import sys, atexit\n"
        "heavy = {'grpc', 'rich', 'psycopg', 'redis', 'openai', 'pydantic'}\n"
        "atexit.register(lambda: print(sorted(heavy & sys.modules.keys())))\n"
        "from paymaster.cli import main\n"
        "main()\n"
    )
    words = [sys.executable, "-c", code, "--help"]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "Exit codes" in found.stdout
    assert found.stdout.splitlines()[-1] == "[]"
