"""`paymaster generate` against a scripted authority: waiting, files, sums and exit codes."""

from __future__ import annotations

import json
import re

import grpc
import pytest
from click.testing import CliRunner

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import generation_service_pb2 as generations
from cli_authority import Refusal, ScriptedAuthority
from paymaster.cli.app import paymaster

SUCCEEDED = generations.GENERATION_STATE_SUCCEEDED
DENIED = generations.GENERATION_STATE_DENIED
FAILED = generations.GENERATION_STATE_FAILED
QUEUED = generations.GENERATION_STATE_QUEUED


class Made:
    """Takes generations in, and ends each as its prompt says on the second time it is asked."""

    def __init__(self, authority):
        self.authority = authority
        self.kept = {}
        self.asked = {}
        self.ends = True
        authority.answers.update(
            BatchSubmitGenerations=self.submit_all,
            BatchGetGenerations=self.read,
            DownloadArtifact=self.download,
            GetStatus=admin.GetStatusResponse(hot_store_ok=True, ledger_ok=True),
        )

    def submit_all(self, request):
        results = [{"response": self.submit(item)} for item in request.requests]
        return generations.BatchSubmitGenerationsResponse(results=results)

    def submitted(self):
        """Return the requests of all batches."""
        batches = self.authority.asked("BatchSubmitGenerations")
        return [request for batch in batches for request in batch.requests]

    def submit(self, request):
        kept = generations.Generation(
            generation_id=f"acme/{len(self.kept):036}",
            account=request.account,
            prompt=request.prompt,
            size=request.size,
            kind=request.kind,
            state=QUEUED,
        )
        self.kept[kept.generation_id] = kept
        warning = "It ends soon." if request.model == "old" else ""
        return generations.SubmitGenerationResponse(generation=kept, warning=warning)

    def read(self, request):
        for name in request.generation_ids:
            self.asked[name] = self.asked.get(name, 0) + 1
            if self.asked[name] > 1 and self.ends:
                self.end(self.kept[name])
        found = [self.kept[name] for name in request.generation_ids]
        return generations.BatchGetGenerationsResponse(generations=found)

    def end(self, kept):
        kept.state = SUCCEEDED
        if "denied" in kept.prompt:
            kept.state = DENIED
            kept.error_reason, kept.error_message = "BUDGET_EXHAUSTED", "Too dear."
        elif "failed" in kept.prompt:
            kept.state = FAILED
            kept.error_reason, kept.error_message = "content_refused", "Not nice."
        elif "cached" in kept.prompt:
            kept.cached, kept.saved = "exact", 80_000
        else:
            kept.cost = 40_800
        if kept.state == SUCCEEDED:
            del kept.artifacts[:]
            is_chat = kept.kind == generations.KIND_CHAT
            media_type = "text/plain; charset=utf-8" if is_chat else "image/png"
            kept.artifacts.add(artifact_id=f"{kept.generation_id}/0", media_type=media_type)

    def download(self, request):
        if self.kept[request.artifact_id.rpartition("/")[0]].kind == generations.KIND_CHAT:
            yield generations.DownloadArtifactResponse(chunk="Füchse\tbellen.\n\x1b[2J".encode())
            return
        for chunk in (b"\x89PNG", request.artifact_id.encode()):
            yield generations.DownloadArtifactResponse(chunk=chunk)


@pytest.fixture
def made(monkeypatch):
    with ScriptedAuthority() as authority:
        monkeypatch.setenv("PAYMASTER_ADDRESS", authority.address)
        monkeypatch.delenv("PAYMASTER_TOKEN_FILE", raising=False)
        yield Made(authority)


@pytest.fixture
def written(tmp_path):
    def write(*prompts):
        path = tmp_path / "prompts.txt"
        path.write_text("".join(f"{prompt}\n" for prompt in prompts))
        return str(path)

    return write


def run(*words, **options):
    return CliRunner().invoke(paymaster, ["generate", "--account", "acme", *words], **options)


def test_one_prompt_is_submitted_as_it_is_asked(made):
    words = ("--model", "m", "--size", "512x512", "--quality", "high", "-n", "3", "--key", "once")
    result = run("A red fox", *words, "--json")
    assert result.exit_code == 0, result.stderr
    (request,) = made.submitted()
    assert (request.prompt, request.model, request.size) == ("A red fox", "m", "512x512")
    assert (request.quality, request.count, request.idempotency_key) == ("high", 3, "once")
    assert request.kind == generations.KIND_IMAGE
    (generation,) = json.loads(result.stdout)["generations"]
    assert generation["state"] == "SUCCEEDED"
    assert generation["cost"] == 40_800


