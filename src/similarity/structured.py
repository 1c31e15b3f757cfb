"""Requests that say in fields what they are about, such as the dish, its course and ingredients.

Which fields there are, and how much each counts, is data of an account. A sum of weights alone can
pass two recipes that share no ingredient, so no field only adds to it: one that is required must be
the same, one that is bounded must have enough in common, and one that is ignored has no part in it.
A field that the policy does not name must be the same too. What is in no field is not compared, and
a request that gives a context says that the context is all that matters.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from generations.violations import InvalidRequest, Violation, quote
from similarity.documents import Document

FIELD_COUNT_MAX = 16
VALUE_COUNT_MAX = 50
VALUE_LENGTH_MAX = 200
NAME_LENGTH_MAX = 64
WEIGHT_MAX = 1_000_000
PPM = 1_000_000

# By name of the field, its values; their order and their dress mean nothing.
Context = Mapping[str, tuple[str, ...]]


class Mode(StrEnum):
    """What a field has to do with a match."""

    REQUIRED = "required"  # the same values, at least one
    JACCARD = "jaccard"  # of all values of both, at least the bound in common
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Field:
    """A field and how much it counts. `bound_ppm` is of a field with the mode `jaccard` alone."""

    name: str
    weight: int
    mode: Mode
    bound_ppm: int = 0


@dataclass(frozen=True, slots=True)
class StructuredPolicy:
    """The fields of an account's contexts. At least one is required: matches are found by it."""

    fields: tuple[Field, ...]
    threshold_ppm: int = 800_000

    def encode(self) -> dict[str, Any]:
        """Return the policy, fit for JSON."""
        fields = []
        for field in self.fields:
            entry: dict[str, Any] = {"name": field.name, "mode": field.mode.value}
            if field.mode is not Mode.IGNORE:
                entry["weight"] = field.weight
            if field.mode is Mode.JACCARD:
                entry["bound_ppm"] = field.bound_ppm
            fields.append(entry)
        return {"fields": fields, "threshold_ppm": self.threshold_ppm}

    @classmethod
    def read(cls, document: Document) -> StructuredPolicy:
        """Read what `encode` wrote; faults are kept in the document."""
        values = document.take("fields", [])
        if not isinstance(values, list) or not 1 <= len(values) <= FIELD_COUNT_MAX:
            document.fault("fields", f"must be a list of 1 to {FIELD_COUNT_MAX} fields.")
            values = []
        fields = tuple(
            _read_field(document.inner(f"fields[{place}]", value))
            for place, value in enumerate(values)
        )
        names = [field.name for field in fields]
        for place, name in enumerate(names):
            if name in names[:place]:
                document.fault(f"fields[{place}].name", f"{quote(name)} is there already.")
        if values and not any(field.mode is Mode.REQUIRED for field in fields):
            document.fault("fields", "must have one of mode required: matches are found by it.")
        threshold = document.number("threshold_ppm", 1, PPM, default=800_000)
        document.end()
        return cls(fields, threshold)


# The recipes of the first design. There a dish with other ingredients passed by its cuisine, course
# and method alone.
RECIPE = StructuredPolicy(
    (
        Field("cuisine", 40, Mode.REQUIRED),
        Field("course", 30, Mode.REQUIRED),
        Field("ingredients", 20, Mode.JACCARD, bound_ppm=500_000),
        Field("method", 10, Mode.REQUIRED),
    )
)


def compare(policy: StructuredPolicy, one: Context, other: Context) -> int | None:
    """Return how much two contexts have in common, in millionths, or None if that is not enough.

    It is rounded down from an exact sum: what is below the threshold is never at it.
    """
    one, other = _folded(one), _folded(other)
    modes = {field.name: field.mode for field in policy.fields}
    for name in one.keys() | other.keys():
        if name not in modes and one.get(name) != other.get(name):
            return None
    total, reached = 0, Fraction(0)
    for field in policy.fields:
        if field.mode is Mode.IGNORE:
            continue
        common = _common(set(one.get(field.name, ())), set(other.get(field.name, ())))
        bound = Fraction(1) if field.mode is Mode.REQUIRED else Fraction(field.bound_ppm, PPM)
        # Of nothing and nothing it is not known that they are the same.
        if common == 0 or common < bound:
            return None
        total += field.weight
        reached += field.weight * common
    assert total > 0, "one field is required, and has a weight"
    score = reached * PPM // total
    return score if score >= policy.threshold_ppm else None


def probe(policy: StructuredPolicy, context: Context) -> bytes | None:
    """Return the hash that all contexts share which may match this one; None if none may.

    It is of all that must be the same, so that an index finds the few that are to be compared.
    """
    folded = _folded(context)
    modes = {field.name: field.mode for field in policy.fields}
    required = [field.name for field in policy.fields if field.mode is Mode.REQUIRED]
    if not all(folded.get(name) for name in required):
        return None
    same = {
        name: values
        for name, values in folded.items()
        if modes.get(name, Mode.REQUIRED) is Mode.REQUIRED
    }
    # What the rest has to have in common is compared, and may change without a new hash.
    return hashlib.sha256(json.dumps(sorted(same.items())).encode()).digest()


def read_context(value: object, path: str = "context") -> dict[str, tuple[str, ...]]:
    """Return a request's context: by name of the field, a text or a list of texts.

    Raises InvalidRequest with every violation.
    """
    if not isinstance(value, Mapping) or len(value) > FIELD_COUNT_MAX:
        message = f"must be an object of at most {FIELD_COUNT_MAX} fields."
        raise InvalidRequest((Violation(path, message),))
    violations: list[Violation] = []
    context: dict[str, tuple[str, ...]] = {}
    for name, given in value.items():
        values = [given] if isinstance(given, str) else given
        where = f"{path}.{str(name)[:NAME_LENGTH_MAX]}"
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH_MAX:
            message = f"is no name; must have 1 to {NAME_LENGTH_MAX} characters."
            violations.append(Violation(where, message))
        elif not isinstance(values, list | tuple) or len(values) > VALUE_COUNT_MAX:
            message = f"must be a text or a list of at most {VALUE_COUNT_MAX} texts."
            violations.append(Violation(where, message))
        elif not all(_is_value(entry) for entry in values):
            message = f"has what is no text of 1 to {VALUE_LENGTH_MAX} characters."
            violations.append(Violation(where, message))
        else:
            context[name] = tuple(values)
    if violations:
        raise InvalidRequest(tuple(violations))
    return context


def _is_value(value: object) -> bool:
    if not isinstance(value, str) or len(value) > VALUE_LENGTH_MAX:
        return False
    return bool(value.strip()) and value.isprintable()


def _read_field(document: Document) -> Field:
    mode = document.one_of("mode", tuple(Mode))
    field = Field(
        name=document.text("name", NAME_LENGTH_MAX),
        weight=0 if mode is Mode.IGNORE else document.number("weight", 1, WEIGHT_MAX),
        mode=mode,
        bound_ppm=document.number("bound_ppm", 1, PPM) if mode is Mode.JACCARD else 0,
    )
    document.end()
    return field


def _folded(context: Context) -> dict[str, tuple[str, ...]]:
    """Return a context without what means nothing; a field without values is not there."""
    folded = {
        name: tuple(sorted({_fold(value) for value in values} - {""}))
        for name, values in context.items()
    }
    return {name: values for name, values in folded.items() if values}


def _fold(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).casefold().split())


def _common(one: set[str], other: set[str]) -> Fraction:
    either = len(one | other)
    return Fraction(len(one & other), either) if either else Fraction(0)
