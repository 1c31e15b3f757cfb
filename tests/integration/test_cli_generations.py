"""`paymaster generations` against a scripted authority: what is asked, printed and written."""

from __future__ import annotations

import hashlib
import json

import grpc
import pytest
from click.testing import CliRunner

from authority.v1 import generation_service_pb2 as messages
from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli.app import paymaster
from paymaster.cli.output import Output

ID = "acme/0199a0b2-0000-7000-8000-000000000000"
OTHER = "acme/0199a0b2-0000-7000-8000-000000000001"
CONTENT = b"\x89PNG"


@pytest.fixture
def authority(monkeypatch):
    with ScriptedAuthority() as made:
        monkeypatch.setenv("PAYMASTER_ADDRESS", made.address)
        monkeypatch.delenv("PAYMASTER_TOKEN_FILE", raising=False)
        yield made


def run(*words):
    return CliRunner().invoke(paymaster, ["generations", *words])


def generation(state="SUCCEEDED", name=ID, **fields):
    return messages.Generation(
        **{
            "generation_id": name,
            "account": "acme",
            "kind": messages.KIND_IMAGE,
            "state": f"GENERATION_STATE_{state}",
            "prompt": "A red fox",
            "model": "m",
            "cost": 40_800,
            "visibility": messages.VISIBILITY_PRIVATE,
        }
        | fields
    )


def artifact(number=0, **fields):
    return messages.Artifact(
        artifact_id=f"{ID}/{number}",
        media_type="image/png",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        **fields,
    )


def rows(text):
    """Return the rows of a piped table, by the names of its header."""
    names, *lines = (line.split("\t") for line in text.splitlines())
    return [dict(zip(names, line, strict=True)) for line in lines]


def test_a_listing_asks_for_what_is_wanted(authority):
    page = messages.ListGenerationsResponse
    authority.answers["ListGenerations"] = page(
        generations=[generation(favourite=True), generation("FAILED", OTHER)], next_page_token="x"
    )
    words = (
        *("--kind", "video", "--state", "failed", "--model", "m", "--favourites"),
        *("--parent", OTHER, "--since", "2026-11-01", "--until", "2026-12-01", "--count", "1"),
    )
    result = run("ls", "acme", *words)
    assert result.exit_code == 0, result.stderr
    (row,) = rows(result.stdout)
    assert (row["generation_id"], row["state"], row["favourite"]) == (ID, "SUCCEEDED", "yes")
    assert (row["cost"], row["prompt"]) == ("$0.0408", "A red fox")
    (asked,) = authority.asked("ListGenerations")
    assert (asked.account, asked.kind, asked.state) == ("acme", 3, 4)
    assert (asked.model, asked.favourites_only, asked.parent_id) == ("m", True, OTHER)
    assert (asked.start_time.seconds, asked.end_time.seconds) == (1_793_491_200, 1_796_083_200)
    (document,) = json.loads(run("ls", "acme", "--count", "1", "--json").stdout)["generations"]
    assert (document["cost"], document["favourite"]) == (40_800, True)


def test_one_is_shown_with_all_that_is_known(authority):
    found = generation(
        artifacts=[artifact()], settings=messages.Settings(seed=7), parent_id=OTHER, stage=""
    )
    found.create_time.FromJsonString("2026-11-21T10:00:00Z")
    authority.answers["GetGeneration"] = messages.GetGenerationResponse(generation=found)
    result = run("show", ID)
    assert result.exit_code == 0, result.stderr
    fields, artifacts = result.stdout.split("\n\n")
    known = {row["field"]: row["value"] for row in rows(fields)}
    assert (known["prompt"], known["settings.seed"], known["parent_id"]) == (
        "A red fox",
        "7",
        OTHER,
    )
    assert (known["create_time"], known["cost"]) == ("2026-11-21 10:00:00Z", "$0.0408")
    assert not {"stage", "settings.style", "end_time", "favourite"} & known.keys()
    assert [row["artifact_id"] for row in rows(artifacts)] == [f"{ID}/0"]
    document = json.loads(run("show", ID, "--json").stdout)["generation"]
    assert document["artifacts"][0]["sha256"] == artifact().sha256


