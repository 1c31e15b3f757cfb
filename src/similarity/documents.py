"""Reads documents that people have written, and says of every fault where it is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar

from generations.violations import Violation, quote

_Word = TypeVar("_Word", bound=StrEnum)


class Document:
    """A JSON object. Hands out its keys, checked; `end` refuses those nobody asked for.

    A fault is kept in `violations`, which an object shares with those inside it, and the default or
    the least value is handed out in its place.
    """

    def __init__(self, value: dict[str, Any], path: str, violations: list[Violation]) -> None:
        self.path = path
        self.violations = violations
        self._left = dict(value)

    @classmethod
    def of(cls, value: object, path: str, violations: list[Violation] | None = None) -> Document:
        """Return a reader of what should be an object."""
        found = [] if violations is None else violations
        if not isinstance(value, dict):
            found.append(Violation(path, f"is {quote(str(value))}; must be an object."))
            value = {}
        return cls(value, path, found)

    def fault(self, key: str, message: str) -> None:
        """Keep a fault of a key."""
        self.violations.append(Violation(f"{self.path}.{key}", message))

    def take(self, key: str, default: object = None) -> Any:
        """Return a value as it is."""
        return self._left.pop(key, default)

    def inner(self, key: str, value: object) -> Document:
        """Return a reader of a value inside this one."""
        return Document.of(value, f"{self.path}.{key}", self.violations)

    def table(self, key: str) -> Document:
        """Return a reader of an object, empty if it is not given."""
        return self.inner(key, self.take(key, {}))

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.take(key, default)
        if isinstance(value, bool):
            return value
        self.fault(key, f"is {quote(str(value))}; must be true or false.")
        return default

    def number(self, key: str, least: int, most: int, *, default: int | None = None) -> int:
        """Return an integer between bounds, which has to be given if it has no default."""
        value = self.take(key, default)
        if type(value) is int and least <= value <= most:
            return value
        found = "is missing" if value is None else f"is {quote(str(value))}"
        self.fault(key, f"{found}; must be an integer, {least} to {most}.")
        return least

    def text(self, key: str, length_max: int) -> str:
        """Return a text, which has to be given."""
        value = self.take(key)
        if isinstance(value, str) and value.strip() and len(value) <= length_max:
            return value
        found = "is missing" if value is None else f"is {quote(str(value))}"
        self.fault(key, f"{found}; must be a text of 1 to {length_max} characters.")
        return ""

    def one_of(self, key: str, words: Sequence[_Word], *, default: _Word | None = None) -> _Word:
        """Return one of some words, which has to be given if there is no default."""
        value = self.take(key, default)
        for word in words:
            if value == word:
                return word
        found = "is missing" if value is None else f"is {quote(str(value))}"
        self.fault(key, f"{found}; must be one of: {', '.join(words)}.")
        return words[0]

    def end(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._left:
            self.fault(key[:40], "is not known; leave it out.")
