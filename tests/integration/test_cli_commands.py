"""The commands against a scripted authority: what they ask, print and end with."""

from __future__ import annotations

import json
import socket
import traceback

import grpc
import pytest
from click.testing import CliRunner

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import generation_service_pb2 as generations
from authority.v1 import resources_pb2 as resources
from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli.app import paymaster

ACCOUNT = resources.Account(
    account="acme",
    parent="platform",
    display_name="Acme\tInc",
    time_zone="UTC",
    state=resources.ACCOUNT_STATE_ACTIVE,
    overage_policy=resources.OVERAGE_POLICY_AVAILABLE,
)
BUDGET = resources.Budget(
    account="acme",
    budget="usd-day",
    unit=resources.UNIT_USD,
    window=resources.WINDOW_DAY,
    limit=500_000,
    enforcement=resources.ENFORCEMENT_BLOCK,
)
BALANCE = resources.BudgetBalance(
    budget=BUDGET, reserved=1, committed=40_800, refunded=0, available=459_199
)
GRANT = resources.Grant(grant_id="acme/1", unit="UNIT_IMAGES", refund_grace={"seconds": 60})
RESERVATION = resources.Reservation(
    reservation_id="acme/7",
    legs=[resources.ReservationLeg(unit=resources.UNIT_USD, reserved=80_000)],
)
PLAN = resources.Plan(
    plan="free",
    budgets=[resources.PlanBudget(unit="UNIT_USD", window="WINDOW_DAY", limit=500_000)],
    grants=[resources.PlanGrant(unit="UNIT_IMAGES", amount=3, recurrence="WINDOW_DAY")],
    version=1,
)
API_KEY = admin.ApiKey(api_key_id="abcdefghijkl", tenant="acme", scopes=[admin.SCOPE_SPEND])
CHANGE = admin.Change(
    change_number=7,
    tenant="acme",
    method="UpdateBudget",
    resource_type="budget",
    resource="acme usd-day",
    actor="checkout (abcdefghijkl)",
    reason="more traffic",
    before='{"limit":1,"enforcement":"BLOCK","update_time":"then"}',
    after='{"limit":2,"enforcement":"BLOCK","update_time":"now"}',
)
MODEL = generations.Model(
    provider="sandbox",
    model="sandbox-image",
    kind=generations.KIND_IMAGE,
    status="live",
    sizes=["512x512"],
    qualities=["standard"],
)
STATUS = admin.GetStatusResponse(
    version="1.2.3",
    epoch=7,
    hot_store_ok=True,
    ledger_ok=True,
    workers=[admin.WorkerStatus(worker="host:1", slot_count=8, providers=["sandbox"])],
)
DIFFERENCE = admin.AuditDifference(
    tenant="acme", place="hot_state", subject="usd-day", field="committed", expected="1", found="2"
)
ANSWERS = {
    "ListAccounts": admin.ListAccountsResponse(accounts=[ACCOUNT]),
    "GetAccount": admin.GetAccountResponse(account=ACCOUNT),
    "CreateAccount": admin.CreateAccountResponse(account=ACCOUNT),
    "UpdateAccount": admin.UpdateAccountResponse(account=ACCOUNT),
    "GetBalance": budget.GetBalanceResponse(balances=[BALANCE], grants=[GRANT]),
    "ListReservations": budget.ListReservationsResponse(reservations=[RESERVATION]),
    "ListGrants": admin.ListGrantsResponse(grants=[GRANT]),
    "CreateGrant": admin.CreateGrantResponse(grant=GRANT),
    "VoidGrant": admin.VoidGrantResponse(grant=GRANT),
    "Rebuild": admin.RebuildResponse(tenant_count=1, epoch=8),
    "ListBudgets": admin.ListBudgetsResponse(budgets=[BUDGET]),
    "GetBudget": admin.GetBudgetResponse(budget=BUDGET),
    "CreateBudget": admin.CreateBudgetResponse(budget=BUDGET),
    "UpdateBudget": admin.UpdateBudgetResponse(budget=BUDGET),
    "ListApiKeys": admin.ListApiKeysResponse(api_keys=[API_KEY]),
    "CreateApiKey": admin.CreateApiKeyResponse(api_key=API_KEY, token="pm_the_token"),
    "UpdateApiKey": admin.UpdateApiKeyResponse(api_key=API_KEY),
    "RevokeApiKey": admin.RevokeApiKeyResponse(api_key=API_KEY),
    "ListChanges": admin.ListChangesResponse(changes=[CHANGE] * 3),
    "ListPlans": admin.ListPlansResponse(plans=[PLAN]),
    "GetPlan": admin.GetPlanResponse(plan=PLAN),
    "ListPlanVersions": admin.ListPlanVersionsResponse(
        versions=[admin.PlanVersion(plan=PLAN, actor="ops (1)", reason="too dear")]
    ),
    "SetOwnBudget": admin.SetOwnBudgetResponse(budget=BUDGET),
    "CreatePlan": admin.CreatePlanResponse(plan=PLAN),
    "UpdatePlan": admin.UpdatePlanResponse(plan=PLAN),
    "ListModels": generations.ListModelsResponse(models=[MODEL]),
    "ListStyles": generations.ListStylesResponse(styles=[generations.Style(name="photo")]),
    "GetStatus": STATUS,
    "Audit": admin.AuditResponse(tenant_count=1, operation_count=2),
}
NEW_BUDGET = ("--unit", "usd", "--window", "day", "--limit", "0.50")
PLAN_TERMS = ("--budget", "usd-day=0.50:notify", "--grant", "images-day=3:10")
NEW_GRANT = ("--unit", "images", "--amount", "3")
# Every command that asks once, with the keys of its document and the header of its first table.
COMMANDS = {
    ("accounts", "list"): ({"accounts"}, "account"),
    ("accounts", "get", "acme"): ({"account", "balances"}, "account"),
    ("accounts", "create", "acme"): ({"account"}, "account"),
    ("accounts", "set", "acme", "--state", "frozen"): ({"account"}, "account"),
    ("budgets", "list"): ({"budgets"}, "account"),
    ("budgets", "get", "acme", "usd-day"): ({"budget", "balance"}, "account"),
    ("budgets", "create", "acme", *NEW_BUDGET): ({"budget"}, "account"),
    ("budgets", "set", "acme", "usd-day", "--limit", "2"): ({"budget"}, "account"),
    ("grants", "list", "acme"): ({"grants"}, "grant_id"),
    ("grants", "create", "acme", *NEW_GRANT): ({"grant"}, "grant_id"),
    ("grants", "void", "acme/1"): ({"grant"}, "grant_id"),
    ("balance", "acme"): ({"balances", "grants", "read_time"}, "account"),
    ("reservations", "list", "acme"): ({"reservations"}, "reservation_id"),
    ("rebuild", "acme"): ({"tenant_count", "epoch"}, "tenant_count"),
    ("accounts", "set", "acme", "--plan", "free"): ({"account"}, "account"),
    ("plans", "list"): ({"plans"}, "plan"),
    ("plans", "get", "free"): ({"plan"}, "plan"),
    ("plans", "get", "free", "--version", "1"): ({"plan"}, "plan"),
    ("plans", "history", "free"): ({"versions"}, "version"),
    ("plans", "defaults"): ({"plans"}, "outcome"),
    ("plans", "create", "free", *PLAN_TERMS): ({"plan"}, "plan"),
    ("budgets", "own", "acme/alice", "5"): ({"budget"}, "account"),
    ("accounts", "create", "acme/s", "--end-time", "2026-11-22T10:00:00Z"): (
        {"account"},
        "account",
    ),
    ("plans", "set", "free", "--no-budgets", "--grant", "credits=1.50"): ({"plan"}, "plan"),
    ("keys", "list", "--tenant", "acme"): ({"api_keys"}, "api_key_id"),
    ("keys", "create", "acme", "--scope", "spend"): ({"api_key", "token"}, "api_key_id"),
    ("keys", "set", "abcdefghijkl", "--submissions-per-minute", "5"): ({"api_key"}, "api_key_id"),
    ("keys", "revoke", "abcdefghijkl"): ({"api_key"}, "api_key_id"),
    ("changes",): ({"changes"}, "change_number"),
    ("models",): ({"models"}, "model"),
    ("styles",): ({"styles"}, "style"),
    ("status",): ({"version", "epoch", "hot_store_ok", "ledger_ok", "workers"}, "part"),
    ("audit",): ({"balanced", "differences", "operation_count"}, "tenant"),
}