@pytest.mark.parametrize(
    ("end", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELLED", 1), ("DENIED", 3)]
)
def test_a_watch_tells_each_change_and_ends_in_its_exit_code(authority, end, code):
    line = messages.WatchGenerationResponse

    def lines(_):
        yield line(generation=generation("QUEUED"))
        yield line(generation=generation("RUNNING", stage="drawing", progress_percent=0))
        yield line(generation=generation(end, error_reason="why", error_message="So."))

    authority.answers["WatchGeneration"] = lines
    result = run("watch", ID)
    assert result.exit_code == code, result.stderr
    first, second, third = rows(result.stdout)
    assert (first["state"], first["stage"], first["progress_percent"]) == ("QUEUED", "-", "-")
    assert (second["state"], second["stage"], second["progress_percent"]) == (
        *("RUNNING", "drawing", "0"),
    )
    assert third["state"] == end
    assert ("So." in result.stderr) == (code != 0)
    documents = [json.loads(text) for text in run("watch", ID, "--json").stdout.splitlines()]
    assert [item["state"] for item in documents] == ["QUEUED", "RUNNING", end]


def test_a_terminal_has_a_line_and_then_the_end(authority, monkeypatch):
    line = messages.WatchGenerationResponse

    def lines(_):
        yield line(generation=generation("RUNNING", stage="drawing", progress_percent=40))
        yield line(generation=generation())

    authority.answers["WatchGeneration"] = lines
    monkeypatch.setattr(Output, "for_people", property(lambda output: not output.as_json))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = run("watch", ID)
    assert result.exit_code == 0, result.stderr
    assert "SUCCEEDED" in result.stdout
    assert "RUNNING" not in result.stdout


@pytest.mark.parametrize(
    ("verb", "method", "state"),
    [("cancel", "CancelGeneration", "CANCELLED"), ("retry", "RetryGeneration", "QUEUED")],
)
def test_several_are_cancelled_or_retried_in_turn(authority, verb, method, state):
    answer = getattr(messages, f"{method}Response")
    authority.answers[method] = lambda asked: answer(
        generation=generation(state, asked.generation_id)
    )
    result = run(verb, ID, OTHER)
    assert result.exit_code == 0, result.stderr
    assert [(row["generation_id"], row["state"]) for row in rows(result.stdout)] == [
        (ID, state),
        (OTHER, state),
    ]
    assert run(verb).exit_code == 2


def test_a_retry_that_is_refused_says_why(authority):
    authority.answers["RetryGeneration"] = Refusal(
        grpc.StatusCode.FAILED_PRECONDITION, "GENERATION_STATE", "It is SUCCEEDED."
    )
    result = run("retry", ID)
    assert result.exit_code == 1
    assert "error: It is SUCCEEDED.\n" in result.stderr
    assert "paymaster generations regenerate" in result.stderr


@pytest.mark.parametrize(
    ("verb", "paths", "favourite", "visibility"),
    [
        ("favourite", ["favourite"], True, 0),
        ("unfavourite", ["favourite"], False, 0),
        ("publish", ["visibility"], False, messages.VISIBILITY_PUBLIC),
        ("unpublish", ["visibility"], False, messages.VISIBILITY_PRIVATE),
    ],
)
def test_marks_are_set_and_taken_away(authority, verb, paths, favourite, visibility):
    authority.answers["UpdateGeneration"] = messages.UpdateGenerationResponse(
        generation=generation()
    )
    assert run(verb, ID).exit_code == 0
    (asked,) = authority.asked("UpdateGeneration")
    assert (list(asked.update_mask.paths), asked.favourite) == (paths, favourite)
    assert asked.visibility == visibility


def test_another_one_is_asked_for_by_the_first_one_s_name(authority):
    authority.answers["GetGeneration"] = messages.GetGenerationResponse(
        generation=generation(account="acme/alice")
    )
    authority.answers["SubmitGeneration"] = messages.SubmitGenerationResponse(
        generation=generation("QUEUED", OTHER), warning="It ends soon."
    )
    result = run("regenerate", ID, "--key", "again", "--json")
    assert result.exit_code == 0
    assert result.stderr == "warning: It ends soon.\n"
    assert json.loads(result.stdout)["generations"][0]["generation_id"] == OTHER
    (asked,) = authority.asked("SubmitGeneration")
    assert asked == messages.SubmitGenerationRequest(
        account="acme/alice", parent_id=ID, idempotency_key="again"
    )


@pytest.fixture
def made(authority):
    """A generation with two artifacts, of which one is kept no more, and their bytes and URLs."""
    old = artifact(1)
    old.delete_time.FromJsonString("2026-11-21T10:00:00Z")
    authority.answers["GetGeneration"] = messages.GetGenerationResponse(
        generation=generation(artifacts=[artifact(0), old, artifact(2)])
    )
    authority.answers["DownloadArtifact"] = lambda _: iter(
        [messages.DownloadArtifactResponse(chunk=CONTENT)]
    )
    authority.answers["CreateArtifactUrl"] = lambda asked: messages.CreateArtifactUrlResponse(
        url=f"https://shop/{asked.artifact_id}"
    )
    return authority


def test_urls_are_made_of_all_or_of_one(made):
    document = json.loads(run("url", ID, "--json").stdout)
    assert [item["artifact_id"] for item in document["urls"]] == [f"{ID}/0", f"{ID}/2"]
    assert document["urls"][0]["url"] == f"https://shop/{ID}/0"
    (row,) = rows(run("url", f"{ID}/2", "--ttl", "10m").stdout)
    assert (row["url"], row["expire_time"]) == (f"https://shop/{ID}/2", "-")
    assert made.asked("CreateArtifactUrl")[-1].ttl.seconds == 600


@pytest.mark.parametrize("command", ["url", "download"])
def test_what_is_kept_no_more_is_not_found(made, command):
    result = run(command, f"{ID}/1")
    assert result.exit_code == 5
    assert "kept no more" in result.stderr


def test_what_was_made_is_written_whole_or_not_at_all(made, tmp_path):
    out = tmp_path / "new"
    result = run("download", ID, "--out", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    names = ["a-red-fox-00000000-1.png", "a-red-fox-00000000-3.png"]
    assert json.loads(result.stdout)["files"] == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (out / names[0]).read_bytes() == CONTENT
    made.answers["DownloadArtifact"] = lambda _: iter([])
    broken = tmp_path / "broken"
    assert run("download", f"{ID}/0", "--out", str(broken)).exit_code == 1
    assert list(broken.iterdir()) == []


def test_a_folder_that_can_not_be_made_is_told(made, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("download", ID, "--out", str(tmp_path / "file" / "below"))
    assert result.exit_code == 1
    assert "can't be written to" in result.stderr
