"""`paymaster cache eval`: what it measures, what it prints, and which files it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from paymaster.cli.app import paymaster

# Labelled pairs lie beside the project, not in it.
DATA = Path(os.environ.get("PAYMASTER_PAIRS") or Path(__file__).parents[3] / "shared" / "data")
SWAPS = ("parti_colour_swap", "parti_subject_swap", "scpp_swap_att", "scpp_swap_obj")
PAIRS = [
    {"a": "a cat", "b": "a cat", "label": 1, "kind": "copy"},
    {"a": "a cat", "b": "A  cat!", "label": 1, "kind": "dress"},
    {"a": "two dogs on a sofa", "b": "two dogs on a couch", "label": 1, "kind": "synonym"},
    {"a": "two dogs on a sofa", "b": "three dogs on a sofa", "label": 0, "kind": "count"},
    {"a": "a dog chasing a cat", "b": "a cat chasing a dog", "label": 0, "kind": "swap"},
    {"a": "same", "b": "same", "label": 0, "kind": "swap"},
    {"a": "a red hat", "b": "a RED hat", "label": 0, "kind": "odd label", "more": "is passed over"},
]


def write(path, pairs):
    file = path / "pairs.jsonl"
    lines = [pair if isinstance(pair, str) else json.dumps(pair) for pair in pairs]
    file.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return str(file)


def run(*words):
    return CliRunner().invoke(paymaster, ["cache", "eval", *words])


def measured(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_each_stage_is_judged_alone_and_by_what_it_adds(tmp_path):
    found = measured(write(tmp_path, PAIRS))
    assert (found["pairs"], found["contradictions"]) == (6, 1)
    cascade = found["cascade"]
    assert (cascade["hits"], cascade["same"]) == (3, 3)
    assert (cascade["false_hits"], cascade["different"]) == (1, 3)
    assert cascade["recall"] == 1.0
    assert cascade["false_hit_rate"] == pytest.approx(1 / 3)
    assert cascade["false_hit_lower"] == pytest.approx(0.0084, abs=1e-4)
    assert cascade["false_hit_upper"] == pytest.approx(0.9057, abs=1e-4)
    stages = found["stages"]
    assert [*stages] == ["exact", "normalised", "signature", "guarded", "structured", "chat"]
    assert stages["exact"]["hits"] == 1
    assert stages["normalised"]["hits"] == 2
    assert stages["normalised"]["added"]["hits"] == 1
    assert stages["guarded"]["hits"] == 3
    assert sum(stage["added"]["hits"] for stage in stages.values()) == 3
    assert sum(stage["added"]["false_hits"] for stage in stages.values()) == 1
    assert stages["guarded"]["kinds"]["count"]["false_hits"] == 0


def test_each_kind_is_counted_and_of_nothing_there_is_no_share(tmp_path):
    kinds = measured(write(tmp_path, PAIRS))["kinds"]
    assert [*kinds] == ["copy", "count", "dress", "odd label", "swap", "synonym"]
    assert kinds["odd label"]["false_hit_rate"] == 1.0
    assert kinds["swap"]["different"] == 1
    assert kinds["swap"]["recall"] is None
    assert (kinds["swap"]["recall_lower"], kinds["swap"]["recall_upper"]) == (0.0, 1.0)


def test_what_is_not_among_the_five_nearest_is_not_found(tmp_path):
    cats = [f"a cat on {count} sofas" for count in ("two", "three", "four", "five", "six", "ten")]
    pairs = [{"a": cat, "b": "a dog", "label": 0} for cat in cats]
    crowded = [*pairs, {"a": "a dog in a wood", "b": "a cat on sofas", "label": 1}]
    found = measured(write(tmp_path, crowded), "--stage", "guarded")["candidates"]
    assert (found["prompts"], found["same"], found["found"]) == (7, 1, 0)
    assert found["found_rate"] == 0.0
    found = measured(write(tmp_path, crowded[-5:]), "--stage", "guarded")["candidates"]
    assert (found["prompts"], found["found"]) == (5, 1)
    assert measured(write(tmp_path, PAIRS), "--stage", "exact")["candidates"] is None


def test_one_stage_is_its_own_cascade(tmp_path):
    found = measured(write(tmp_path, PAIRS), "--stage", "normalised")
    assert [*found["stages"]] == ["normalised"]
    assert found["cascade"]["hits"] == found["stages"]["normalised"]["hits"] == 2


def test_the_chat_tier_is_no_part_of_the_cascade_unless_it_is_named(tmp_path):
    asked = (
        "which exercises help the lower back of people who sit at a desk all day and walk little"
    )
    pairs = [{"a": asked, "b": asked.replace("which", "what"), "label": 0}]
    file = write(tmp_path, pairs)
    found = measured(file)
    chat = found["stages"]["chat"]
    assert chat["false_hits"] == chat["added"]["false_hits"] == 1
    assert found["cascade"]["false_hits"] == 0
    assert measured(file, "--stage", "chat")["cascade"]["false_hits"] == 1
    assert [*found["kinds"]] == ["-"]


def test_contexts_are_judged_where_there_are_any(tmp_path):
    risotto = {"cuisine": "Italian", "course": "main", "method": "simmer"}
    one = risotto | {"ingredients": ["rice", "saffron"]}
    other = risotto | {"ingredients": ["pasta", "clams"]}
    pairs = [
        {"a": "a", "b": "b", "label": 1, "kind": "k", "a_context": one, "b_context": one},
        {"a": "a", "b": "b", "label": 0, "kind": "k", "a_context": one, "b_context": other},
        PAIRS[0],
    ]
    file = write(tmp_path, pairs)
    found = measured(file)
    structured = found["stages"]["structured"]
    assert (structured["hits"], structured["false_hits"]) == (1, 0)
    assert (structured["same"], structured["different"]) == (1, 1)
    by_cuisine = ("--field", "cuisine=required:1", "--field", "ingredients=ignore")
    rest = ("--field", "course=ignore", "--field", "method=ignore")
    loose = measured(file, *by_cuisine, *rest, "--stage", "structured")
    assert loose["cascade"]["false_hits"] == 1


def test_the_tables_say_the_same(tmp_path):
    result = run(write(tmp_path, PAIRS))
    assert result.exit_code == 0
    stages, kinds, candidates = result.stdout.split("\n\n")
    rows = [line.split("\t") for line in stages.splitlines()]
    assert rows[0][:4] == ["stage", "false_hits", "different", "rate"]
    assert rows[1][:5] == ["cascade", "1", "3", "33.33%", "0.84% to 90.57%"]
    assert rows[2][0] == "exact"
    assert len(kinds.splitlines()) == 7
    assert candidates.splitlines()[1].split("\t")[:5] == ["wordllama", "4", "3", "3", "100.00%"]
    assert "1 pair of one text twice" in result.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: line: is no JSON"),
        ("[]", "line 2: line: must be an object"),
        ({"b": "x", "label": 1}, "line 2: a: is missing"),
        ({"a": " ", "b": "x", "label": 1}, "line 2: a: is ' '"),
        ({"a": "x", "b": 7, "label": 1}, "line 2: b: is '7'"),
        ({"a": "x", "b": "y" * 32_001, "label": 1}, "line 2: b: has 32001 characters"),
        ({"a": "x", "b": "y"}, "line 2: label: is missing"),
        ({"a": "x", "b": "y", "label": True}, "line 2: label: is 'True'"),
        ({"a": "x", "b": "y", "label": 2}, "line 2: label: is '2'; must be 1 for the same or 0"),
        ({"a": "x", "b": "y", "label": 1, "kind": 3}, "line 2: kind: must be a text"),
        ({"a": "x", "b": "y", "label": 1, "a_context": {"f": 1}}, "line 2: a_context.f: must be"),
    ],
)
def test_a_bad_line_is_refused_by_line_and_field(tmp_path, line, said):
    result = run(write(tmp_path, [PAIRS[0], line, PAIRS[1]]))
    assert result.exit_code == 2
    assert said in result.stderr
    assert not result.stdout


def test_a_file_without_pairs_and_bad_fields_are_refused(tmp_path):
    assert "there is no pair" in run(write(tmp_path, [])).stderr
    assert run(str(tmp_path / "none.jsonl")).exit_code == 2
    result = run(write(tmp_path, PAIRS), "--field", "dish=jaccard:3:50%")
    assert result.exit_code == 2
    assert "mode required" in result.stderr


@pytest.mark.parametrize("name", ["similar-prompts", "captions-paraphrase", "paws-wiki"])
def test_the_cascade_can_be_believed_on_labelled_data(name):
    file = DATA / f"{name}.jsonl"
    if not file.exists():
        pytest.skip(f"{file.name} is not there; PAYMASTER_PAIRS names the folder that has it")
    found = measured(str(file))
    cascade = found["cascade"]
    assert cascade["false_hit_rate"] <= 0.005
    assert cascade["false_hit_upper"] <= 0.01
    for kind, counted in found["kinds"].items():
        if kind in SWAPS:
            assert counted["false_hits"] == 0, kind
        if counted["different"] >= 100:
            assert counted["false_hit_rate"] <= 0.01, kind
    if name == "similar-prompts":
        assert cascade["recall"] >= 0.9
