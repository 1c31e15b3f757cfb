"""`paymaster reconcile` against a scripted authority: what it asks, prints and ends with."""

from __future__ import annotations

import json

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import reconciliation_service_pb2 as messages
from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli.app import paymaster

NOW = Timestamp(seconds=1_800_000_000)
BILL = messages.Bill(
    bill_id="01999999-9999-7999-8999-999999999999",
    provider="openai",
    format="BILL_FORMAT_OPENAI",
    file_name="costs.csv",
    line_count=3,
    start_day="2026-11-01",
    end_day="2026-11-30",
    billed=12_340_000,
    create_time=NOW,
)
DAY = messages.BillDay(
    day="2026-11-02",
    provider="openai",
    model="gpt-image-1",
    billed=90_000,
    booked=140_000,
    difference=-50_000,
    call_count=4,
    presumed_count=3,
    presumed=110_000,
    presumed_billed=60_000,
    state="BILL_DAY_STATE_BILLED_LESS",
)
ATTEMPT = messages.PresumedAttempt(
    generation_id="acme/1",
    attempt=2,
    account="acme",
    provider="openai",
    model="gpt-image-1",
    call_time=NOW,
    booked=40_000,
    billed=10_000,
    covered=True,
)
ADJUSTMENT = messages.BillAdjustment(
    adjustment_id="a",
    day="2026-11-02",
    provider="openai",
    model="gpt-image-1",
    amount=-50_000,
    refunded=50_000,
    create_time=NOW,
    parts=[messages.BillAdjustmentPart(account="acme", amount=-50_000, refunded=50_000)],
)


@pytest.fixture
def authority():
    with ScriptedAuthority() as made:
        made.answers = {
            "ImportBill": messages.ImportBillResponse(bill=BILL, replayed=True),
            "ListBills": messages.ListBillsResponse(bills=[BILL]),
            "WithdrawBill": messages.WithdrawBillResponse(bill=BILL),
            "ListBillDays": messages.ListBillDaysResponse(days=[DAY]),
            "ListPresumedAttempts": messages.ListPresumedAttemptsResponse(attempts=[ATTEMPT]),
            "AdjustBillDay": messages.AdjustBillDayResponse(adjustment=ADJUSTMENT),
            "ListBillAdjustments": messages.ListBillAdjustmentsResponse(adjustments=[ADJUSTMENT]),
        }
        yield made


@pytest.fixture
def run(authority):
    """A function that runs a command, and returns its result."""

    def invoke(*arguments):
        environment = {"PAYMASTER_ADDRESS": authority.address, "PAYMASTER_TOKEN": "t"}
        return CliRunner().invoke(paymaster, ["reconcile", *arguments], env=environment)

    return invoke


def rows_of(result):
    assert result.exit_code == 0, result.output
    header, *rows = result.stdout.split("\n\n")[0].splitlines()
    names = header.split("\t")
    return [dict(zip(names, row.split("\t"), strict=True)) for row in rows]


def test_a_file_is_sent_in_pieces(run, authority, tmp_path):
    path = tmp_path / "costs.csv"
    path.write_bytes(b"x" * 600_000)
    (row,) = rows_of(
        run(
            *("import", str(path), "--provider", "openai", "--format", "fal", "--source", "eu"),
            *("--since", "2026-11-01", "--until", "2026-11-30", "--reason", "why"),
        )
    )
    assert (row["billed"], row["lines"], row["end_day"]) == ("$12.34", "3", "2026-11-30")
    ((header, *chunks),) = authority.asked("ImportBill")
    assert header.header == messages.BillHeader(
        provider="openai",
        format="BILL_FORMAT_FAL",
        source="eu",
        file_name="costs.csv",
        start_day="2026-11-01",
        end_day="2026-11-30",
        reason="why",
    )
    assert b"".join(part.chunk for part in chunks) == path.read_bytes()
    assert len(chunks) == 3


def test_bad_lines_are_told(run, authority, tmp_path):
    authority.answers["ImportBill"] = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        fields={"line 3, column amount_value": "must be a number"},
    )
    path = tmp_path / "costs.csv"
    path.write_bytes(b"x")
    result = run("import", str(path), "--provider", "openai")
    assert result.exit_code == 2
    assert result.stderr == "error: line 3, column amount_value: must be a number\n"
    result = run("import", str(tmp_path / "none.csv"), "--provider", "openai")
    assert (result.exit_code, "can't be read" in result.stderr) == (2, True)


def test_days_are_shown_and_chosen(run, authority):
    (row,) = rows_of(run("list", "--at-least", "0.01", "--provider", "openai"))
    assert (row["billed"], row["booked"], row["difference"]) == ("$0.09", "$0.14", "-$0.05")
    assert (row["state"], row["presumed_billed"]) == ("BILLED_LESS", "$0.06")
    rows_of(run("list", "--differences", "--since", "2026-11-01", "--model", "m"))
    first, second = authority.asked("ListBillDays")
    assert (first.provider, first.difference_min) == ("openai", 10_000)
    assert (second.start_day, second.model, second.difference_min) == ("2026-11-01", "m", 1)
    for wrong in (("--since", "1.11."), ("--since", "2026-02-30"), ("--at-least", "x")):
        assert run("list", *wrong).exit_code == 2


def test_a_day_is_adjusted(run, authority):
    (row,) = rows_of(
        run(
            *("adjust", "2026-11-02", "openai", "gpt-image-1", "--reason", "bill", "--key", "k"),
            *("--account", "acme", "--keep-charges"),
        )
    )
    assert (row["amount"], row["refunded"], row["finish_time"]) == ("-$0.05", "$0.05", "-")
    (asked,) = authority.asked("AdjustBillDay")
    assert asked == messages.AdjustBillDayRequest(
        idempotency_key="k",
        day="2026-11-02",
        provider="openai",
        model="gpt-image-1",
        account="acme",
        keep_charges=True,
        reason="bill",
    )
    assert run("adjust", "2026-11-02", "openai", "gpt-image-1").exit_code == 2
    authority.answers["AdjustBillDay"] = Refusal(
        grpc.StatusCode.FAILED_PRECONDITION, "BILL_STATE", "There is no bill."
    )
    result = run("adjust", "2026-11-02", "openai", "m", "--reason", "r")
    assert (result.exit_code, result.stderr) == (1, "error: There is no bill.\n")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["bills"], "bills"),
        (["list"], "days"),
        (["presumed"], "attempts"),
        (["adjustments"], "adjustments"),
        (["withdraw", BILL.bill_id], "bill"),
        (["adjust", "2026-11-02", "openai", "m", "--reason", "r"], "adjustment"),
    ],
)
def test_every_command_prints_a_table_and_a_document(run, arguments, name):
    assert len(rows_of(run(*arguments))) == 1
    result = run(*arguments, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)[name]
    first = document[0] if isinstance(document, list) else document
    assert first["provider"] == "openai"
