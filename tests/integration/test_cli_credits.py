"""`paymaster credits` and `paymaster prices`, in front of an authority that answers by a script."""

from __future__ import annotations

import json
import traceback

import pytest
from click.testing import CliRunner

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import credits_pb2 as credit
from authority.v1 import resources_pb2 as resources
from cli_authority import ScriptedAuthority
from paymaster.cli.app import paymaster

MONTH = resources.BudgetBalance(
    budget=resources.Budget(
        account="acme",
        budget="usd-month",
        unit="UNIT_USD",
        window="WINDOW_MONTH",
        limit=5_000_000,
        enforcement="ENFORCEMENT_BLOCK",
    ),
    committed=1_500_000,
    refunded=250_000,
    available=3_750_000,
    window_end_time={"seconds": 1_796_083_200},
)
PRICES = credit.PriceList(
    version=3,
    prices=[
        credit.CreditPrice(kind="KIND_IMAGE", tier="premium", credits=2_000_000),
        credit.CreditPrice(kind="KIND_VIDEO", tier="standard", credits=500_000),
    ],
)
STATUS = credit.GetCreditStatusResponse(
    account="acme",
    plan="free",
    prepaid_units=["UNIT_CREDITS", "UNIT_IMAGES"],
    allowances=[
        credit.Allowance(
            grant_id="acme/1",
            unit="UNIT_IMAGES",
            recurrence="WINDOW_DAY",
            amount=3,
            available=1,
            reserved=1,
            reset_time={"seconds": 1_763_769_600},
        )
    ],
    free_images=1,
    credits=12_500_000,
    paid_credits=9_500_000,
    month=MONTH,
    month_spend=1_250_000,
    windows=[MONTH],
    price_list=PRICES,
)
GRANT = resources.Grant(
    grant_id="acme/2", account="acme", unit="UNIT_CREDITS", amount=25_000_000, price=9_990_000
)


@pytest.fixture
def authority(monkeypatch, tmp_path):
    with ScriptedAuthority() as scripted:
        scripted.answers.update(
            {
                "GetCreditStatus": STATUS,
                "CreateGrant": admin.CreateGrantResponse(grant=GRANT),
                "GetPriceList": credit.GetPriceListResponse(price_list=PRICES),
                "UpdatePriceList": credit.UpdatePriceListResponse(price_list=PRICES),
            }
        )
        monkeypatch.setenv("PAYMASTER_ADDRESS", scripted.address)
        monkeypatch.setenv("PAYMASTER_TOKEN", "the-token")
        monkeypatch.delenv("PAYMASTER_TOKEN_FILE", raising=False)
        monkeypatch.setenv("PAYMASTER_DATA_DIR", str(tmp_path / "default"))
        yield scripted


def run(*words, code=0):
    result = CliRunner().invoke(paymaster, words)
    assert isinstance(result.exception, SystemExit | None), traceback.format_exception(
        result.exception
    )
    assert result.exit_code == code, result.stderr
    return result


def tables(text):
    """Return the first row of each table by its header."""
    return [
        dict(zip(*(line.split("\t") for line in table.splitlines()[:2]), strict=True))
        for table in text.strip().split("\n\n")
    ]


@pytest.mark.parametrize(
    ("words", "key", "header"),
    [
        (("credits", "status", "acme"), "credit_status", "account"),
        (("credits", "top-up", "acme", "--credits", "5"), "grant", "grant_id"),
        (("prices", "show"), "price_list", "kind"),
        (("prices", "set", "image-premium=3"), "price_list", "kind"),
    ],
)
def test_every_command_prints_json_and_tab_separated_lines(authority, words, key, header):
    document = run(*words, "--json").stdout
    assert document.count("\n") == 1
    assert list(json.loads(document)) == [key]
    first, *rest = run(*words).stdout.splitlines()
    assert first.split("\t")[0] == header
    assert all("\t" in line or not line for line in rest)


def test_the_status_is_told_in_tables(authority):
    status, allowance, window, price = tables(run("credits", "status", "acme").stdout)
    assert (status["free_images"], status["credits"], status["paid_credits"]) == (
        "1",
        "12.50",
        "9.50",
    )
    assert (status["month_spend"], status["month_cap"], status["tier"]) == ("$1.25", "$5.00", "any")
    assert status["prepaid_units"] == "CREDITS, IMAGES"
    assert (allowance["available"], allowance["reset_time"]) == ("1", "2025-11-22 00:00:00Z")
    assert window["window_end_time"] == "2026-12-01 00:00:00Z"
    assert (price["kind"], price["credits"], price["for"]) == ("image", "2.00", "an image")
    document = json.loads(run("credits", "status", "acme", "--json").stdout)["credit_status"]
    assert document["prepaid_units"] == ["CREDITS", "IMAGES"]
    assert document["month"]["committed"] == 1_500_000


def test_an_account_without_any_of_it(authority):
    authority.answers["GetCreditStatus"] = credit.GetCreditStatusResponse(account="acme")
    status = run("credits", "status", "acme").stdout.splitlines()[:2]
    row = dict(zip(*(line.split("\t") for line in status), strict=True))
    assert (row["plan"], row["prepaid_units"], row["month_cap"]) == ("-", "-", "-")


def test_a_top_up_is_a_grant_with_its_price_and_key(authority):
    words = ("credits", "top-up", "acme", "--credits", "25", "--price", "9.99", "--key", "order-7")
    made = json.loads(run(*words, "--reason", "spring", "--json").stdout)["grant"]
    assert made["price"] == 9_990_000
    (request,) = authority.asked("CreateGrant")
    assert (request.idempotency_key, request.reason) == ("order-7", "spring")
    grant = request.grant
    assert (grant.account, grant.unit, grant.amount) == ("acme", resources.UNIT_CREDITS, 25_000_000)
    assert (grant.price, grant.source) == (9_990_000, "purchase")


@pytest.mark.parametrize(
    ("option", "text"), [("--credits", "many"), ("--credits", "-1"), ("--price", "0.0000001")]
)
def test_a_wrong_amount_is_told_before_anything_is_asked(authority, option, text):
    words = ["credits", "top-up", "acme", "--credits", "25", option, text]
    assert option in run(*words, code=2).stderr
    assert authority.requests == []


def test_some_prices_are_changed_and_the_others_stay(authority):
    run("prices", "set", "image-premium=2.5", "chat-standard=0.1", "--reason", "autumn")
    (request,) = authority.asked("UpdatePriceList")
    assert (request.base_version, request.reason) == (3, "autumn")
    assert {(price.kind, price.tier): price.credits for price in request.prices} == {
        (1, "premium"): 2_500_000,
        (3, "standard"): 500_000,
        (2, "standard"): 100_000,
    }
    run("prices", "set", "--remove", "video-standard")
    assert [price.kind for price in authority.asked("UpdatePriceList")[-1].prices] == [1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Nothing to change"),
        (("images-premium=1",), "images-premium"),
        (("image-premium=free",), "not an amount"),
        (("image-premium",), "not an amount"),
        (("image-premium=1", "--remove", "image-premium"), "both"),
        (("--remove", "chat-premium"), "no price"),
    ],
)
def test_what_can_not_be_read_changes_nothing(authority, words, told):
    assert told in run("prices", "set", *words, code=2).stderr
    assert authority.asked("UpdatePriceList") == []


def test_a_former_list_is_shown(authority):
    run("prices", "show", "--version", "2")
    assert authority.asked("GetPriceList")[0].version == 2
    first = tables(run("prices", "show").stdout)[0]
    assert (first["kind"], first["version"]) == ("image", "3")
