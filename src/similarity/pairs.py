"""Labelled pairs of requests, a JSON object on each line of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from generations.requests import PROMPT_LENGTH_MAX
from generations.violations import InvalidRequest, Violation, check_text, quote
from similarity.structured import Context, read_context

PAIR_COUNT_MAX = 200_000
KIND_LENGTH_MAX = 100
_FAULTS_MAX = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """Two prompts, and whether one generation may serve both. `kind` is how they differ."""

    a: str
    b: str
    is_same: bool
    kind: str
    a_context: Context = field(default_factory=dict, hash=False)
    b_context: Context = field(default_factory=dict, hash=False)

    @property
    def has_contexts(self) -> bool:
        """Say whether both requests say what they are about."""
        return bool(self.a_context and self.b_context)


class BadPairs(ValueError):
    """Lines can't be used; the message names each with its field, and the way out."""


def read_pairs(lines: Iterable[bytes]) -> list[Pair]:
    """Read the pairs of a file; empty lines are passed over, and so are keys of no use here.

    Raises BadPairs.
    """
    pairs: list[Pair] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            pairs.append(_read(line))
        except InvalidRequest as error:
            faults += [f"line {number}: {field}: {text}" for field, text in error.violations]
        if len(faults) >= _FAULTS_MAX or len(pairs) > PAIR_COUNT_MAX:
            break
    if len(pairs) > PAIR_COUNT_MAX:
        faults.append(f"there are more than {PAIR_COUNT_MAX} pairs; split the file.")
    if not pairs and not faults:
        faults.append("there is no pair in the file.")
    if faults:
        raise BadPairs("\n".join(faults))
    return pairs


def _read(line: bytes) -> Pair:
    """Return the pair of a line. Raises InvalidRequest with every violation."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest((Violation("line", f"is no JSON: {error}."),)) from None
    if not isinstance(found, dict):
        raise InvalidRequest((Violation("line", "must be an object with a, b, label and kind."),))
    violations: list[Violation] = []
    for name in ("a", "b"):
        violations += _check_prompt(name, found.get(name))
    label = found.get("label")
    if type(label) is not int or label not in (0, 1):
        said = "is missing" if label is None else f"is {quote(str(label))}"
        violations.append(Violation("label", f"{said}; must be 1 for the same or 0 for another."))
    kind = found.get("kind", "")
    if not isinstance(kind, str) or len(kind) > KIND_LENGTH_MAX:
        message = f"must be a text of at most {KIND_LENGTH_MAX} characters."
        violations.append(Violation("kind", message))
    contexts: list[Context] = []
    for name in ("a_context", "b_context"):
        try:
            contexts.append(read_context(found.get(name) or {}, name))
        except InvalidRequest as error:
            violations += error.violations
    if violations:
        raise InvalidRequest(tuple(violations))
    return Pair(found["a"], found["b"], label == 1, kind or "-", *contexts)


def _check_prompt(name: str, value: object) -> list[Violation]:
    if not isinstance(value, str) or not value.strip():
        said = "is missing" if value is None else f"is {quote(str(value))}"
        return [Violation(name, f"{said}; must be a text.")]
    return check_text(name, value, PROMPT_LENGTH_MAX)
