"""`paymaster usage` and `export` against a scripted authority: what they ask, print, end with."""

from __future__ import annotations

import json

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import usage_service_pb2 as messages
from cli_authority import Refusal, ScriptedAuthority
from clients.convert_usage import report_from_proto
from clients.usage_types import UsageDimension, UsageInterval, UsageOrder
from paymaster.cli.app import paymaster
from paymaster.cli.output import Output
from paymaster.cli.usage_tables import bar_of, report_tables

DAY = 1_793_577_600  # 2026-11-02 in UTC
SUMS = messages.UsageSums(
    succeeded_count=40,
    failed_count=2,
    denied_count=3,
    hit_count=11,
    reversed_count=1,
    actual=1_500_000,
    charged=1_400_000,
    refunded=40_000,
    credits=12_500_000,
    revenue=2_000_000,
    margin=500_000,
    saved=300_000,
    duration_ms=1_000,
    duration_count=4,
    success_rate_ppm=952_380,
    hit_rate_ppm=200_000,
    average_cost=37_500,
    roi_ppm=333_333,
)
ANSWER = messages.QueryUsageResponse(
    totals=SUMS,
    points=[
        messages.UsagePoint(start_time=Timestamp(seconds=DAY - 3600), sums=SUMS),
        messages.UsagePoint(
            start_time=Timestamp(seconds=DAY + 82_800),
            sums=messages.UsageSums(succeeded_count=1, charged=680_000),
        ),
    ],
    groups=[
        messages.UsageGroup(
            values=[messages.UsageValue(dimension="USAGE_DIMENSION_ACCOUNT", value="acme/alice")],
            sums=SUMS,
        )
    ],
    group_count=7,
    start_time=Timestamp(seconds=DAY),
    end_time=Timestamp(seconds=DAY + 900),
    time_zone="Europe/Berlin",
    top_entries=[messages.UsageCacheEntry(entry_id="acme/e", hit_count=9, saved=360_000)],
)
EVENT = messages.UsageEvent(
    tenant="acme",
    sequence=7,
    event_time=Timestamp(seconds=DAY),
    account="acme/alice",
    outcome="USAGE_OUTCOME_DENIED",
    model="m",
    denial_reason="DENIAL_REASON_NO_BUDGET",
    reservation_id="acme/r",
)


@pytest.fixture
def authority():
    with ScriptedAuthority() as made:
        made.answers = {
            "QueryUsage": ANSWER,
            "ListUsageEvents": messages.ListUsageEventsResponse(events=[EVENT]),
        }
        yield made


@pytest.fixture
def run(authority):
    """A function that runs a command, and returns its result."""

    def invoke(*arguments):
        environment = {"PAYMASTER_ADDRESS": authority.address, "PAYMASTER_TOKEN": "t"}
        return CliRunner().invoke(paymaster, arguments, env=environment)

    return invoke


def tables_of(result):
    assert result.exit_code == 0, result.output
    return [
        [line.split("\t") for line in table.splitlines()] for table in result.stdout.split("\n\n")
    ]


def test_totals_a_series_and_groups(run, authority):
    totals, series, groups, entries = tables_of(
        run("usage", "show", "--by", "account", "--every", "day", "--entries")
    )
    shown = dict(totals[1:])
    assert (shown["charged"], shown["margin"], shown["credits"]) == ("$1.40", "$0.50", "12.50")
    assert (shown["success_rate"], shown["hits"], shown["average_ms"]) == ("95.238%", "10", "250")
    # Days are of the reporting time zone, in which it is an hour later.
    assert [row[0] for row in series] == ["day", "2026-11-02", "2026-11-03"]
    assert len(series[0]) == len(series[1])
    assert groups[0][0] == "account"
    assert groups[1][0] == "acme/alice"
    assert entries[1] == ["acme/e", "9", "$0.36"]
    (asked,) = authority.asked("QueryUsage")
    assert asked == messages.QueryUsageRequest(
        group_by=["USAGE_DIMENSION_ACCOUNT"],
        interval="USAGE_INTERVAL_DAY",
        order_by="USAGE_ORDER_CHARGED",
        page_size=50,
        top_entries=True,
        filter=asked.filter,
    )


def test_a_person_is_told_of_which_time_it_is_and_how_far_it_is_complete(
    run, authority, monkeypatch
):
    monkeypatch.setattr(Output, "for_people", property(lambda output: not output.as_json))
    answer = messages.QueryUsageResponse()
    answer.CopyFrom(ANSWER)
    answer.complete_until.seconds = DAY + 731
    authority.answers["QueryUsage"] = answer
    assert run("usage", "show").stderr == (
        "From 2026-11-02 01:00:00 to 2026-11-02 01:15:00 (Europe/Berlin).\n"
        "Complete up to 2026-11-02 01:12:11 (Europe/Berlin).\n"
        "1 of 7 groups; --count has more.\n"
    )
    assert run("usage", "show", "--json").stderr == ""


