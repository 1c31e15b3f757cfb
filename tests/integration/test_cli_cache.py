"""`paymaster cache` against a scripted authority: what it asks, prints and ends with."""

from __future__ import annotations

import csv
import io
import json
import traceback

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import cache_service_pb2 as messages
from authority.v1 import generation_service_pb2 as generations
from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli.app import paymaster

NOW = Timestamp(seconds=1_800_000_000)
ENTRY = messages.CacheEntry(
    entry_id="acme/e",
    generation_id="acme/1",
    kind="KIND_IMAGE",
    prompt="a red fox",
    model="m",
    quality="standard",
    cost=40_000,
    status="CACHE_ENTRY_STATUS_ACTIVE",
    hit_count=2,
    saved=80_000,
    create_time=NOW,
)
HIT = messages.CacheHit(
    generation_id="acme/2",
    account="acme",
    entry_id="acme/e",
    source_generation_id="acme/1",
    stage="guarded",
    score_ppm=912_500,
    saved=40_000,
    create_time=NOW,
    verdict="CACHE_VERDICT_MISMATCH",
    prompt="a red vixen",
)
NEAR = generations.ReuseSuggestion(
    entry_id="acme/e",
    generation_id="acme/1",
    prompt="a blue fox",
    model="m",
    score_ppm=970_000,
    objection="colours",
    saved=40_000,
)
STATS = messages.GetCacheStatsResponse(
    lookup_count=200,
    hit_count=71,
    hit_rate_ppm=355_000,
    join_count=3,
    saved=2_960_000,
    reversed=40_000,
    stages=[messages.CacheStageStats(stage="exact", hit_count=71, saved=2_840_000)],
    skips=[messages.CacheSkip(stage="guarded", reason="embedder", count=4)],
    mismatch_count=1,
    bins=[
        messages.CacheBin(tenant="acme", stage="guarded", bin=1, match_count=299, bound_ppm=9_969)
    ],
    top_entries=[messages.CacheEntryUse(entry_id="acme/e", hit_count=9, prompt="a red fox")],
    entry_count=126,
)
POLICY = messages.CachePolicy(
    enabled=True,
    stages={"image": "normalised", "chat": "exact", "video": "normalised"},
    structured=messages.CacheStructuredPolicy(
        fields=[
            messages.CacheField(name="dish", weight=40, mode="CACHE_FIELD_MODE_REQUIRED"),
            messages.CacheField(
                name="ingredients", weight=30, mode="CACHE_FIELD_MODE_JACCARD", bound_ppm=500_000
            ),
        ],
        threshold_ppm=800_000,
    ),
    ttl={"image": Duration(seconds=2_592_000)},
    max_error_ppm=10_000,
    sample_ppm=20_000,
)
ANSWERS = {
    "GetCacheStats": STATS,
    "ListCacheEntries": messages.ListCacheEntriesResponse(entries=[ENTRY] * 3),
    "GetCacheEntry": messages.GetCacheEntryResponse(entry=ENTRY, hits=[HIT]),
    "SuggestReuse": messages.SuggestReuseResponse(suggestions=[NEAR]),
    "ReportHit": messages.ReportHitResponse(
        hit=HIT, reversed=40_000, strike_count=2, entry_status="CACHE_ENTRY_STATUS_EXACT_ONLY"
    ),
    "PurgeCache": messages.PurgeCacheResponse(entry_count=7),
    "GetCachePolicy": messages.GetCachePolicyResponse(policy=POLICY, source_account="acme"),
    "UpdateCachePolicy": messages.UpdateCachePolicyResponse(policy=POLICY, source_account="acme"),
}
# Every command, with the keys of its document and the header of its table.
COMMANDS = {
    ("stats",): ({"stats"}, "lookups"),
    ("search", "a red fox", "--account", "acme"): ({"suggestions"}, "entry_id"),
    ("ls", "acme"): ({"entries"}, "entry_id"),
    ("show", "acme/e"): ({"entry", "hits"}, "entry_id"),
    ("report", "acme/2"): ({"report"}, "generation_id"),
    ("purge", "--tenant", "acme"): ({"entry_count", "dry_run"}, "entries"),
    ("policy", "acme"): ({"policy"}, "field"),
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


def tables(printed):
    """Return the tables that were printed, each as a list of rows."""
    found = []
    for part in printed.strip("\n").split("\n\n"):
        header, *lines = (line.split("\t") for line in part.splitlines())
        found.append([dict(zip(header, line, strict=True)) for line in lines])
    return found


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_prints_json_and_tab_separated_lines(authority, words):
    keys, header = COMMANDS[words]
    result = run("cache", *words, "--json")
    assert result.exit_code == 0, result.stderr
    assert keys <= json.loads(result.stdout).keys()
    result = run("cache", *words)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].split("\t")[0] == header


