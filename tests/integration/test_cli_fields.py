"""A field that the authority refuses is told by the option or argument that it was given by."""

from __future__ import annotations

import click
import grpc
import pytest
from click.testing import CliRunner

from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli import failures
from paymaster.cli.app import paymaster

NEW_BUDGET = "budgets create acme --unit usd --window day --limit 1"


@pytest.fixture
def authority(monkeypatch):
    monkeypatch.delenv("PAYMASTER_TLS_CA", raising=False)
    with ScriptedAuthority() as scripted:
        monkeypatch.setenv("PAYMASTER_ADDRESS", scripted.address)
        monkeypatch.setenv("PAYMASTER_TOKEN", "the-token")
        yield scripted


def run(*words):
    return CliRunner().invoke(paymaster, words)


def commands(command):
    """Yield a command, or all those of a group."""
    if not isinstance(command, click.Group):
        yield command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name))


@pytest.mark.parametrize(
    ("words", "method", "field", "told"),
    [
        (NEW_BUDGET, "CreateBudget", "budget.limit", "--limit"),
        (NEW_BUDGET, "CreateBudget", "budget.account", "ACCOUNT"),
        (NEW_BUDGET, "CreateBudget", "budget.create_time", ""),
        (
            "alerts rules create acme --webhook ftp://example.com",
            *("CreateAlertRule", "rule.channels[0].url", "--webhook"),
        ),
        (
            "alerts rules create acme --email x",
            *("CreateAlertRule", "rule.channels[0].addresses[1]", "--email"),
        ),
        (
            "plans create gold --budget usd-day=1",
            *("CreatePlan", "plan.budgets[0].limit", "--budget"),
        ),
        (
            "accounts set acme --per-request-limit usd=1",
            *("UpdateAccount", "account.per_request_limits[0].amount", "--per-request-limit"),
        ),
        ("accounts set acme --display-name a", "UpdateAccount", "account.state", "--state"),
        ("usage show --since 2026-11-02", "QueryUsage", "start_time", "--since"),
        ("usage show --user ada", "QueryUsage", "filter.users[0]", "--user"),
    ],
)
def test_a_field_is_told_by_the_option_that_sets_it(authority, words, method, field, told):
    authority.answers[method] = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "bad", {field: "is low"}
    )
    result = run(*words.split())
    name = f"{told} ({field})" if told else field
    assert (result.exit_code, result.stderr) == (2, f"error: {name}: is low\n")


def test_an_argument_is_told_without_the_field_of_the_same_name(authority):
    authority.answers["GetAccount"] = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "bad", {"account": "is none"}
    )
    assert run("accounts", "get", "a b").stderr == "error: ACCOUNT: is none\n"


def test_every_parameter_that_is_called_otherwise_is_there():
    names = {parameter.name for found in commands(paymaster) for parameter in found.params}
    assert set(failures._PARAMETERS.values()) <= names