@pytest.fixture
def authority(monkeypatch, tmp_path):
    with ScriptedAuthority() as scripted:
        scripted.answers.update(ANSWERS)
        monkeypatch.setenv("PAYMASTER_ADDRESS", scripted.address)
        monkeypatch.setenv("PAYMASTER_TOKEN", "the-token")
        monkeypatch.delenv("PAYMASTER_TOKEN_FILE", raising=False)
        monkeypatch.setenv("PAYMASTER_DATA_DIR", str(tmp_path / "default"))
        yield scripted


def run(*words):
    result = CliRunner().invoke(paymaster, words)
    assert isinstance(result.exception, SystemExit | None), traceback.format_exception(
        result.exception
    )
    return result


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_prints_json_and_tab_separated_lines(authority, words):
    keys, header = COMMANDS[words]
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    assert keys <= json.loads(result.stdout).keys()
    assert authority.tokens == {"Bearer the-token"}

    result = run(*words)
    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first.split("\t")[0] == header
    assert all("\t" in line or not line for line in rest)


def test_amounts_and_texts_are_fit_for_a_line(authority):
    first, row, *_ = run("accounts", "list").stdout.splitlines()
    assert dict(zip(first.split("\t"), row.split("\t"), strict=True))["display_name"] == "Acme Inc"
    balances = run("accounts", "get", "acme").stdout.split("\n\n")[1].splitlines()
    numbers = dict(zip(*(line.split("\t") for line in balances), strict=True))
    assert numbers["committed"] == "$0.0408"
    assert numbers["reserved"] == "$0.000001"
    assert numbers["window_end_time"] == "-"