def test_all_that_steers_is_submitted_as_it_is_asked(made):
    words = (
        *("--kind", "chat", "--system", "Be brief.", "--max-tokens", "50", "--temperature", "0"),
        *("--message", "user=Hi=there", "--message", "Assistant=Good day.", "--seed", "0"),
        *("--priority", "high", "--deadline", "90s", "--parent", "acme/0"),
    )
    assert run("Well?", *words).exit_code == 0
    (request,) = made.submitted()
    said = [(item.role, item.content) for item in request.settings.messages]
    assert said == [(1, "Hi=there"), (2, "Good day.")]
    assert (request.settings.system, request.settings.max_tokens) == ("Be brief.", 50)
    assert request.settings.HasField("temperature")
    assert request.settings.HasField("seed")
    assert not request.settings.HasField("steps")
    assert (request.kind, request.priority) == (generations.KIND_CHAT, generations.PRIORITY_HIGH)
    assert (request.expire_after.seconds, request.parent_id) == (90, "acme/0")
    words = (
        *("--style", "photo", "--negative-prompt", "fog", "--steps", "9", "--mask", "acme/m/0"),
        *("--reference", "acme/a/0", "--reference", "acme/b/0", "--output-format", "webp"),
    )
    assert run("a fox", *words).exit_code == 0
    settings = made.submitted()[1].settings
    assert settings == generations.Settings(
        style="photo",
        negative_prompt="fog",
        steps=9,
        mask="acme/m/0",
        references=["acme/a/0", "acme/b/0"],
        output_format="webp",
    )
    assert run("a film", "--kind", "video", "--seconds", "7").exit_code == 0
    assert made.submitted()[2].settings.seconds == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--deadline", "soon"), "'soon' is not a span; write 90s, 10m, 2h or 7d."),
        (("--message", "hello"), "must look like user=TEXT or assistant=TEXT."),
        (("--message", "unknown=x"), "must look like user=TEXT or assistant=TEXT."),
        (("--priority", "unknown"), "'unknown' is not one of"),
    ],
)
def test_a_bad_option_is_told_with_the_way_out(made, words, told):
    result = run("a fox", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert made.kept == {}


def test_an_answer_is_printed_without_what_a_terminal_obeys(made, tmp_path):
    result = run("Well?", "--kind", "chat")
    assert result.exit_code == 0
    assert result.stdout == "Füchse\tbellen.\n[2J\n"
    assert "for $0.0408" in result.stderr
    document = json.loads(run("Well?", "--kind", "chat", "--json").stdout)
    (generation,) = document["generations"]
    assert generation["texts"] == ["Füchse\tbellen.\n\x1b[2J"]
    out = tmp_path / "answers"
    assert "written to" in run("Well?", "--kind", "chat", "--out", str(out)).stderr
    assert [path.suffix for path in out.iterdir()] == [".txt"]


def test_an_answer_that_was_denied_is_told_as_any(made):
    result = run("a denied answer", "--kind", "chat")
    assert result.exit_code == 3
    assert "BUDGET_EXHAUSTED" in result.stderr


def test_a_model_that_ends_soon_is_warned_of_once(made, written):
    result = run("--file", written("a", "b"), "--model", "old")
    assert result.stderr.count("warning: It ends soon.") == 1
    assert "warning" not in run("a").stderr


def test_files_are_written_under_names_that_tell_the_prompt(made, tmp_path):
    result = run("A red Fox, ../../running!", "--out", str(tmp_path / "a" / "b"), "--json")
    (generation,) = json.loads(result.stdout)["generations"]
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert generation["files"] == [str(path)]
    assert path.name == "a-red-fox-running-00000000-1.png"
    assert path.read_bytes() == b"\x89PNG" + f"{generation['generation_id']}/0".encode()


@pytest.mark.parametrize(
    ("prompt", "code", "told"),
    [("denied", 3, "BUDGET_EXHAUSTED: Too dear."), ("failed", 1, "content_refused: Not nice.")],
)
def test_what_comes_to_nothing_is_told_and_ends_in_its_exit_code(made, prompt, code, told):
    result = run(f"a {prompt} fox")
    assert result.exit_code == code
    assert told in result.stderr
    assert result.stdout.splitlines()[1].split("\t")[1] == prompt.upper()


def test_no_wait_prints_the_ids(made, written):
    result = run("--file", written("one", "two"), "--no-wait")
    assert result.exit_code == 0
    rows = [line.split("\t")[:2] for line in result.stdout.splitlines()[1:]]
    ids = {item.prompt: name for name, item in made.kept.items()}
    assert rows == [[ids["one"], "QUEUED"], [ids["two"], "QUEUED"]]
    assert made.asked == {}


def test_a_file_is_summed_up(made, written):
    prompts = ["a", "b denied", "c cached", "d", "e failed"]
    result = run("--file", written(*prompts))
    assert result.exit_code == 3
    names, values = (line.split("\t") for line in result.stdout.splitlines())
    assert dict(zip(names, values, strict=True)) == {
        "prompts": "5",
        "made": "2",
        "cached": "1",
        "denied": "1",
        "failed": "1",
        "cost": "$0.0816",
        "saved": "$0.08",
    }
    assert "line 2: denied: BUDGET_EXHAUSTED" in result.stderr
    assert "line 5: failed: content_refused" in result.stderr
    document = json.loads(run("--file", written(*prompts), "--json").stdout)
    assert document["summary"]["cost"] == 81_600
    assert [item["prompt"] for item in document["generations"]] == prompts


def test_a_file_without_denials_but_failures_ends_in_1(made, written):
    assert run("--file", written("a", "failed")).exit_code == 1
    assert run("--file", written("a", "b")).exit_code == 0


def test_many_prompts_are_asked_for_in_few_calls(made, written):
    result = run("--file", written(*(f"fox {number}" for number in range(1_200))))
    assert result.exit_code == 0, result.stderr
    sizes = [len(asked.generation_ids) for asked in made.authority.asked("BatchGetGenerations")]
    submitted = made.authority.asked("BatchSubmitGenerations")
    assert [len(batch.requests) for batch in submitted] == [1_000, 200]
    assert max(sizes) == 500
    assert len(sizes) < 20


def test_each_line_has_a_key_of_its_own_that_a_second_run_repeats(made, written):
    file = written("a", "a")
    run("--file", file, "--key", "mine")
    run("--file", file, "--key", "mine")
    keys = [request.idempotency_key for request in made.submitted()]
    assert sorted(keys) == ["mine-1", "mine-1", "mine-2", "mine-2"]


def test_a_bad_line_is_named_and_nothing_is_submitted(made, written):
    result = run("--file", written("a fox", "", "x" * 32_001, "bell \x07"))
    assert result.exit_code == 2
    assert "line 2: " in result.stderr
    assert "line 3: " in result.stderr
    assert "line 4: " in result.stderr
    assert made.kept == {}


def test_prompts_come_from_standard_input_too(made):
    assert run("--file", "-", input="one\ntwo\n").exit_code == 0
    assert {item.prompt for item in made.kept.values()} == {"one", "two"}


def test_waiting_has_an_end_and_says_how_to_go_on(made):
    made.ends = False
    result = run("a fox", "--timeout", "0.2", "--key", "mine")
    assert result.exit_code == 1
    assert "had not ended" in result.stderr
    assert "--key mine" in result.stderr


def test_an_authority_that_goes_away_in_between_is_unreachable(made, written):
    gone = Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    made.authority.answers["BatchGetGenerations"] = gone
    result = run("--file", written("a", "b"))
    assert result.exit_code == 69
    key = re.search(r"--key (\S+)", result.stderr).group(1)
    assert {request.idempotency_key for request in made.submitted()} == {
        f"{key}-1",
        f"{key}-2",
    }


def test_an_unknown_account_ends_a_whole_file_at_once(made, written):
    unknown = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "There is no account 'acme'.")
    made.authority.answers["BatchSubmitGenerations"] = lambda asked: (
        generations.BatchSubmitGenerationsResponse(
            results=[{"error": unknown.status} for _ in asked.requests]
        )
    )
    result = run("--file", written(*(f"fox {number}" for number in range(1_200))))
    assert result.exit_code == 5
    assert result.stderr == "error: There is no account 'acme'.\n"