def test_stats_show_what_there_is_and_no_table_of_nothing(authority):
    totals, stages, skips, bins, uses = tables(run("cache", "stats").stdout)
    assert totals == [
        {
            "lookups": "200",
            "hits": "71",
            "hit_rate": "35.5%",
            "joined": "3",
            "saved": "$2.96",
            "reversed": "$0.04",
            "matches": "0",
            "mismatches": "1",
            "samples": "0",
            "judged": "0",
            "entries": "126",
        }
    ]
    assert (stages[0]["stage"], stages[0]["saved"]) == ("exact", "$2.84")
    assert skips == [{"skipped_stage": "guarded", "reason": "embedder", "count": "4"}]
    assert (bins[0]["bound"], bins[0]["state"]) == ("0.9969%", "closed")
    assert uses[0]["prompt"] == "a red fox"
    authority.answers["GetCacheStats"] = messages.GetCacheStatsResponse()
    (only,) = tables(run("cache", "stats", "--account", "acme/a", "--since", "2026-11-21").stdout)
    assert only[0]["hit_rate"] == "0%"
    asked = authority.asked("GetCacheStats")[-1]
    assert (asked.account, asked.tenant) == ("acme/a", "")
    assert asked.start_time.seconds == 1_795_219_200


def test_a_search_asks_for_the_request_and_shows_what_is_in_the_way(authority):
    words = ("--size", "512x512", "-n", "2", "--seed", "7", "--context", "dish=pho")
    result = run("cache", "search", "a red fox", "--account", "acme", *words)
    (asked,) = authority.asked("SuggestReuse")
    assert (asked.account, asked.prompt, asked.size, asked.count) == (
        *("acme", "a red fox", "512x512", 2),
    )
    assert asked.settings.seed == 7
    assert list(asked.context["dish"].values) == ["pho"]
    assert tables(result.stdout)[0] == [
        {
            "entry_id": "acme/e",
            "score": "97%",
            "stage": "-",
            "objection": "colours",
            "saves": "$0.04",
            "model": "m",
            "prompt": "a blue fox",
        }
    ]


def test_a_list_is_filtered_and_ends_where_it_is_told(authority):
    words = ("--text", "fox", "--model", "m", "--stage", "guarded", "--kind", "image")
    assert len(tables(run("cache", "ls", "acme", *words, "--count", "2").stdout)[0]) == 2
    (asked,) = authority.asked("ListCacheEntries")
    assert (asked.tenant, asked.text, asked.model, asked.stage) == ("acme", "fox", "m", "guarded")
    assert asked.kind == generations.KIND_IMAGE


def test_an_entry_is_shown_with_what_it_was_served_for(authority):
    entry, hits = tables(run("cache", "show", "acme/e").stdout)
    assert (entry[0]["status"], entry[0]["saved"]) == ("ACTIVE", "$0.08")
    assert (hits[0]["served"], hits[0]["score"], hits[0]["verdict"]) == (
        *("acme/2", "91.25%", "MISMATCH"),
    )
    authority.answers["GetCacheEntry"] = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "Gone.")
    result = run("cache", "show", "acme/x")
    assert (result.exit_code, result.stderr) == (5, "error: Gone.\n")


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ((), messages.CACHE_VERDICT_MISMATCH),
        (("--mismatch",), messages.CACHE_VERDICT_MISMATCH),
        (("--match",), messages.CACHE_VERDICT_MATCH),
    ],
)
def test_a_report_says_of_a_hit_what_it_is(authority, words, verdict):
    result = run("cache", "report", "acme/2", *words, "--reason", "a vixen")
    (asked,) = authority.asked("ReportHit")
    assert (asked.generation_id, asked.verdict, asked.reason) == ("acme/2", verdict, "a vixen")
    (row,) = tables(result.stdout)[0]
    assert (row["reversed"], row["strikes"], row["entry_status"]) == ("$0.04", "2", "EXACT_ONLY")
    assert result.stderr == ""