def test_every_option_is_asked_for(run, authority):
    result = run(
        *("usage", "show", "--tenant", "acme", "--account", "acme/alice", "--span", "month"),
        *("--user", "ada", "--user", "bob", "--kind", "image", "--provider", "p", "--model", "m"),
        *("--size", "s", "--quality", "q", "--cached", "exact", "--downgrade-reason", "soft_cap"),
        *("--error-class", "timeout", "--outcome", "failed", "--denied-for", "no_budget"),
        *("--downgraded", "--not-fallback", "--presumed-spent", "--not-late"),
        *("--by", "model", "--by", "quality", "--order", "loss", "--count", "3"),
    )
    assert result.exit_code == 0
    (asked,) = authority.asked("QueryUsage")
    assert asked == messages.QueryUsageRequest(
        tenant="acme",
        account="acme/alice",
        span="USAGE_SPAN_MONTH",
        group_by=["USAGE_DIMENSION_MODEL", "USAGE_DIMENSION_QUALITY"],
        order_by="USAGE_ORDER_LOSS",
        page_size=3,
        filter=messages.UsageFilter(
            users=["ada", "bob"],
            kinds=["image"],
            providers=["p"],
            models=["m"],
            sizes=["s"],
            qualities=["q"],
            outcomes=["USAGE_OUTCOME_FAILED"],
            stages=["exact"],
            downgrade_reasons=["soft_cap"],
            error_classes=["timeout"],
            denial_reasons=["DENIAL_REASON_NO_BUDGET"],
            downgraded=True,
            fallback=False,
            presumed_spent=True,
            late=False,
        ),
    )


def test_bars_are_as_long_as_their_values():
    assert bar_of(100, 100) == "█" * 30
    assert bar_of(50, 100) == "█" * 15
    assert bar_of(1, 240) == "▏"
    assert bar_of(0, 100) == bar_of(-5, 100) == bar_of(0, 0) == ""


def test_a_series_has_bars_where_they_are_seen(run, authority):
    document = json.loads(run("usage", "show", "--every", "day", "--json").stdout)
    assert document["totals"]["charged"] == 1_400_000
    assert document["time_zone"] == "Europe/Berlin"
    tables = report_tables(
        report_from_proto(ANSWER),
        [UsageDimension.ACCOUNT],
        UsageInterval.DAY,
        UsageOrder.CHARGED,
        with_bars=True,
    )
    assert [row[-1] for row in tables[1].rows] == ["█" * 30, "█" * 15]


def test_events_are_listed(run, authority):
    ((header, row),) = tables_of(run("usage", "events", "--generation", "acme/g", "--count", "1"))
    shown = dict(zip(header, row, strict=True))
    assert (shown["outcome"], shown["error"], shown["generation_id"]) == (
        *("DENIED", "NO_BUDGET", "acme/r"),
    )
    assert authority.asked("ListUsageEvents")[0].generation_id == "acme/g"


def pieces(*chunks, token="t"):
    """Return the answers of an export whose chunks each end a line."""
    return [
        messages.ExportUsageResponse(
            chunk=chunk,
            event_count=number,
            resume_token=f"{token}{number}",
            end_time=Timestamp(seconds=DAY),
        )
        for number, chunk in enumerate(chunks)
    ]


def test_an_export_goes_to_standard_output_or_to_a_file(run, authority, tmp_path):
    authority.answers["ExportUsage"] = lambda _: pieces(b"a,b\n", b"1,2\n")
    assert run("export").stdout == "a,b\n1,2\n"
    path = tmp_path / "out.csv"
    result = run("export", "--format", "focus", "--output", str(path), "--kind", "image", "--json")
    assert json.loads(result.stdout) == {
        "path": str(path),
        "event_count": 1,
        "end_time": "2026-11-02T00:00:00+00:00",
    }
    assert path.read_bytes() == b"a,b\n1,2\n"
    asked = authority.asked("ExportUsage")[1]
    assert asked.format == messages.USAGE_EXPORT_FORMAT_FOCUS
    assert asked.filter.kinds == ["image"]
    assert run("export", "--json").exit_code == 2


def test_an_export_that_breaks_off_goes_on(run, authority, tmp_path):
    def answer(request):
        if request.resume_token:
            yield from pieces(b"rest\n", token="u")
            return
        yield from pieces(b"head\n", b"more\n")
        yield messages.ExportUsageResponse(chunk=b"half of a li")
        raise Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")

    authority.answers["ExportUsage"] = answer
    path = tmp_path / "out.csv"
    assert run("export", "--output", str(path)).exit_code == 0
    assert path.read_bytes() == b"head\nmore\nrest\n"
    assert [asked.resume_token for asked in authority.asked("ExportUsage")] == ["", "t1"]


def test_an_export_that_is_refused_leaves_no_file(run, authority, tmp_path):
    authority.answers["ExportUsage"] = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert run("export", "--output", str(tmp_path / "out.csv")).exit_code == 5
    assert list(tmp_path.iterdir()) == []
