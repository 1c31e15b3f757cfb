"""Plans, sessions and budgets of one's own on the command line: what the authority is asked for."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import resources_pb2 as resources
from cli_authority import ScriptedAuthority
from paymaster.cli.app import paymaster

PLAN = resources.Plan(
    plan="free",
    budgets=[
        resources.PlanBudget(
            unit="UNIT_USD", window="WINDOW_DAY", limit=500_000, enforcement="ENFORCEMENT_NOTIFY"
        ),
        resources.PlanBudget(
            unit="UNIT_RESERVATIONS",
            window="WINDOW_TOTAL",
            limit=9,
            enforcement="ENFORCEMENT_BLOCK",
        ),
    ],
    version=3,
)


@pytest.fixture
def authority(monkeypatch, tmp_path):
    with ScriptedAuthority() as scripted:
        scripted.answers.update(
            {
                "GetPlan": admin.GetPlanResponse(plan=PLAN),
                "CreatePlan": admin.CreatePlanResponse(plan=PLAN),
                "UpdatePlan": admin.UpdatePlanResponse(plan=PLAN),
                "UpdateAccount": admin.UpdateAccountResponse(),
                "SetOwnBudget": admin.SetOwnBudgetResponse(
                    budget=resources.Budget(unit="UNIT_USD")
                ),
            }
        )
        monkeypatch.setenv("PAYMASTER_ADDRESS", scripted.address)
        monkeypatch.setenv("PAYMASTER_TOKEN", "the-token")
        monkeypatch.delenv("PAYMASTER_TOKEN_FILE", raising=False)
        monkeypatch.setenv("PAYMASTER_DATA_DIR", str(tmp_path / "default"))
        yield scripted


def run(*words):
    return CliRunner().invoke(paymaster, words)


def test_the_terms_of_a_plan_are_sent_as_they_are_shown(authority):
    words = (
        *("--budget", "usd-day=5.00:notify@50,100", "--budget", "usd-month=9@none"),
        *("--budget", "usd-week=7", "--concurrency", "4", "--tier", "standard"),
        *("--submissions-per-minute", "0", "--abuse", "refusals=5,within=1h,freeze=90s"),
    )
    run("plans", "create", "small", *words)
    (request,) = authority.asked("CreatePlan")
    plan = request.plan
    assert [list(row.alert_thresholds.percents) for row in plan.budgets] == [[50, 100], [], [], []]
    assert [row.HasField("alert_thresholds") for row in plan.budgets] == [True, True, False, False]
    assert (plan.budgets[3].unit, plan.budgets[3].limit) == (resources.UNIT_RESERVATIONS, 4)
    assert (plan.tier, plan.HasField("submissions_per_minute")) == ("standard", True)
    assert (plan.abuse.refusals, plan.abuse.within.seconds, plan.abuse.freeze.seconds) == (
        *(5, 3_600),
        90,
    )
    run("plans", "set", "free", "--concurrency", "2", "--tier", "none", "--no-abuse")
    (request,) = authority.asked("UpdatePlan")
    assert list(request.update_mask.paths) == ["budgets", "tier", "abuse"]
    assert [row.unit for row in request.plan.budgets] == [
        resources.UNIT_USD,
        resources.UNIT_RESERVATIONS,
    ]
    for option, text in (
        ("--budget", "usd"),
        ("--budget", "usd-day=1@x"),
        ("--abuse", "refusals"),
        ("--abuse", "refusal=3"),
        ("--abuse", "refusals=3,within=1w"),
    ):
        result = run("plans", "create", "small", option, text)
        assert result.exit_code == 2
        assert option in result.stderr


def test_a_budget_of_ones_own_and_an_end_are_sent(authority):
    run("budgets", "own", "acme/alice")
    run("budgets", "own", "acme/alice", "5", "--reason", "enough")
    assert run("budgets", "own", "acme/alice", "0").exit_code == 2
    default, own = authority.asked("SetOwnBudget")
    assert (default.limit, own.limit, own.reason) == (0, 5_000_000, "enough")
    run("accounts", "set", "acme", "--end-time", "2026-11-22T10:00:00Z")
    run("accounts", "set", "acme", "--no-end")
    moved, endless = authority.asked("UpdateAccount")
    assert (moved.account.end_time.seconds, endless.account.HasField("end_time")) == (
        1_795_341_600,
        False,
    )
    assert [list(row.update_mask.paths) for row in (moved, endless)] == [["end_time"]] * 2
