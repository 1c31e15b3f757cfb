"""What is wrong with a request: every violation at once, each with its field and the way out."""

from __future__ import annotations

import re
from typing import NamedTuple

# A violation quotes no more than this of what the caller sent: the trailers of a status are small.
QUOTE_LENGTH_MAX = 40
SURROGATES_START = 0xD800

# The control characters but line break and tab, and the halves of surrogate pairs.
_BAD_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Violation(NamedTuple):
    """One field that is wrong, and the way out."""

    field: str
    message: str


class InvalidRequest(Exception):
    """One or more fields are wrong. `violations` has them all."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in violations))
        self.violations = violations


def check_text(field: str, text: str, length_max: int) -> list[Violation]:
    """Check text of any lines."""
    if len(text) > length_max:
        message = f"has {len(text)} characters; at most {length_max} are allowed."
        return [Violation(field, message)]
    bad = _BAD_CHARACTER.search(text)
    if bad is None:
        return []
    code = ord(bad[0])
    what = "half a surrogate pair" if code >= SURROGATES_START else "the control character"
    return [
        Violation(
            field,
            f"has {what} U+{code:04X} at position {bad.start() + 1}; "
            "of these only line breaks (U+000A) and tabs (U+0009) are allowed.",
        )
    ]


def check_number(field: str, number: float | None, least: int, most: int) -> list[Violation]:
    """Check a number, if there is one."""
    # Written so that what is no number at all is out of bounds.
    if number is None or least <= number <= most:
        return []
    return [Violation(field, f"is {number}; must be {least} to {most}.")]


def quote(text: str) -> str:
    """Return a caller's text as a message may show it."""
    return repr(text if len(text) <= QUOTE_LENGTH_MAX else text[:QUOTE_LENGTH_MAX] + "…")
