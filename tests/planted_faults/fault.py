"""What a planted fault is."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A deliberate defect, and the tests of which at least one must see it."""

    name: str
    file: str  # below src/authority
    before: str  # occurs once in the file
    after: str
    tests: tuple[str, ...]  # ids below tests/
