"""What holds for the guard, the signature and the normaliser, whatever is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from similarity import guard
from similarity.normalise import normalise
from similarity.signature import signature

WORDS = """
    a an the , . ' " - ... please show me us create generate image picture of thanks thank you
    and or cat cats sofa couch big large red crimson not no two 2 twenty five 25 holding holdnig
    sits sitting is are on top next to beside photo photograph tophat hat Paris Marin Martin father
    mother ran run 1,000 1.5 2×2 ǰ İ ß ﬁ Å (x) 50% 🐈 e\u0301 猫 zorblax
""".split()  # noqa: RUF001, SIM905
PROMPTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=8).map("".join),
    st.text(max_size=40),
)


@given(PROMPTS)
def test_normalising_is_done_once(prompt):
    assert normalise(normalise(prompt)) == normalise(prompt)


@given(PROMPTS)
def test_a_prompt_objects_to_itself_only_if_it_says_nothing(prompt):
    reading = guard.read(prompt)
    assert (guard.objection(reading, reading) == "") == (reading.text != "")


@given(PROMPTS, PROMPTS)
def test_objections_are_mutual_and_never_about_what_is_one_to_an_earlier_stage(one, other):
    a, b = guard.read(one), guard.read(other)
    objection = guard.objection(a, b)
    assert objection == guard.objection(b, a)
    if objection:
        assert normalise(one) != normalise(other) or not a.text
        assert signature(one) != signature(other) or not signature(one)


@given(PROMPTS, st.sampled_from(("not", "no", "3", "green", '"Open"', "Lisbon", "under", "owl")))
def test_what_is_added_is_never_passed_over(prompt, more):
    longer = f"{prompt} {more} there"
    assert guard.objection(guard.read(f"{prompt} there"), guard.read(longer)) != ""
