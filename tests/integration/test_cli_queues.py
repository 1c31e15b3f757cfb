"""`paymaster queues` against a scripted authority: what it asks, prints and ends with."""

from __future__ import annotations

import json
import traceback

import pytest
from click.testing import CliRunner
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import queue_service_pb2 as messages
from cli_authority import ScriptedAuthority
from paymaster.cli.app import paymaster

NOW = Timestamp(seconds=1_800_000_000)
QUEUE = messages.Queue(
    kind="KIND_IMAGE",
    ready_count=3,
    dead_count=1,
    submitted_count=600,
    ended_count=300,
    failed_count=30,
    oldest_ready_time=Timestamp(seconds=NOW.seconds - 200),
    wait_p50=Duration(nanos=350_000_000),
    run_p95=Duration(seconds=4000),
    pause_time=NOW,
)
QUEUES = messages.ListQueuesResponse(
    queues=[QUEUE],
    pauses=[messages.Pause(target="all", pause_time=NOW)],
    window=Duration(seconds=300),
    read_time=NOW,
)
JOB = messages.Job(
    generation_id="acme/1",
    account="acme",
    kind="KIND_IMAGE",
    state="JOB_STATE_DEAD",
    provider="openai",
    error_reason="unavailable",
    create_time=NOW,
)
DETAIL = messages.GetJobResponse(
    job=JOB,
    attempts=[
        messages.JobAttempt(attempt=1, estimate=40_000, charged=40_000, presumed_spent=True),
        messages.JobAttempt(attempt=2, error_class="Unavailable", error_body="503\tgone"),
    ],
    entry=messages.QueueEntry(job_id="acme/1:0", data="gone"),
)
CHANGE = messages.JobChange(generation_ids=["acme/1"], more=True)
FINDING = messages.Finding(
    finding="worker_missing",
    severity="SEVERITY_ERROR",
    count=1,
    subjects=["image"],
    message="Nobody works.",
    way_out="Start a worker.",
)
LIMIT = messages.Limit(subject="provider:openai", name="concurrency", value=3)
WORKER = messages.Worker(
    worker="host:1",
    slots=[messages.WorkerSlots(kind="KIND_IMAGE", slot_count=8)],
    generation_ids=["acme/1"],
    providers=["openai"],
)
ANSWERS = {
    "ListQueues": QUEUES,
    "ListJobs": messages.ListJobsResponse(jobs=[JOB] * 3),
    "GetJob": DETAIL,
    "RetryJobs": messages.RetryJobsResponse(change=CHANGE),
    "DiscardJobs": messages.DiscardJobsResponse(change=CHANGE),
    "CancelJobs": messages.CancelJobsResponse(change=CHANGE),
    "PromoteJobs": messages.PromoteJobsResponse(change=CHANGE),
    "RequeueJobs": messages.RequeueJobsResponse(change=CHANGE),
    "PauseQueue": messages.PauseQueueResponse(
        pause=messages.Pause(target="image", pause_time=NOW), changed=True
    ),
    "ResumeQueue": messages.ResumeQueueResponse(changed=True),
    "ListLimits": messages.ListLimitsResponse(
        limits=[LIMIT],
        providers=[messages.ProviderLoad(provider="openai", breaker="BREAKER_STATE_OPEN")],
    ),
    "SetLimit": messages.SetLimitResponse(limit=LIMIT),
    "UnsetLimit": messages.UnsetLimitResponse(changed=True),
    "ListWorkers": messages.ListWorkersResponse(workers=[WORKER]),
    "Diagnose": messages.DiagnoseResponse(),
}
CHANGED = {"generation_ids", "more", "dry_run"}
# Every command that ends by itself, with the keys of its document and the header of its table.
COMMANDS = {
    ("ls",): ({"queues", "pauses", "window", "read_time"}, "kind"),
    ("watch", "--count", "1"): ({"queues", "read_time"}, "read_time"),
    ("jobs",): ({"jobs"}, "generation_id"),
    ("dead",): ({"jobs"}, "generation_id"),
    ("show", "acme/1"): ({"job", "attempts", "entry"}, "generation_id"),
    ("retry", "acme/1"): (CHANGED, "generation_id"),
    ("discard", "--all"): (CHANGED, "generation_id"),
    ("cancel", "--account", "acme"): (CHANGED, "generation_id"),
    ("promote", "acme/1"): (CHANGED, "generation_id"),
    ("requeue", "--state", "lost"): (CHANGED, "generation_id"),
    ("pause", "image"): ({"pause"}, "target"),
    ("resume", "image"): ({"target", "changed"}, "target"),
    ("limits", "ls"): ({"limits", "providers"}, "subject"),
    ("limits", "set", "provider:openai", "concurrency", "3"): ({"limit"}, "subject"),
    ("limits", "unset", "provider:openai", "concurrency"): ({"changed"}, "subject"),
    ("workers",): ({"workers"}, "worker"),
    ("doctor",): ({"findings"}, "severity"),
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
    result = CliRunner().invoke(paymaster, ["queues", *words])
    assert isinstance(result.exception, SystemExit | None), traceback.format_exception(
        result.exception
    )
    return result


def rows(printed):
    """Return the rows of the first table that was printed."""
    header, *lines = (line.split("\t") for line in printed.split("\n\n")[0].splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_prints_json_and_tab_separated_lines(authority, words):
    keys, header = COMMANDS[words]
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    assert keys <= json.loads(result.stdout).keys()
    result = run(*words)
    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first.split("\t")[0] == header
    assert all("\t" in line or header == "generation_id" or not line for line in rest)


def test_the_figures_are_told_for_people(authority):
    (row,) = rows(run("ls").stdout)
    assert (row["kind"], row["ready"], row["dead"], row["slots"]) == ("image", "3", "1", "0")
    assert (row["in_per_s"], row["out_per_s"], row["failed"]) == ("2.00", "1.00", "10%")
    assert (row["oldest_ready"], row["wait_p50"], row["run_p95"]) == ("3m20s", "0.35s", "1h06m")
    assert (row["wait_p95"], row["drained"]) == ("-", "-")
    assert row["paused"] == "2027-01-15 08:00:00Z"
    assert "all\t2027-01-15 08:00:00Z" in run("ls").stdout
    looks = run("watch", "--count", "3", "--interval", "0.1").stdout.splitlines()
    assert [line.split("\t")[0] for line in looks] == ["read_time", *["2027-01-15 08:00:00Z"] * 3]


def test_jobs_are_chosen_by_options(authority):
    words = (
        *("--kind", "video", "--state", "deferred", "--provider", "fal", "--account", "acme/a"),
        *("--older-than", "10m", "--error", "gone", "--tenant", "acme", "--count", "2"),
    )
    listed = rows(run("jobs", *words).stdout)
    assert len(listed) == 2
    (asked,) = authority.asked("ListJobs")
    assert asked.filter == messages.JobFilter(
        kind="KIND_VIDEO",
        state="JOB_STATE_DEFERRED",
        provider="fal",
        account="acme/a",
        older_than=Duration(seconds=600),
        error_reason="gone",
    )
    assert (asked.tenant, asked.page_size, asked.include_prompt) == ("acme", 2, False)
    assert "prompt" in rows(run("dead", "--prompt").stdout)[0]
    dead = authority.asked("ListJobs")[-1]
    assert (dead.filter.state, dead.include_prompt) == (messages.JOB_STATE_DEAD, True)


def test_what_is_changed_is_chosen_by_ids_by_options_or_all(authority):
    told = run("retry", "acme/1", "acme/2", "--dry-run", "--reason", "why").stderr
    assert "1 job would be changed." in told
    assert "1 job passed over" in told
    assert "run the command again" in told
    run("retry", "--error", "gone")
    run("retry", "--all")
    run("retry", "--tenant", "acme")
    ids, some, every, own = authority.asked("RetryJobs")
    assert list(ids.selection.generation_ids) == ["acme/1", "acme/2"]
    assert (ids.dry_run, ids.reason, ids.selection.HasField("filter")) == (True, "why", False)
    assert some.selection.filter == messages.JobFilter(error_reason="gone")
    assert every.selection.HasField("filter")
    assert every.selection.filter == messages.JobFilter()
    assert (own.tenant, own.selection.HasField("filter")) == ("acme", True)


def test_an_attempt_shows_what_was_presumed_and_what_was_said(authority):
    _, attempts, entry = run("show", "acme/1").stdout.split("\n\n")
    first, second = rows(attempts)
    assert first["charged"] == "$0.04 (presumed)"
    assert (second["error_class"], second["error"], second["charged"]) == (
        "Unavailable",
        "503 gone",
        "-",
    )
    assert rows(entry)[0]["data"] == "gone"


def test_the_doctor_ends_in_1_where_somebody_has_to_act(authority):
    assert run("doctor").exit_code == 0
    authority.answers["Diagnose"] = messages.DiagnoseResponse(findings=[FINDING])
    result = run("doctor")
    assert result.exit_code == 1
    assert rows(result.stdout)[0]["way_out"] == "Start a worker."
    assert "1 finding" in result.stderr
    known = messages.Finding(finding="paused", severity="SEVERITY_INFO", count=1)
    authority.answers["Diagnose"] = messages.DiagnoseResponse(findings=[known])
    assert run("doctor").exit_code == 0


def test_what_was_so_already_is_said(authority):
    authority.answers["PauseQueue"] = messages.PauseQueueResponse(
        pause=messages.Pause(target="image", pause_time=NOW)
    )
    authority.answers["ResumeQueue"] = messages.ResumeQueueResponse()
    authority.answers["UnsetLimit"] = messages.UnsetLimitResponse()
    assert "paused already" in run("pause", "image").stderr
    assert "was not paused" in run("resume", "image").stderr
    assert "had no limit" in run("limits", "unset", "account:*", "concurrency").stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("retry",), "--all"),
        (("retry", "acme/1", "--all"), "--all"),
        (("cancel", "acme/1", "--kind", "image"), "--all"),
        (("dead", "--state", "ready"), "--state"),
        (("jobs", "--older-than", "soon"), "90s, 10m, 2h or 7d"),
        (("jobs", "--state", "unknown"), "ready"),
        (("limits", "set", "provider:x", "speed", "3"), "per_minute"),
        (("limits", "set", "provider:x", "concurrency", "-1"), "-1"),
        (("show",), "GENERATION_ID"),
    ],
)
def test_wrong_use_is_told_with_the_way_out(authority, words, told):
    result = run(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert authority.requests == []
