"""Measures the stages on labelled pairs: how often each serves what it must not, and what it finds.

A stage is judged alone, and by what it adds to those before it. The pairs of a file are judged as
if each were alone in its scope, so that nothing is passed over because something nearer is there:
that is the worst case for wrong hits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from similarity.chat import chat_objection
from similarity.guard import Reading, objection, read
from similarity.intervals import interval
from similarity.nearest import Embed, Found, find
from similarity.normalise import normalise
from similarity.pairs import Pair
from similarity.policy import Stage
from similarity.signature import signature
from similarity.structured import StructuredPolicy, compare
from similarity.vectors import cosine

# Off by default, and never for pictures: it is measured, and no part of the cascade unless asked.
CASCADE = tuple(stage for stage in Stage if stage is not Stage.CHAT)

# Says whether a stage would serve one request of a pair for the other; None if it is not for them.
Judge = Callable[[Pair], bool | None]


@dataclass(slots=True)
class Tally:
    """Pairs, and those of them that are served: hits are right ones, false hits wrong ones."""

    same: int = 0
    different: int = 0
    hits: int = 0
    false_hits: int = 0

    def add(self, pair: Pair, *, is_served: bool) -> None:
        """Count a pair."""
        if pair.is_same:
            self.same += 1
            self.hits += is_served
        else:
            self.different += 1
            self.false_hits += is_served

    def encode(self) -> dict[str, Any]:
        """Return the counts and the shares with their 95 % intervals; None of nothing."""
        return {
            "same": self.same,
            "different": self.different,
            "hits": self.hits,
            "false_hits": self.false_hits,
            **_share("false_hit", self.false_hits, self.different, rate="false_hit_rate"),
            **_share("recall", self.hits, self.same, rate="recall"),
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """What a stage does alone, in all and by kind, and what it adds to the stages before it."""

    alone: Tally
    kinds: Mapping[str, Tally]
    added: Tally


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a file of pairs."""

    pair_count: int
    contradiction_count: int
    cascade: Tally
    kinds: Mapping[str, Tally]
    stages: Mapping[Stage, Judged]
    candidates: Found | None = None

    def encode(self) -> dict[str, Any]:
        """Return it all, fit for JSON."""
        return {
            "pairs": self.pair_count,
            "contradictions": self.contradiction_count,
            "cascade": self.cascade.encode(),
            "kinds": {kind: tally.encode() for kind, tally in self.kinds.items()},
            "stages": {
                stage.value: {
                    **judged.alone.encode(),
                    "added": judged.added.encode(),
                    "kinds": {kind: tally.encode() for kind, tally in judged.kinds.items()},
                }
                for stage, judged in self.stages.items()
            },
            "candidates": None if self.candidates is None else self.candidates.encode(),
        }


def evaluate(
    pairs: Sequence[Pair],
    judges: Mapping[Stage, Judge],
    cascade: Collection[Stage] = CASCADE,
    *,
    embed: Embed,
) -> Evaluation:
    """Judge every pair by every stage; `cascade` are those of which the first hit serves.

    Raises EmbedderFailed if vectors are needed and there are none.
    """
    alone = {stage: Tally() for stage in judges}
    added = {stage: Tally() for stage in judges}
    by_kind: dict[Stage, dict[str, Tally]] = {stage: {} for stage in judges}
    whole, kinds = Tally(), dict[str, Tally]()
    counted = [pair for pair in pairs if pair.is_same or pair.a != pair.b]
    for pair in counted:
        is_served = False
        for stage, judge in judges.items():
            serves = judge(pair)
            if serves is None:
                continue
            alone[stage].add(pair, is_served=serves)
            by_kind[stage].setdefault(pair.kind, Tally()).add(pair, is_served=serves)
            added[stage].add(pair, is_served=serves and not is_served)
            if stage in cascade:
                is_served = is_served or serves
        whole.add(pair, is_served=is_served)
        kinds.setdefault(pair.kind, Tally()).add(pair, is_served=is_served)
    return Evaluation(
        pair_count=len(counted),
        contradiction_count=len(pairs) - len(counted),
        cascade=whole,
        kinds=dict(sorted(kinds.items())),
        stages={
            stage: Judged(alone[stage], dict(sorted(by_kind[stage].items())), added[stage])
            for stage in judges
        },
        candidates=find(counted, embed) if Stage.GUARDED in judges else None,
    )


def judges_of(
    stages: Iterable[Stage], *, structured: StructuredPolicy, embed: Embed
) -> dict[Stage, Judge]:
    """Return what says of a pair whether a stage would serve one request for the other."""
    readings = lru_cache(maxsize=4096)(read)
    signatures = lru_cache(maxsize=4096)(signature)
    vectors = lru_cache(maxsize=4096)(lambda text: embed([text])[0])

    def both(pair: Pair) -> tuple[Reading, Reading]:
        return readings(pair.a), readings(pair.b)

    def equal(known_by: Callable[[str], str]) -> Judge:
        # What nothing is left of is known by nothing.
        return lambda pair: known_by(pair.a) == known_by(pair.b) != ""

    def chat(pair: Pair) -> bool:
        one, other = both(pair)
        # Vectors are the dear part, and most pairs do without.
        if chat_objection(one, other, 1.0):
            return False
        return not chat_objection(one, other, cosine(vectors(one.text), vectors(other.text)))

    def by_context(pair: Pair) -> bool | None:
        if not pair.has_contexts:
            return None
        return compare(structured, pair.a_context, pair.b_context) is not None

    judges: dict[Stage, Judge] = {
        Stage.EXACT: equal(lambda prompt: unicodedata.normalize("NFC", prompt)),
        Stage.NORMALISED: equal(normalise),
        Stage.SIGNATURE: equal(signatures),
        Stage.GUARDED: lambda pair: not objection(*both(pair)),
        Stage.STRUCTURED: by_context,
        Stage.CHAT: chat,
    }
    chosen = set(stages)
    return {stage: judge for stage, judge in judges.items() if stage in chosen}


def _share(name: str, count: int, total: int, *, rate: str) -> dict[str, float | None]:
    """Return a share and its interval. Of nothing there is no share, and it may be any."""
    lower, upper = interval(count, total)
    return {
        rate: count / total if total else None,
        f"{name}_lower": lower,
        f"{name}_upper": upper,
    }
