"""`paymaster insights` against a scripted authority: what it asks, prints and ends with."""

from __future__ import annotations

import json
import traceback

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import insight_service_pb2 as messages
from authority.v1 import resources_pb2
from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli.app import paymaster

NOW = Timestamp(seconds=1_800_000_000)
FOUND = messages.ListInsightsResponse(
    insights=[
        messages.Insight(
            kind="INSIGHT_KIND_CHEAPER_MODEL",
            generation_kind="KIND_IMAGE",
            used=messages.InsightChoice(provider="p", model="m", size="1024x1024", quality="high"),
            instead=messages.InsightChoice(
                provider="q", model="n", size="1024x1024", quality="low"
            ),
            paid=4_000_000,
            saved=1_250_000,
            attempt_count=20,
            generation_ids=["acme/1"],
            summary="Use n.",
            method="Priced anew.",
        ),
        messages.Insight(
            kind="INSIGHT_KIND_FAILURES",
            generation_kind="KIND_CHAT",
            paid=40_000,
            saved=40_000,
            attempt_count=2,
            cause="content_refused",
            summary="Paid for nothing.",
            method="The ledger.",
            retire_date="2026-12-01",
        ),
    ],
    efficiency=messages.EfficiencyScore(
        score_ppm=687_500, paid=4_040_000, failures=40_000, dearer=1_250_000, formula="score = 1"
    ),
    start_time=NOW,
    end_time=NOW,
    generation_count=23,
    attempt_count=22,
    cached_count=1,
)
WAS = messages.ReplayOutcome(generation_count=3, made_count=3, actual=600_000, charged=600_000)
WOULD = messages.ReplayOutcome(
    generation_count=3,
    made_count=1,
    denied_count=2,
    actual=200_000,
    charged=200_000,
    granted=[resources_pb2.Leg(unit="UNIT_CREDITS", amount=5_000_000)],
    denials=[
        messages.ReplayDenial(
            reason="BUDGET_EXHAUSTED",
            limiting_account="acme",
            budget="plan-usd-day",
            generation_count=2,
            first_time=NOW,
        )
    ],
)
REPLAYED = messages.ReplayResponse(
    actual=WAS, as_is=WAS, what_if=WOULD, assumptions=["As it is."], start_time=NOW, end_time=NOW
)


@pytest.fixture
def authority(monkeypatch, tmp_path):
    with ScriptedAuthority() as scripted:
        scripted.answers.update({"ListInsights": FOUND, "Replay": REPLAYED})
        monkeypatch.setenv("PAYMASTER_ADDRESS", scripted.address)
        monkeypatch.setenv("PAYMASTER_TOKEN", "the-token")
        monkeypatch.delenv("PAYMASTER_TOKEN_FILE", raising=False)
        monkeypatch.setenv("PAYMASTER_DATA_DIR", str(tmp_path / "default"))
        yield scripted


def run(*words):
    result = CliRunner().invoke(paymaster, ["insights", *words])
    assert isinstance(result.exception, SystemExit | None), traceback.format_exception(
        result.exception
    )
    return result


def tables(printed):
    """Return the tables that were printed, each as a list of rows."""
    found = []
    for part in printed.strip("\n").split("\n\n"):
        header, *lines = (line.split("\t") for line in part.splitlines())
        found.append([dict(zip(header, line, strict=True)) for line in lines])
    return found


def test_suggestions_are_shown_with_their_sums(authority):
    score, insights = tables(run("ls", "acme").stdout)
    assert score[0]["efficiency"] == "68.75%"
    assert (score[0]["paid"], score[0]["dearer"]) == ("$4.04", "$1.25")
    assert [row["saves"] for row in insights] == ["$1.25", "$0.04"]
    assert insights[0]["suggestion"] == "Use n."
    assert (insights[0]["used"], insights[0]["instead"]) == ("m 1024x1024 high", "n 1024x1024 low")
    assert insights[1]["cause"] == "content_refused"
    (asked,) = authority.asked("ListInsights")
    assert (asked.account, asked.days) == ("acme", 30)
    methods = tables(run("ls", "acme", "--method", "--days", "7").stdout)[2]
    assert [row["method"] for row in methods] == ["Priced anew.", "The ledger."]
    assert authority.asked("ListInsights")[-1].days == 7


def test_nothing_to_suggest_is_no_table_and_no_score(authority):
    authority.answers["ListInsights"] = messages.ListInsightsResponse()
    (score,) = tables(run("ls", "acme").stdout)
    assert score[0]["efficiency"] == "-"


def test_a_replay_shows_three_columns_and_what_denied(authority):
    figures, denials = tables(run("what-if", "acme/a", "--plan", "free", "--model", "m").stdout)
    shown = {row["figure"]: row for row in figures}
    assert (shown["made"]["was"], shown["made"]["what_if"]) == ("3", "1")
    assert shown["charged"] == {
        "figure": "charged",
        "was": "$0.60",
        "replayed_as_is": "$0.60",
        "what_if": "$0.20",
    }
    assert shown["of_grants"]["what_if"] == "5.00 CREDITS"
    assert denials == [
        {
            "denied_in": "what_if",
            "reason": "BUDGET_EXHAUSTED",
            "account": "acme",
            "budget": "plan-usd-day",
            "generations": "2",
            "first_time": "2027-01-15 08:00:00Z",
        }
    ]
    (asked,) = authority.asked("Replay")
    assert (asked.account, asked.days, asked.plan, asked.model) == ("acme/a", 30, "free", "m")


def test_json_has_all_of_it(authority):
    found = json.loads(run("ls", "acme", "--json").stdout)
    assert found["efficiency"]["score_ppm"] == 687_500
    assert found["insights"][1]["retire_date"] == "2026-12-01"
    assert found["insights"][0]["used"]["model"] == "m"
    replayed = json.loads(run("what-if", "acme", "--json").stdout)
    assert replayed["what_if"]["denials"][0]["budget"] == "plan-usd-day"
    assert replayed["assumptions"] == ["As it is."]


def test_refusals_end_with_their_code_and_say_why(authority):
    authority.answers["Replay"] = Refusal(
        grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "There is no plan 'free'."
    )
    result = run("what-if", "acme", "--plan", "free")
    assert result.exit_code != 0
    assert "There is no plan 'free'." in result.stderr
    assert run("ls", "acme", "--days", "91").exit_code == 2
    assert run("ls").exit_code == 2