@pytest.mark.parametrize(
    ("refusal", "code", "told"),
    [
        (Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"), 5, "It is so."),
        (Refusal(grpc.StatusCode.UNAUTHENTICATED, "NOT_SIGNED_IN"), 4, "PAYMASTER_TOKEN_FILE"),
        (Refusal(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"), 6, "It is so."),
        (Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"), 69, "paymaster dev"),
        (Refusal(grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS"), 1, "It is so."),
        (Refusal(grpc.StatusCode.INTERNAL, "INTERNAL"), 1, "It is so."),
        (
            Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "bad", {"limit": "is low"}),
            2,
            "limit: is low",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
@pytest.mark.parametrize("words", [("accounts", "get", "acme"), ("models", "--json")], ids=" ".join)
def test_an_error_ends_in_its_exit_code_and_one_message(authority, refusal, code, told, words):
    authority.answers["GetAccount"] = authority.answers["ListModels"] = refusal
    result = run(*words)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert told in result.stderr


def test_an_authority_that_is_not_there_is_unreachable(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PAYMASTER_ADDRESS", f"127.0.0.1:{closed.getsockname()[1]}")
        result = run("status")
    assert result.exit_code == 69
    assert "paymaster dev" in result.stderr


def test_differences_of_an_audit_are_printed_and_end_in_1(authority):
    authority.answers["Audit"] = admin.AuditResponse(differences=[DIFFERENCE], tenant_count=1)
    result = run("audit")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == "acme\thot_state\tusd-day\tcommitted\t1\t2"
    assert "1 difference" in result.stderr
    document = json.loads(run("audit", "--json").stdout)
    assert document["balanced"] is False
    assert document["differences"][0]["found"] == "2"


def test_a_store_that_is_away_shows_in_the_status_and_its_exit_code(authority):
    authority.answers["GetStatus"] = admin.GetStatusResponse(hot_store_ok=False, ledger_ok=True)
    result = run("status")
    assert result.exit_code == 69
    assert "hot store\tAWAY" in result.stdout
    assert "worker\tNONE" in result.stdout
    assert "hot store" in result.stderr


def test_what_is_set_and_only_that_is_changed(authority):
    run("accounts", "set", "acme", "--display-name", "")
    run("budgets", "set", "acme", "usd-day", "--limit", "0")
    run("budgets", "set", "acme", "usd-day", "--enforcement", "NOTIFY")
    run("accounts", "set", "acme/a", "--parent", "acme/b", "--no-per-request-limits")
    account, moved = authority.asked("UpdateAccount")
    assert list(account.update_mask.paths) == ["display_name"]
    assert list(moved.update_mask.paths) == ["parent", "per_request_limits"]
    assert moved.account == resources.Account(account="acme/a", parent="acme/b")
    limit, enforcement = authority.asked("UpdateBudget")
    assert list(limit.update_mask.paths) == ["limit"]
    assert list(enforcement.update_mask.paths) == ["enforcement"]
    assert enforcement.budget.enforcement == resources.ENFORCEMENT_NOTIFY


def test_limits_and_rates_of_an_account_are_sent(authority):
    limits = ("--per-request-limit", "usd=0.50", "--per-request-limit", "Images=4")
    rate = ("--reserves-per-minute", "60")
    run("accounts", "create", "acme", *limits, *rate, "--reason", "it is new")
    run("accounts", "set", "acme", *limits, *rate, "--reason", "too many")
    (created,), (changed,) = authority.asked("CreateAccount"), authority.asked("UpdateAccount")
    for request in (created, changed):
        assert list(request.account.per_request_limits) == [
            resources.Leg(unit=resources.UNIT_USD, amount=500_000),
            resources.Leg(unit=resources.UNIT_IMAGES, amount=4),
        ]
        assert request.account.reserves_per_minute == 60
    assert (created.reason, changed.reason) == ("it is new", "too many")
    assert list(changed.update_mask.paths) == ["per_request_limits", "reserves_per_minute"]
    for words in (("usd",), ("usd=",), ("eur=1",), ("usd=-1",), ("images=0.5",), ("=1",)):
        result = run("accounts", "set", "acme", "--per-request-limit", *words)
        assert result.exit_code == 2
        assert "--per-request-limit" in result.stderr
    assert len(authority.asked("UpdateAccount")) == 1


def test_lists_are_filtered_and_ordered(authority):
    run("accounts", "list", "--parent", "platform", "--state", "frozen", "--descending")
    run("accounts", "list", "--tenant", "acme")
    run("budgets", "list", "--account", "acme", "--unit", "reservations")
    below, tenants = authority.asked("ListAccounts")
    assert (below.parent, below.state) == ("platform", resources.ACCOUNT_STATE_FROZEN)
    assert (below.order_by, tenants.order_by) == ("account desc", "account")
    assert (tenants.tenant, tenants.parent, tenants.state) == ("acme", "", 0)
    (budgets,) = authority.asked("ListBudgets")
    assert (budgets.account, budgets.unit) == ("acme", resources.UNIT_RESERVATIONS)


def test_budgets_take_a_reason(authority):
    run("budgets", "create", "acme", *NEW_BUDGET, "--reason", "it is new")
    run("budgets", "set", "acme", "usd-day", "--limit", "2", "--reason", "more traffic")
    assert authority.asked("CreateBudget")[0].reason == "it is new"
    assert authority.asked("UpdateBudget")[0].reason == "more traffic"


def test_changes_show_what_is_new_and_stop_in_time(authority):
    words = ("changes", "--tenant", "acme", "--account", "acme/alice", "--count", "2")
    header, *rows = run(*words).stdout.splitlines()
    assert len(rows) == 2
    row = dict(zip(header.split("\t"), rows[0].split("\t"), strict=True))
    assert row["changed"] == '{"limit": 2}'
    assert (row["actor"], row["reason"]) == ("checkout (abcdefghijkl)", "more traffic")
    (asked,) = authority.asked("ListChanges")
    assert (asked.tenant, asked.account) == ("acme", "acme/alice")
    (change, _) = json.loads(run(*words, "--json").stdout)["changes"]
    assert (change["before"]["limit"], change["after"]["limit"]) == (1, 2)


def test_a_limit_is_read_in_the_unit_of_the_budget(authority):
    run("budgets", "create", "acme", *NEW_BUDGET, "--enforcement", "downgrade")
    (created,) = authority.asked("CreateBudget")
    assert created.budget.limit == 500_000
    assert created.budget.enforcement == resources.ENFORCEMENT_DOWNGRADE
    images = resources.Budget(account="acme", budget="images-day", unit=resources.UNIT_IMAGES)
    authority.answers["GetBudget"] = admin.GetBudgetResponse(budget=images)
    run("budgets", "set", "acme", "images-day", "--limit", "25")
    assert authority.asked("UpdateBudget")[0].budget.limit == 25
    result = run("budgets", "set", "acme", "images-day", "--limit", "2.5")
    assert result.exit_code == 2
    assert "--limit" in result.stderr
    assert len(authority.asked("UpdateBudget")) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Usage"),
        (("nonsense",), "nonsense"),
        (("accounts", "set", "acme"), "--display-name"),
        (("budgets", "set", "acme", "usd-day"), "--limit"),
        (("budgets", "create", "acme"), "--unit"),
        (("budgets", "create", "acme", *NEW_BUDGET[:-1], "-1"), "--limit"),
        (("budgets", "create", "acme", *NEW_BUDGET[:-1], "1e400"), "--limit"),
        (("budgets", "create", "acme", "--unit", "eur", *NEW_BUDGET[2:]), "usd"),
        (("budgets", "create", "acme", "--unit", "unknown", *NEW_BUDGET[2:]), "usd"),
        (("accounts", "get"), "ACCOUNT"),
        (("grants", "create", "acme", *NEW_GRANT[:-1], "0.5"), "--amount"),
        (("grants", "create", "acme", *NEW_GRANT, "--recurrence", "total"), "--recurrence"),
        (("balance", "acme", "--as-of", "yesterday"), "2026-11-21T10:30:00Z"),
        (("ledger", "export"), "--account"),
        (("ledger", "export", "--account", "acme", "--json"), "--output"),
        (("generate", "a fox"), "--account"),
        (("generate", "--account", "acme"), "PROMPT"),
        (("generate", "a fox", "--file", "x", "--account", "acme"), "--file"),
        (("generate", " ", "--account", "acme"), "PROMPT"),
        (("generate", "a \x07", "--account", "acme"), "U+0007"),
        (("generate", "a fox", "--account", "acme", "--no-wait", "--out", "x"), "--wait"),
        (("generate", "--file", "/no/such/file", "--account", "acme"), "--file"),
        (("serve", "--port", "99999"), "--port"),
    ],
)
def test_wrong_use_is_told_with_the_way_out(authority, words, told):
    result = run(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert authority.requests == []


def test_what_nobody_expected_is_one_line_until_debugging(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("paymaster.cli.accounts.connected", fail)
    result = run("accounts", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unexpected: RuntimeError: a bug")
    assert "PAYMASTER_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("PAYMASTER_DEBUG", "1")
    assert "Traceback" in run("accounts", "list").stderr


def test_ctrl_c_ends_a_command_in_130(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("paymaster.cli.accounts.connected", interrupt)
    assert run("accounts", "list").exit_code == 130