def test_a_report_that_was_made_before_is_said_to_be(authority):
    authority.answers["ReportHit"] = messages.ReportHitResponse(hit=HIT, replayed=True)
    result = run("cache", "report", "acme/2")
    assert result.exit_code == 0
    assert "had this verdict already" in result.stderr


@pytest.mark.parametrize(
    "words", [(), ("--dry-run",), ("--all", "--tenant", "acme"), ("--older-than", "soon")]
)
def test_a_purge_wants_to_know_of_what(authority, words):
    assert run("cache", "purge", *words).exit_code == 2
    assert authority.asked("PurgeCache") == []


def test_a_purge_removes_what_fits(authority):
    assert run("cache", "purge", "--all", "--reason", "a new model").exit_code == 0
    words = ("--entry", "acme/e", "--model", "m", "--older-than", "7d", "--dry-run")
    assert json.loads(run("cache", "purge", *words, "--json").stdout) == {
        "entry_count": 7,
        "dry_run": True,
    }
    every, some = authority.asked("PurgeCache")
    assert every == messages.PurgeCacheRequest(reason="a new model")
    assert some == messages.PurgeCacheRequest(
        entry_id="acme/e", model="m", older_than=Duration(seconds=604_800), dry_run=True
    )


def test_a_policy_is_shown_whole(authority):
    terms, fields = tables(run("cache", "policy", "acme").stdout)
    shown = {row["field"]: row["value"] for row in terms}
    assert (shown["of"], shown["stage.image"], shown["ttl.image"]) == (
        *("acme", "normalised", "30d"),
    )
    assert (shown["max_error"], shown["sample"], shown["context_threshold"]) == ("1%", "2%", "80%")
    assert [tuple(row.values()) for row in fields] == [
        ("dish", "required", "40", "-"),
        ("ingredients", "jaccard", "30", "50%"),
    ]
    document = json.loads(run("cache", "policy", "acme", "--json").stdout)
    assert document["policy"]["ttl"] == {"image": "2592000s"}
    assert authority.asked("UpdateCachePolicy") == []


def test_a_policy_is_changed_where_an_option_is_given(authority):
    words = (
        *("--stage", "image=guarded", "--stage", "Chat=exact", "--chat-tier", "--ttl", "chat=12h"),
        *("--max-error", "0.5%", "--sample", "0", "--reason", "a trial"),
        *("--field", "dish=required:40", "--field", "Author=ignore"),
        *("--field", "ingredients=jaccard:30:50%"),
    )
    assert run("cache", "policy", "acme", *words).exit_code == 0
    (asked,) = authority.asked("UpdateCachePolicy")
    assert set(asked.update_mask.paths) == {
        *("stages", "chat_tier", "ttl", "max_error_ppm", "sample_ppm", "structured"),
    }
    assert dict(asked.policy.stages) == {"image": "guarded", "chat": "exact"}
    assert asked.policy.ttl["chat"].seconds == 43_200
    assert (asked.policy.max_error_ppm, asked.policy.sample_ppm) == (5_000, 0)
    assert asked.policy.structured == messages.CacheStructuredPolicy(
        fields=[
            messages.CacheField(name="dish", weight=40, mode="CACHE_FIELD_MODE_REQUIRED"),
            messages.CacheField(name="Author", mode="CACHE_FIELD_MODE_IGNORE"),
            messages.CacheField(
                name="ingredients", weight=30, mode="CACHE_FIELD_MODE_JACCARD", bound_ppm=500_000
            ),
        ],
        threshold_ppm=800_000,
    )
    assert (asked.reason, asked.reset) == ("a trial", False)


def test_a_policy_is_switched_off_and_taken_away(authority):
    assert run("cache", "policy", "acme", "--disable", "--no-fields").exit_code == 0
    assert run("cache", "policy", "acme", "--reset").exit_code == 0
    disabled, reset = authority.asked("UpdateCachePolicy")
    assert set(disabled.update_mask.paths) == {"enabled", "structured"}
    assert not disabled.policy.enabled
    assert list(disabled.policy.structured.fields) == []
    assert reset == messages.UpdateCachePolicyRequest(account="acme", reset=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--reset", "--disable"), "--reset goes with no other change."),
        (("--threshold", "90%"), "--threshold goes with the --field"),
        (("--no-fields", "--field", "a=ignore"), "Give either --field or --no-fields."),
        (("--field", "a"), "'a': "),
        (("--field", "a=required:x"), "'a=required:x': "),
        (("--field", "a=required:0"), "'a=required:0': the weight must be 1 or more"),
        (("--stage", "image"), "must look like image=..."),
        (("--ttl", "audio=1h"), "'audio' is not one of"),
        (("--ttl", "image=soon"), "'soon' is not a span"),
        (("--sample", "2"), "is no share"),
    ],
)
def test_a_bad_option_is_told_with_the_way_out(authority, words, told):
    result = run("cache", "policy", "acme", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert authority.asked("UpdateCachePolicy") == []


def test_generate_says_what_of_the_cache_may_serve_it(authority):
    taken = generations.SubmitGenerationResponse(
        generation=generations.Generation(generation_id="acme/9")
    )
    authority.answers["BatchSubmitGenerations"] = generations.BatchSubmitGenerationsResponse(
        results=[{"response": taken}]
    )
    words = ("--account", "acme", "--no-wait")
    context = ("--context", "dish=pho", "--context", "with=rice", "--context", "with=basil")
    assert run("generate", "a fox", *words, "--reuse", "guarded", *context).exit_code == 0
    assert run("generate", "a fox", *words, "--accept", "acme/e").exit_code == 0
    first, second = (batch.requests[0] for batch in authority.asked("BatchSubmitGenerations"))
    assert first.reuse == generations.REUSE_GUARDED
    assert {name: list(said.values) for name, said in first.context.items()} == {
        "dish": ["pho"],
        "with": ["rice", "basil"],
    }
    assert (second.reuse, second.accept_entry_id) == (0, "acme/e")
    assert "NAME=VALUE" in run("generate", "a fox", *words, "--context", "pho").stderr


def test_near_matches_are_shown_in_place_of_a_generation(authority, tmp_path):
    near = generations.SubmitGenerationResponse(suggestions=[NEAR])
    authority.answers["BatchSubmitGenerations"] = generations.BatchSubmitGenerationsResponse(
        results=[{"response": near}]
    )
    words = ("a fox", "--account", "acme", "--reuse", "suggest")
    result = run("generate", *words)
    assert result.exit_code == 0, result.stderr
    assert tables(result.stdout)[0][0]["objection"] == "colours"
    assert "--accept ENTRY" in result.stderr
    document = json.loads(run("generate", *words, "--json").stdout)
    assert document["generations"] == []
    assert document["suggestions"][0]["saved"] == 40_000
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a fox\n")
    result = run("generate", "--file", str(prompts), *words[1:])
    assert result.exit_code == 2
    assert "is for one PROMPT" in result.stderr


def test_a_hit_is_exported_with_what_it_saved(authority):
    use = admin.CacheUse(generation_id="acme/2", entry_id="acme/e", stage="exact", saved=40_000)
    entry = admin.LedgerEntry(kind="CACHE_HIT", unit="UNIT_USD", cache_use=use)
    other = admin.LedgerEntry(kind="COMMIT", unit="UNIT_USD", amount=1)
    authority.answers["ListLedgerEntries"] = admin.ListLedgerEntriesResponse(entries=[entry, other])
    printed = run("ledger", "export", "--account", "acme").stdout
    hit, commit = csv.DictReader(io.StringIO(printed))
    assert json.loads(hit["cache_use"]) == {
        "generation_id": "acme/2",
        "entry_id": "acme/e",
        "stage": "exact",
        "score_ppm": None,
        "saved": 40_000,
    }
    assert commit["cache_use"] == ""
